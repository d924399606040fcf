"""Refusals of quantize and dequantize, and of pack_bits and unpack_bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from refusals import F16, F32, F64, Row, codes, floats, octets, overlap_of


def stored(**parts: Any) -> Any:
    """A Quantized of three rows of 16 columns, with other parts where these are given."""
    usual = {"q": codes(3, 16), "scale": floats(3, 1), "bits": 8, "shape": (3, 16), "axis": 1}
    return tersor.Quantized(**{**usual, **parts})


def given(**parts: Any) -> Any:
    """Three rows by given scales, with other arguments where these are given."""
    return tersor.quantize(**{"w": floats(3, 16), "scale": floats(3, 1), **parts})


def written(*out: Any, **options: Any) -> Any:
    return tersor.quantize(floats(3, 16), out=out, **options)


ARGUMENTS_OF_QUANTIZE: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("quantize", "w", lambda a: tersor.quantize(a)),
    ("quantize", "scale", lambda a: given(scale=a)),
    ("quantize", "zero_point", lambda a: given(zero_point=a)),
    ("quantize", "q", lambda a: written(a, floats(3, 1))),
    ("quantize out", "scale", lambda a: written(codes(3, 16), a)),
    ("quantize out", "zero_point", lambda a: written(octets(3, 16), floats(3, 1), a, symmetric=False)),
    ("dequantize", "q", lambda a: tersor.dequantize(stored(q=a))),
    ("dequantize", "scale", lambda a: tersor.dequantize(stored(scale=a))),
    ("dequantize", "zero_point", lambda a: tersor.dequantize(stored(zero_point=a))),
    ("dequantize", "out", lambda a: tersor.dequantize(stored(), out=a)),
    ("pack_bits", "q", lambda a: tersor.pack_bits(a, 3)),
    ("unpack_bits", "out", lambda a: tersor.unpack_bits(octets(3, 6), 3, 16, out=a)),
]

# fmt: off
REFUSALS_OF_QUANTIZE = [
    Row("int8 weights to quantize", TypeError, "w", r"must be float32", lambda: tersor.quantize(codes(3, 16))),
    Row("bits beyond 8", ValueError, "bits", r"in \[2, 8\], got 9", lambda: tersor.quantize(floats(3, 16), 9)),
    Row("one bit", ValueError, "bits", r"in \[2, 8\], got 1", lambda: tersor.quantize(floats(3, 16), 1)),
    Row("half a bit", TypeError, "bits", r"must be an integer", lambda: tersor.quantize(floats(3, 16), 4.5)),
    Row("a granularity of another name", ValueError, "granularity", r'one of "tensor", "row", "column", "group"',
        lambda: tersor.quantize(floats(3, 16), granularity="channel")),
    Row("a convention of another name", ValueError, "convention", r'one of "tersor", "compressed-tensors".*got "ggmf"',
        lambda: tersor.quantize(floats(3, 16), convention="ggmf")),
    Row("a rounding of another name", ValueError, "rounding", r'one of "half_even".*got "nearest"',
        lambda: tersor.quantize(floats(3, 16), rounding="nearest")),
    Row("a negative seed", ValueError, "seed", r"\[0, 2\*\*64\)",
        lambda: tersor.quantize(floats(3, 16), rounding="stochastic", seed=-1)),
    Row("groups of nothing", ValueError, "group_size", r"at least 1, got 0",
        lambda: tersor.quantize(floats(3, 16), granularity="group", group_size=0)),
    Row("columns of a row", ValueError, "granularity", r"at least two dimensions",
        lambda: tersor.quantize(floats(16), granularity="column")),
    Row("minima of ggml", ValueError, "convention", r'symmetric codes alone.*"gguf-q4_1"',
        lambda: tersor.quantize(floats(3, 16), 4, symmetric=False, convention="ggml")),
    Row("4 bits of bitsandbytes", ValueError, "convention", r'codes of 8 bits, got 4.*"bitsandbytes-nf4"',
        lambda: tersor.quantize(floats(3, 16), 4, convention="bitsandbytes")),
    Row("zero points of bitsandbytes", ValueError, "convention", r"symmetric codes alone; pass symmetric=True",
        lambda: tersor.quantize(floats(3, 16), symmetric=False, convention="bitsandbytes")),
    Row("a scale method that there is not", ValueError, "scale_method", r'"mse" or "entropy", got \'max\'',
        lambda: tersor.quantize(floats(3, 16), scale_method="max")),
    Row("absmax of asymmetric codes", ValueError, "scale_method", r'asymmetric codes must be "minmax"',
        lambda: tersor.quantize(floats(3, 16), symmetric=False, scale_method="absmax")),
    Row("a scale method beside scales", ValueError, "scale_method", r"scales are given",
        lambda: given(scale_method="mse")),
    Row("percentile of more than all", ValueError, "percentile", r"in \(0, 100\]",
        lambda: tersor.quantize(floats(3, 16), scale_method="percentile", percentile=101)),
    Row("ranges shrunken to nothing", ValueError, "max_shrink", r"in \[0, 1\)",
        lambda: tersor.quantize(floats(3, 16), scale_method="mse", max_shrink=1)),
    Row("no shares of ranges", ValueError, "grid", r"in \[1, 1000\], got 0",
        lambda: tersor.quantize(floats(3, 16), scale_method="mse", grid=0)),
    Row("a histogram of one bin", ValueError, "bins", r"in \[2, 1048576\], got 1",
        lambda: tersor.quantize(floats(3, 16), scale_method="entropy", bins=1)),
    Row("importance of too few columns", ValueError, "importance", r"one entry for each of 16 columns",
        lambda: tersor.quantize(floats(3, 16), scale_method="mse", importance=floats(3))),
    Row("importance below 0", ValueError, "importance", r"at least 0, and entry 0 is -1",
        lambda: tersor.quantize(floats(3, 16), scale_method="mse", importance=floats(16) - 2)),
    Row("importance in half precision", TypeError, "importance", r"must be float32",
        lambda: tersor.quantize(floats(3, 16), scale_method="mse", importance=floats(16, dtype=F16))),
    Row("importance without a search", ValueError, "importance", r'scale_method="mse"',
        lambda: tersor.quantize(floats(3, 16), importance=floats(16))),
    Row("axis to quantize by groups too large", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.quantize(floats(3, 16), axis=2)),
    Row("packed codes of a number", ValueError, "w", r"at least one dimension",
        lambda: tersor.quantize(floats(), granularity="tensor", packed=True)),
    Row("int8 scales", TypeError, "scale", r"must be float32", lambda: given(scale=codes(3, 1))),
    Row("scales of another granularity", ValueError, "scale", r"of shape \(3, 16\), it must have 1 along axis 1",
        lambda: given(scale=floats(1, 16))),
    Row("a scale without dimensions", ValueError, "scale", r"it must have 1 everywhere",
        lambda: given(scale=floats(), granularity="tensor")),
    Row("signed zero points of unsigned codes", TypeError, "zero_point", r"must be uint8",
        lambda: given(zero_point=codes(3, 1))),
    Row("zero points of another shape", ValueError, "zero_point", r"1 along axis 1",
        lambda: given(zero_point=octets(3, 16))),
    Row("zero points without scales", ValueError, "zero_point", r"give both, or neither",
        lambda: tersor.quantize(floats(3, 16), zero_point=octets(3, 1))),
    Row("integers for scales", TypeError, "dtype", r"float32, float16, bfloat16 or float64",
        lambda: tersor.quantize(floats(3, 16), scale_dtype=np.int8)),
    Row("out of one array", TypeError, "out", r"tuple \(q, scale\)", lambda: written(codes(3, 16))),
    Row("out without zero points", TypeError, "out", r"tuple \(q, scale, zero_point\)",
        lambda: written(octets(3, 16), floats(3, 1), symmetric=False)),
    Row("out of another scale dtype", ValueError, "scale_dtype", r"is float16, but out's scale has float32",
        lambda: written(codes(3, 16), floats(3, 1), scale_dtype=F16)),
    Row("unsigned codes where signed ones come", TypeError, "q", r"must be int8",
        lambda: written(octets(3, 16), floats(3, 1))),
    Row("codes of another shape", ValueError, "q", r"must have", lambda: written(codes(3, 15), floats(3, 1))),
    Row("packed codes of another shape", ValueError, "q", r"it must have shape \(3, 8\)",
        lambda: written(octets(3, 16), floats(3, 1), bits=4, packed=True)),
    Row("codes that overlap w", ValueError, "q", r"overlap",
        overlap_of(lambda w, q: tersor.quantize(w.view(F32), out=(q[:4], floats(1))), lambda n: codes(n))),
    Row("scales that overlap w", ValueError, "scale", r"overlap",
        lambda: (lambda w: tersor.quantize(w, out=(codes(3, 16), w[:, :1])))(floats(3, 16))),
    Row("a tuple to dequantize", TypeError, "t", r"must be a Quantized", lambda: tersor.dequantize((codes(4), floats(1)))),
    Row("float codes in a Quantized", TypeError, "q", r"must be int8", lambda: tersor.dequantize(stored(q=floats(3, 16)))),
    Row("codes of another shape than said", ValueError, "q", r"must have", lambda: tersor.dequantize(stored(shape=(3, 15)))),
    Row("more scales than groups", ValueError, "scale", r"1 along axis 1",
        lambda: tersor.dequantize(stored(scale=floats(3, 2)))),
    Row("an out of fewer columns than packed codes have", ValueError, "out", r"shape \(3, 15\), but t has \(3, 16\)",
        lambda: tersor.dequantize(tersor.quantize(floats(3, 16), 4, packed=True), out=floats(3, 15))),
    Row("a Quantized of 9 bits", ValueError, "bits", r"in \[2, 8\], got 9", lambda: tersor.dequantize(stored(bits=9))),
    Row("an axis that is not there", np.exceptions.AxisError, "axis", r"out of bounds", lambda: stored(axis=2)),
    Row("numbers of another dtype than said", ValueError, "dtype", r"is float16, but out has dtype float64",
        lambda: tersor.dequantize(stored(), dtype=F16, out=floats(3, 16, dtype=F64))),
    Row("numbers in int8", TypeError, "out", r"must be float32", lambda: tersor.dequantize(stored(), out=codes(3, 16))),
    Row("float codes to pack", TypeError, "q", r"must be int8 or uint8", lambda: tersor.pack_bits(floats(4), 3)),
    Row("codes of 9 bits", ValueError, "bits", r"in \[1, 8\], got 9", lambda: tersor.pack_bits(codes(4), 9, out=octets(5))),
    Row("codes of 0 bits", ValueError, "bits", r"in \[1, 8\], got 0", lambda: tersor.pack_bits(codes(4), 0)),
    Row("a word of 16 bits", ValueError, "word", r'"uint8" or "int32"', lambda: tersor.pack_bits(codes(4), 3, word="int16")),
    Row("a code too large", ValueError, "q", r"outside \[-4, 3\], which 3 bits of int8 cannot; clip",
        lambda: tersor.pack_bits(np.int8([0, 4]), 3)),
    Row("an order of no name", ValueError, "order", r'"low_first", "high_first", "awq", "halves", got "middle"',
        lambda: tersor.pack_bits(codes(8), 4, order="middle")),
    Row("an order of codes of 3 bits", ValueError, "order", r"4 bits, and bits is 3",
        lambda: tersor.pack_bits(codes(8), 3, order="awq")),
    Row("an order to unpack 3 bits by", ValueError, "order", r"4 bits, and bits is 3",
        lambda: tersor.unpack_bits(octets(3), 3, 8, order="halves")),
    Row("an offset of uint8 codes", ValueError, "offset", r"int8 codes",
        lambda: tersor.pack_bits(octets(8), 4, offset=True)),
    Row("packing along axis 2 of 2", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.pack_bits(codes(4, 8), 4, axis=2)),
    Row("an out of another number of dimensions", ValueError, "out", r"as many",
        lambda: tersor.pack_bits(codes(4, 8), 4, out=octets(4))),
    Row("a code too small", ValueError, "q", r"outside \[-4, 3\]", lambda: tersor.pack_bits(np.int8([-5, 0]), 3)),
    Row("an unsigned code too large", ValueError, "q", r"outside \[0, 7\], which 3 bits of uint8 cannot",
        lambda: tersor.pack_bits(np.uint8([8] * 70), 3)),
    Row("a padded code too large", ValueError, "q", r"outside \[0, 7\]",
        lambda: tersor.pack_bits(np.uint8([8] * 70), 3, padded=True)),
    Row("a number to pack in bits", ValueError, "q", r"at least one dimension", lambda: tersor.pack_bits(codes(), 3)),
    Row("too few words", ValueError, "out", r"it must have shape \(2,\)",
        lambda: tersor.pack_bits(codes(4), 3, out=octets(1))),
    Row("words of another dtype", TypeError, "p", r"must be uint8 or int32",
        lambda: tersor.unpack_bits(np.ones(2, np.int16), 3, 4)),
    Row("too few words for the columns", ValueError, "p", r"it must have shape \(2,\)",
        lambda: tersor.unpack_bits(octets(1), 3, 4)),
    Row("negative columns of codes", ValueError, "cols", r"at least 0", lambda: tersor.unpack_bits(octets(1), 3, -4)),
    Row("packed bits that overlap codes", ValueError, "out", r"overlap",
        overlap_of(lambda q, out: tersor.pack_bits(q.view(np.int8), 8, out=out), octets)),
]
# fmt: on
