"""The demonstration: two trained models pruned, quantized and distilled, measured on disk and in use.

``python -m demo`` prints two tables and writes them as JSON beside a figure.
"""
