"""The demonstration: two trained models compressed with every operation, measured on disk and in use.

``python -m demo`` prints a table and writes it as JSON beside a figure.
"""
