"""Every refusal, one row each: the exception's type, the argument that the message names, the remedy that it gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from numpy.lib.stride_tricks import as_strided
from refusals import BF16, F16, F32, F64, Row, codes, floats, mask, octets, overlap_of, read_only
from refusals_compress import ARGUMENTS_OF_COMPRESS, REFUSALS_OF_COMPRESS
from refusals_fake import ARGUMENTS_OF_FAKE, OPTIONAL_OF_FAKE, REFUSALS_OF_FAKE
from refusals_matmul import ARGUMENTS_OF_MATMUL, REFUSALS_OF_MATMUL
from refusals_prune import ARGUMENTS_OF_PRUNE, REFUSALS_OF_PRUNE
from refusals_quantize import ARGUMENTS_OF_QUANTIZE, REFUSALS_OF_QUANTIZE
from refusals_softmax import ARGUMENTS_OF_SOFTMAX, REFUSALS_OF_SOFTMAX

try:
    import torch
except ImportError:
    torch = None


def check(row: Row) -> None:
    with pytest.raises(row.error) as caught:
        row.call()
    message = str(caught.value)
    assert re.search(rf"(?<!\w){re.escape(row.argument)}(?!\w)", message), f"does not name {row.argument}: {message}"
    assert re.search(row.remedy, message), f"gives no remedy like {row.remedy!r}: {message}"


def ids(row: Row) -> str:
    return row.what.replace(" ", "_")


# --- what is no array that tersor reads: the same for each array argument of each function ---------------------------

ARGUMENTS: list[tuple[str, str, Callable[[Any], Any]]] = [
    *ARGUMENTS_OF_COMPRESS,
    *ARGUMENTS_OF_FAKE,
    *ARGUMENTS_OF_MATMUL,
    *ARGUMENTS_OF_PRUNE,
    *ARGUMENTS_OF_QUANTIZE,
    *ARGUMENTS_OF_SOFTMAX,
    ("prune_threshold", "w", lambda a: tersor.prune_threshold(a, 0.5)),
    ("prune_threshold", "out", lambda a: tersor.prune_threshold(floats(3, 16), 0.5, out=a)),
    ("mask_threshold", "w", lambda a: tersor.mask_threshold(a, 0.5)),
    ("mask_threshold", "out", lambda a: tersor.mask_threshold(floats(3, 16), 0.5, out=a)),
    ("apply_mask", "w", lambda a: tersor.apply_mask(a, mask(3, 16))),
    ("apply_mask", "mask", lambda a: tersor.apply_mask(floats(3, 16), a)),
    ("apply_mask", "out", lambda a: tersor.apply_mask(floats(3, 16), mask(3, 16), out=a)),
    ("prune_magnitude", "w", lambda a: tersor.prune_magnitude(a, 0.5)),
    ("prune_magnitude row", "w", lambda a: tersor.prune_magnitude(a, 0.5, scope="row")),
    ("prune_magnitude global", "w", lambda a: tersor.prune_magnitude([floats(3), a], 0.5, scope="global")),
    ("prune_magnitude", "out", lambda a: tersor.prune_magnitude(floats(3, 16), 0.5, out=a)),
    ("mask_magnitude", "w", lambda a: tersor.mask_magnitude(a, 0.5)),
    ("mask_magnitude", "out", lambda a: tersor.mask_magnitude(floats(3, 16), 0.5, out=a)),
    ("kth_magnitude", "w", lambda a: tersor.kth_magnitude(a, 1)),
    ("kth_value", "w", lambda a: tersor.kth_value([floats(3), a], 1)),
    ("quantile", "w", lambda a: tersor.quantile(a, 0.5)),
    ("magnitude_threshold", "w", lambda a: tersor.magnitude_threshold(a, 0.5)),
    ("count_nonzero", "w", lambda a: tersor.count_nonzero(a)),
    ("sparsity", "w", lambda a: tersor.sparsity(a)),
    ("pack_mask", "mask", lambda a: tersor.pack_mask(a)),
    ("pack_mask", "out", lambda a: tersor.pack_mask(mask(3, 16), out=a)),
    ("unpack_mask", "bits", lambda a: tersor.unpack_mask(a, 16)),
    ("unpack_mask", "out", lambda a: tersor.unpack_mask(octets(3, 2), 16, out=a)),
    ("round_fixed", "w", lambda a: tersor.round_fixed(a)),
    ("round_fixed", "out", lambda a: tersor.round_fixed(floats(3, 16), out=a)),
    ("quantize_int8", "w", lambda a: tersor.quantize_int8(a)),
    ("quantize_int8", "q", lambda a: tersor.quantize_int8(floats(3, 16), out=(a, floats(3, 1)))),
    ("quantize_int8", "scale", lambda a: tersor.quantize_int8(floats(3, 16), out=(codes(3, 16), a))),
    ("dequantize_int8", "q", lambda a: tersor.dequantize_int8(a, floats(3, 1))),
    ("dequantize_int8", "scale", lambda a: tersor.dequantize_int8(codes(3, 16), a)),
    ("dequantize_int8", "out", lambda a: tersor.dequantize_int8(codes(3, 16), floats(3, 1), out=a)),
    ("pack_int4", "q", lambda a: tersor.pack_int4(a)),
    ("pack_int4", "out", lambda a: tersor.pack_int4(codes(3, 16), out=a)),
    ("unpack_int4", "p", lambda a: tersor.unpack_int4(a, 16)),
    ("unpack_int4", "out", lambda a: tersor.unpack_int4(octets(3, 8), 16, out=a)),
    ("histogram", "x", lambda a: tersor.histogram(a, 4)),
    ("histogram2d", "x", lambda a: tersor.histogram2d(a, floats(3, 16), 4)),
    ("histogram2d", "y", lambda a: tersor.histogram2d(floats(3, 16), a, 4)),
    ("entropy", "x", lambda a: tersor.entropy(a, 4)),
    ("entropy rows", "x", lambda a: tersor.entropy(a, 4, axis=0)),
    ("entropy rows", "out", lambda a: tersor.entropy(floats(3, 16), 4, axis=0, out=a)),
    ("mutual_information", "x", lambda a: tersor.mutual_information(a, floats(3), 4)),
    ("mutual_information", "out", lambda a: tersor.mutual_information(floats(3, 16), floats(3), 4, out=a)),
    ("divergence", "p", lambda a: tersor.divergence(a, floats(3, 16) / 48)),
    ("divergence", "q", lambda a: tersor.divergence(floats(3, 16) / 48, a)),
    ("distribution_entropy", "p", lambda a: tersor.distribution_entropy(a)),
    ("mask_information", "w", lambda a: tersor.mask_information(a, floats(3, 3), 0.5)),
    ("mask_information", "activations", lambda a: tersor.mask_information(floats(16, 3), a, 0.5)),
    ("mask_information", "out", lambda a: tersor.mask_information(floats(3, 16), floats(3, 3), 0.5, out=a)),
    ("prune_information", "w", lambda a: tersor.prune_information(a, floats(3, 3), 0.5)),
    ("prune_information", "activations", lambda a: tersor.prune_information(floats(16, 3), a, 0.5)),
    ("prune_information", "out", lambda a: tersor.prune_information(floats(3, 16), floats(3, 3), 0.5, out=a)),
]

NO_ARRAYS: list[tuple[str, str, Callable[[], Any]]] = [
    ("a list", r"numpy\.asarray", lambda: [[1.0] * 16] * 3),
    ("a number", r"numpy\.asarray", lambda: 3.0),
    ("a string", r"numpy\.asarray", lambda: "numbers"),
    ("bytes", r"numpy\.asarray", lambda: b"0" * 48),
    ("a big-endian array", r"newbyteorder", lambda: np.ones((3, 16), ">f4")),
    ("an object array", r"astype", lambda: np.ones((3, 16), object)),
    ("a complex array", r"astype", lambda: np.ones((3, 16), np.complex64)),
    ("an int32 array", r"astype", lambda: np.ones((3, 16), np.int32)),
    ("a longdouble array", r"astype", lambda: np.ones((3, 16), np.longdouble)),
    ("a structured array", r"astype", lambda: np.ones((3, 16), [("a", "f4")])),
    ("a string array", r"astype", lambda: np.full((3, 16), "x")),
    ("a datetime array", r"astype", lambda: np.zeros((3, 16), "M8[s]")),
    ("a float8 array", r"astype", lambda: np.ones((3, 16), ml_dtypes.float8_e4m3fn)),
    ("a masked array", r"numpy\.asarray", lambda: np.ma.masked_array(np.ones((3, 16), F32), mask=False)),
]


@pytest.mark.parametrize("what, remedy, make", NO_ARRAYS, ids=[row[0].replace(" ", "_") for row in NO_ARRAYS])
@pytest.mark.parametrize("function, argument, call", ARGUMENTS, ids=[f"{row[0]}-{row[1]}" for row in ARGUMENTS])
def test_no_array(
    function: str, argument: str, call: Callable[[Any], Any], what: str, remedy: str, make: Callable[[], Any]
) -> None:
    check(Row(what, TypeError, argument, remedy, lambda: call(make())))


OPTIONAL = {("quantize", "scale"), ("quantize", "zero_point"), ("dequantize", "zero_point"), *OPTIONAL_OF_FAKE}


@pytest.mark.parametrize("function, argument, call", ARGUMENTS, ids=[f"{row[0]}-{row[1]}" for row in ARGUMENTS])
def test_none(function: str, argument: str, call: Callable[[Any], Any]) -> None:
    if argument == "out" or (function, argument) in OPTIONAL:
        call(None)  # the default
    else:
        check(Row("None", TypeError, argument, r"numpy\.asarray", lambda: call(None)))


TORCH_TENSORS: list[tuple[str, str, Callable[[], Any]]] = [
    ("requires grad", r"\.detach\(\).*no_grad.*torch\.ops\.tersor", lambda: torch.ones(3, 16, requires_grad=True)),
    ("a parameter under grad", r"\.detach\(\)", lambda: torch.nn.Parameter(torch.ones(3, 16))),
    ("negative bit", r"resolve_neg", lambda: torch.complex(torch.ones(3, 16), torch.ones(3, 16)).conj().imag),
    ("complex and conjugate bit", r"convert|read", lambda: torch.ones(3, 16, dtype=torch.complex64).conj()),
    ("sparse", r"read|strided|memory", lambda: torch.ones(3, 16).to_sparse()),
    ("on the meta device", r"device|memory", lambda: torch.ones(3, 16, device="meta")),
    ("int64", r"convert|astype", lambda: torch.ones(3, 16, dtype=torch.int64)),
    ("a subclass", r"torch\.ops\.tersor", lambda: torch.ones(3, 16).as_subclass(type("Units", (torch.Tensor,), {}))),
]


@pytest.mark.skipif(torch is None, reason="torch is not installed")
@pytest.mark.parametrize("what, remedy, make", TORCH_TENSORS, ids=[row[0].replace(" ", "_") for row in TORCH_TENSORS])
@pytest.mark.parametrize("function, argument, call", ARGUMENTS, ids=[f"{row[0]}-{row[1]}" for row in ARGUMENTS])
def test_torch_tensor_that_is_more_than_its_numbers(
    function: str, argument: str, call: Callable[[Any], Any], what: str, remedy: str, make: Callable[[], Any]
) -> None:
    check(Row(what, TypeError, argument, remedy, lambda: call(make())))


@pytest.mark.skipif(torch is None, reason="torch is not installed")
@pytest.mark.parametrize("function, argument, call", ARGUMENTS, ids=[f"{row[0]}-{row[1]}" for row in ARGUMENTS])
def test_fake_tensor(function: str, argument: str, call: Callable[[Any], Any]) -> None:
    """It says that it lies on the CPU, and its memory is a null pointer."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        fake = torch.ones(3, 16)
    check(Row("a FakeTensor", TypeError, argument, r"torch\.ops\.tersor", lambda: call(fake)))


# --- dtypes, shapes, values ------------------------------------------------------------------------------------------

# fmt: off
DTYPES = [
    Row("int8 weights", TypeError, "w", r"must be float32, float16, bfloat16 or float64",
        lambda: tersor.prune_threshold(codes(4), 0.5)),
    Row("int8 weights to mask", TypeError, "w", r"must be float32", lambda: tersor.mask_threshold(codes(4), 0.5)),
    Row("bool weights to round", TypeError, "w", r"must be float32", lambda: tersor.round_fixed(mask(4))),
    Row("uint8 weights to quantize", TypeError, "w", r"must be float32", lambda: tersor.quantize_int8(octets(4))),
    Row("int8 weights to prune exactly", TypeError, "w", r"must be float32", lambda: tersor.prune_magnitude(codes(4), 0.5)),
    Row("int8 weights to select from", TypeError, "w", r"must be float32", lambda: tersor.kth_value(codes(4), 1)),
    Row("layers of two dtypes", TypeError, "w[1]", r"must be float32, as w\[0\] is",
        lambda: tersor.prune_magnitude([floats(4), floats(4, dtype=F64)], 0.5, scope="global")),
    Row("arrays of two dtypes to select from", TypeError, "w[1]", r"must be float32, as w\[0\] is",
        lambda: tersor.kth_magnitude([floats(4), floats(4, dtype=F16)], 1)),
    Row("mask out for exact pruning", TypeError, "out", r"must be float32, as w is",
        lambda: tersor.prune_magnitude(floats(4), 0.5, out=mask(4))),
    Row("float out for an exact mask", TypeError, "out", r"must be bool",
        lambda: tersor.mask_magnitude(floats(4), 0.5, out=floats(4))),
    Row("bool out for packed bits", TypeError, "out", r"must be uint8",
        lambda: tersor.mask_magnitude(floats(8), 0.5, packed=True, out=mask(1))),
    Row("float mask", TypeError, "mask", r"must be bool or uint8", lambda: tersor.apply_mask(floats(4), floats(4))),
    Row("int8 mask", TypeError, "mask", r"must be bool or uint8", lambda: tersor.apply_mask(floats(4), codes(4))),
    Row("float mask to pack", TypeError, "mask", r"must be bool", lambda: tersor.pack_mask(floats(4))),
    Row("int8 bits", TypeError, "bits", r"must be uint8", lambda: tersor.unpack_mask(codes(4), 32)),
    Row("uint8 codes to pack", TypeError, "q", r"must be int8", lambda: tersor.pack_int4(octets(4))),
    Row("float codes to pack", TypeError, "q", r"must be int8", lambda: tersor.pack_int4(floats(4))),
    Row("int8 nibbles", TypeError, "p", r"must be uint8", lambda: tersor.unpack_int4(codes(4), 8)),
    Row("float codes", TypeError, "q", r"must be int8", lambda: tersor.dequantize_int8(floats(4), floats(1))),
    Row("float16 scale", TypeError, "scale", r"must be float32 or float64",
        lambda: tersor.dequantize_int8(codes(4), floats(1, dtype=F16))),
    Row("int8 scale", TypeError, "scale", r"must be float32 or float64",
        lambda: tersor.dequantize_int8(codes(4), codes(1))),
    Row("out of another dtype", TypeError, "out", r"must be float32, as w is",
        lambda: tersor.prune_threshold(floats(4), 0.5, out=floats(4, dtype=F64))),
    Row("bfloat16 out for float16", TypeError, "out", r"must be float16",
        lambda: tersor.round_fixed(floats(4, dtype=F16), out=floats(4, dtype=BF16))),
    Row("float out for a mask", TypeError, "out", r"must be bool",
        lambda: tersor.mask_threshold(floats(4), 0.5, out=floats(4))),
    Row("bool out for bits", TypeError, "out", r"must be uint8", lambda: tersor.pack_mask(mask(8), out=mask(1))),
    Row("uint8 out for a mask", TypeError, "out", r"must be bool",
        lambda: tersor.unpack_mask(octets(1), 8, out=octets(8))),
    Row("uint8 out for codes", TypeError, "q", r"must be int8",
        lambda: tersor.quantize_int8(floats(2, 4), out=(octets(2, 4), floats(2, 1)))),
    Row("float64 out for a float32 scale", TypeError, "scale", r"must be float32",
        lambda: tersor.quantize_int8(floats(2, 4), out=(codes(2, 4), floats(2, 1, dtype=F64)))),
    Row("float32 out for a float64 scale", TypeError, "scale", r"must be float64",
        lambda: tersor.quantize_int8(floats(2, 4, dtype=F64), out=(codes(2, 4), floats(2, 1)))),
    Row("int8 out for dequantized codes", TypeError, "out", r"must be float32",
        lambda: tersor.dequantize_int8(codes(4), floats(1), out=codes(4))),
    Row("int8 dtype for dequantized codes", TypeError, "dtype", r"float32",
        lambda: tersor.dequantize_int8(codes(4), floats(1), dtype=np.int8)),
    Row("dtype that is none", TypeError, "dtype", r"float32",
        lambda: tersor.dequantize_int8(codes(4), floats(1), dtype="float12")),
    Row("dtype against out", ValueError, "dtype", r"out has dtype float32",
        lambda: tersor.dequantize_int8(codes(4), floats(1), dtype=F16, out=floats(4))),
    Row("bool out for packed codes", TypeError, "out", r"must be uint8",
        lambda: tersor.pack_int4(codes(4), out=mask(2))),
    Row("uint8 out for unpacked codes", TypeError, "out", r"must be int8",
        lambda: tersor.unpack_int4(octets(2), 4, out=octets(4))),
    Row("one array for a pair", TypeError, "out", r"pair \(q, scale\)",
        lambda: tersor.quantize_int8(floats(4), out=codes(4))),
    Row("three arrays for a pair", TypeError, "out", r"pair \(q, scale\)",
        lambda: tersor.quantize_int8(floats(4), out=(codes(4), floats(1), floats(1)))),
]
# fmt: on

# fmt: off
SHAPES = [
    Row("out of another length", ValueError, "out", r"must have the shape of w, \(4,\)",
        lambda: tersor.prune_threshold(floats(4), 0.5, out=floats(5))),
    Row("out that would broadcast", ValueError, "out", r"must have the shape of w",
        lambda: tersor.round_fixed(floats(1, 4), out=floats(3, 4))),
    Row("out with an axis more", ValueError, "out", r"must have the shape of x",
        lambda: tersor.softmax(floats(4), out=floats(1, 4))),
    Row("out of exact pruning of another length", ValueError, "out", r"must have the shape of w, \(4,\)",
        lambda: tersor.prune_magnitude(floats(4), 0.5, out=floats(5))),
    Row("fewer outputs than layers", ValueError, "out", r"one array for each of w, 2",
        lambda: tersor.prune_magnitude([floats(4), floats(5)], 0.5, scope="global", out=[floats(4)])),
    Row("a list of outputs for one array", ValueError, "out", r"pass one array",
        lambda: tersor.prune_magnitude(floats(4), 0.5, scope="row", out=[floats(4)])),
    Row("a number by rows", ValueError, "w", r"needs at least 1",
        lambda: tersor.prune_magnitude(floats(), 0.5, scope="row")),
    Row("a vector by columns", ValueError, "w", r"needs at least 2",
        lambda: tersor.mask_magnitude(floats(4), 0.5, scope="column")),
    Row("packed mask of a number, exact", ValueError, "w", r"at least one dimension",
        lambda: tersor.mask_magnitude(floats(), 0.5, packed=True)),
    Row("nothing to select from", ValueError, "w", r"no element", lambda: tersor.kth_value(floats(0), 1)),
    Row("no arrays to select from", ValueError, "w", r"at least one", lambda: tersor.kth_value([], 1)),
    Row("mask of another shape", ValueError, "mask", r"must have the shape of w, \(3, 16\)",
        lambda: tersor.apply_mask(floats(3, 16), mask(16))),
    Row("mask transposed", ValueError, "mask", r"must have the shape of w",
        lambda: tersor.apply_mask(floats(3, 16), mask(16, 3))),
    Row("packed mask too short", ValueError, "mask", r"must have shape \(3, 2\)",
        lambda: tersor.apply_mask(floats(3, 16), octets(3, 1))),
    Row("packed mask too long", ValueError, "mask", r"must have shape \(3, 2\)",
        lambda: tersor.apply_mask(floats(3, 16), octets(3, 3))),
    Row("packed mask unpacked", ValueError, "mask", r"must have shape \(3, 2\)",
        lambda: tersor.apply_mask(floats(3, 16), octets(3, 16))),
    Row("packed mask of a number", ValueError, "w", r"at least one dimension",
        lambda: tersor.apply_mask(floats(), octets())),
    Row("mask of a number, packed", ValueError, "w", r"at least one dimension",
        lambda: tersor.mask_threshold(floats(), 0.5, packed=True)),
    Row("bits out too short", ValueError, "out", r"must have shape \(3, 3\)",
        lambda: tersor.pack_mask(mask(3, 17), out=octets(3, 2))),
    Row("number to pack as a mask", ValueError, "mask", r"at least one dimension", lambda: tersor.pack_mask(mask())),
    Row("number to pack as a nibble", ValueError, "q", r"at least one dimension", lambda: tersor.pack_int4(codes())),
    Row("number to unpack as a mask", ValueError, "bits", r"at least one dimension",
        lambda: tersor.unpack_mask(octets(), 8)),
    Row("number to unpack as nibbles", ValueError, "p", r"at least one dimension",
        lambda: tersor.unpack_int4(octets(), 2)),
    Row("too many columns for the bits", ValueError, "bits", r"must have shape \(3, 3\)",
        lambda: tersor.unpack_mask(octets(3, 2), 17)),
    Row("too few columns for the bits", ValueError, "bits", r"must have shape \(3, 1\)",
        lambda: tersor.unpack_mask(octets(3, 2), 8)),
    Row("columns against out", ValueError, "cols", r"out has shape \(3, 16\)",
        lambda: tersor.unpack_mask(octets(3, 2), 15, out=mask(3, 16))),
    Row("negative columns", ValueError, "cols", r"at least 0", lambda: tersor.unpack_mask(octets(3, 2), -1)),
    Row("too many columns for the nibbles", ValueError, "p", r"must have shape \(3, 3\)",
        lambda: tersor.unpack_int4(octets(3, 2), 5)),
    Row("too few columns for the nibbles", ValueError, "p", r"must have shape \(3, 1\)",
        lambda: tersor.unpack_int4(octets(3, 2), 2)),
    Row("nibble columns against out", ValueError, "cols", r"out has shape",
        lambda: tersor.unpack_int4(octets(3, 2), 3, out=codes(3, 4))),
    Row("negative nibble columns", ValueError, "cols", r"at least 0", lambda: tersor.unpack_int4(octets(3, 2), -2)),
    Row("packed out too long", ValueError, "out", r"must have shape \(3, 2\)",
        lambda: tersor.pack_int4(codes(3, 3), out=octets(3, 3))),
    Row("scale without its axis", ValueError, "scale", r"must be \(3, 1\)",
        lambda: tersor.quantize_int8(floats(3, 16), out=(codes(3, 16), floats(3)))),
    Row("scale of the other axis", ValueError, "scale", r"must be \(3, 1\)",
        lambda: tersor.quantize_int8(floats(3, 16), out=(codes(3, 16), floats(1, 16)))),
    Row("codes of another shape", ValueError, "q", r"must have the shape of w",
        lambda: tersor.quantize_int8(floats(3, 16), out=(codes(16, 3), floats(3, 1)))),
    Row("scale that does not broadcast", ValueError, "scale", r"broadcast",
        lambda: tersor.dequantize_int8(codes(3, 16), floats(4, 1))),
    Row("scale with an axis more", ValueError, "scale", r"broadcast",
        lambda: tersor.dequantize_int8(codes(16), floats(3, 1))),
    Row("scale for each entry", ValueError, "scale", r"length 1 along at least one axis",
        lambda: tersor.dequantize_int8(codes(3, 16), floats(3, 16))),
    Row("axis to quantize too large", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.quantize_int8(floats(3, 16), axis=2)),
    Row("axis to quantize of a number", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.quantize_int8(floats())),
    Row("axis to quantize with out", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.quantize_int8(floats(3, 16), axis=5, out=(codes(3, 16), floats(3, 1)))),
    Row("more than 32 dimensions", ValueError, "w", r"more than 32 dimensions",
        lambda: tersor.prune_threshold(floats(*[1] * 33), 0.5)),
]
# fmt: on

# fmt: off
VALUES = [
    Row("negative eps", ValueError, "eps", r">= 0", lambda: tersor.prune_threshold(floats(4), -0.1)),
    Row("NaN eps", ValueError, "eps", r">= 0", lambda: tersor.prune_threshold(floats(4), float("nan"))),
    Row("negative eps for a mask", ValueError, "eps", r">= 0", lambda: tersor.mask_threshold(floats(4), -1)),
    Row("eps that is no number", TypeError, "eps", r"must be a number",
        lambda: tersor.prune_threshold(floats(4), "0.1")),
    Row("eps that is complex", TypeError, "eps", r"must be a number", lambda: tersor.prune_threshold(floats(4), 1j)),
    Row("eps that is an array", TypeError, "eps", r"must be a number",
        lambda: tersor.prune_threshold(floats(4), floats(4))),
    Row("eps that is None", TypeError, "eps", r"must be a number", lambda: tersor.mask_threshold(floats(4), None)),
    Row("negative sparsity", ValueError, "sparsity", r"\[0, 1\]", lambda: tersor.prune_magnitude(floats(4), -0.1)),
    Row("sparsity in percent", ValueError, "sparsity", r"\[0, 1\]", lambda: tersor.mask_magnitude(floats(4), 50)),
    Row("NaN sparsity", ValueError, "sparsity", r"\[0, 1\]",
        lambda: tersor.magnitude_threshold(floats(4), float("nan"))),
    Row("sparsity that is no number", TypeError, "sparsity", r"must be a number",
        lambda: tersor.prune_magnitude(floats(4), "half")),
    Row("an unknown scope", ValueError, "scope", r"'tensor', 'row', 'column' or 'global'",
        lambda: tersor.prune_magnitude(floats(4), 0.5, scope="layer")),
    Row("a list without its scope", ValueError, "w", r'scope="global"', lambda: tersor.prune_magnitude([floats(4)], 0.5)),
    Row("the scope of a list without one", ValueError, "w", r"list of arrays",
        lambda: tersor.mask_magnitude(floats(4), 0.5, scope="global")),
    Row("rank 0", ValueError, "k", r"\[1, 4\]", lambda: tersor.kth_magnitude(floats(4), 0)),
    Row("a rank beyond the last", ValueError, "k", r"\[1, 4\]", lambda: tersor.kth_value(floats(4), 5)),
    Row("a rank that is no integer", TypeError, "k", r"integer", lambda: tersor.kth_value(floats(4), 1.0)),
    Row("a quantile in percent", ValueError, "q", r"\[0, 1\]", lambda: tersor.quantile(floats(4), 50)),
    Row("a quantile among them that is NaN", ValueError, "q", r"\[0, 1\]",
        lambda: tersor.quantile(floats(4), [0.5, float("nan")])),
    Row("a quantile that is no number", TypeError, "q", r"must be a number", lambda: tersor.quantile(floats(4), "median")),
    Row("negative bits", ValueError, "bits", r"\[0, 52\]", lambda: tersor.round_fixed(floats(4), -1)),
    Row("53 bits", ValueError, "bits", r"\[0, 52\]", lambda: tersor.round_fixed(floats(4), 53)),
    Row("2**40 bits", ValueError, "bits", r"range|\[0, 52\]", lambda: tersor.round_fixed(floats(4), 2**40)),
    Row("2**70 bits", ValueError, "bits", r"range|\[0, 52\]", lambda: tersor.round_fixed(floats(4), 2**70)),
    Row("half a bit", TypeError, "bits", r"must be an integer", lambda: tersor.round_fixed(floats(4), 8.0)),
    Row("bits that is a string", TypeError, "bits", r"must be an integer",
        lambda: tersor.round_fixed(floats(4), "8")),
    Row("axis to quantize that is no integer", TypeError, "axis", r"integer",
        lambda: tersor.quantize_int8(floats(4), axis=0.0)),
    Row("columns that are no integer", TypeError, "cols", r"integer", lambda: tersor.unpack_mask(octets(1), 8.0)),
    Row("nibble columns that are no integer", TypeError, "cols", r"integer",
        lambda: tersor.unpack_int4(octets(1), None)),
    Row("value of 8 in 4 bits", ValueError, "q", r"\[-8, 7\].*clip or rescale",
        lambda: tersor.pack_int4(np.array([8], np.int8))),
    Row("value of -9 in 4 bits", ValueError, "q", r"\[-8, 7\].*clip or rescale",
        lambda: tersor.pack_int4(np.array([0, -9], np.int8))),
    Row("no threads", ValueError, "count", r"at least 1", lambda: tersor.set_num_threads(0)),
    Row("negative threads", ValueError, "count", r"at least 1", lambda: tersor.set_num_threads(-4)),
    Row("half a thread", TypeError, "count", r"must be an integer", lambda: tersor.set_num_threads(1.5)),
    Row("unknown CPU level", ValueError, "pentium", r"choose one of: \w+",
        lambda: tersor._core.set_cpu_level("pentium")),
]
# fmt: on


# fmt: off
MEMORY = [
    Row("read-only out", ValueError, "out", r"read-only",
        lambda: tersor.prune_threshold(floats(4), 0.5, out=read_only(floats(4)))),
    Row("read-only mask out", ValueError, "out", r"read-only",
        lambda: tersor.mask_threshold(floats(4), 0.5, out=read_only(mask(4)))),
    Row("read-only codes", ValueError, "q", r"read-only",
        lambda: tersor.quantize_int8(floats(4), out=(read_only(codes(4)), floats(1)))),
    Row("read-only scale", ValueError, "scale", r"read-only",
        lambda: tersor.quantize_int8(floats(4), out=(codes(4), read_only(floats(1))))),
    Row("broadcast out", ValueError, "out", r"read-only",
        lambda: tersor.round_fixed(floats(3, 4), out=np.broadcast_to(floats(4), (3, 4)))),
    Row("in place on read-only weights", ValueError, "out", r"read-only",
        lambda: (lambda w: tersor.prune_threshold(w, 0.5, out=w))(read_only(floats(4)))),
    Row("shifted out of prune_threshold", ValueError, "out", r"very same array.*separate",
        overlap_of(lambda a, b: tersor.prune_threshold(a, 0.5, out=b), floats)),
    Row("shifted out of round_fixed", ValueError, "out", r"very same array.*separate",
        overlap_of(lambda a, b: tersor.round_fixed(a, out=b), floats)),
    Row("shifted out of softmax", ValueError, "out", r"very same array.*separate",
        overlap_of(lambda a, b: tersor.softmax(a, out=b), floats)),
    Row("mask on its own memory", ValueError, "out", r"separate memory",
        lambda: (lambda m: tersor.pack_mask(m, out=m.view(np.uint8)[:1]))(mask(8))),
    Row("codes packed in place", ValueError, "out", r"separate memory",
        lambda: (lambda q: tersor.pack_int4(q, out=q.view(np.uint8)[:4]))(codes(8))),
    Row("codes on the weights", ValueError, "q", r"separate memory",
        lambda: (lambda w: tersor.quantize_int8(w, out=(w.view(np.int8)[:8], floats(1))))(floats(8))),
    Row("scale on the codes", ValueError, "scale", r"separate memory",
        lambda: (lambda q: tersor.quantize_int8(floats(8), out=(q, q.view(F32)[:1])))(codes(8))),
    Row("out that overlaps itself", ValueError, "out", r"overlap.*memory",
        lambda: tersor.softmax(floats(3, 4), out=as_strided(floats(4), (3, 4), (0, 4)))),
    Row("out whose rows overlap", ValueError, "out", r"overlap.*memory",
        lambda: tersor.softmax(floats(3, 4), out=as_strided(floats(6), (3, 4), (4, 4)))),
]
# fmt: on


@pytest.mark.parametrize(
    "row",
    [
        *DTYPES,
        *SHAPES,
        *VALUES,
        *MEMORY,
        *REFUSALS_OF_COMPRESS,
        *REFUSALS_OF_FAKE,
        *REFUSALS_OF_MATMUL,
        *REFUSALS_OF_PRUNE,
        *REFUSALS_OF_QUANTIZE,
        *REFUSALS_OF_SOFTMAX,
    ],
    ids=ids,
)
def test_message(row: Row) -> None:
    check(row)


def test_nothing_is_written_before_a_refusal() -> None:
    """Arguments are checked first; only pack_int4's values are found while it works."""
    out = np.full((3, 16), 7, F32)
    for call in (
        lambda: tersor.prune_threshold(floats(3, 16), -1.0, out=out),
        lambda: tersor.round_fixed(floats(3, 16), 99, out=out),
        lambda: tersor.softmax(floats(3, 16), -1.0, out=out),
        lambda: tersor.softmax(floats(3, 16), np.array([[1.0], [1.0], [-1.0]]), out=out),
        lambda: tersor.apply_mask(floats(3, 16), mask(16, 3), out=out),
        lambda: tersor.dequantize_int8(codes(3, 16), floats(3, 16), out=out),
    ):
        with pytest.raises(ValueError):
            call()
        assert (out == 7).all()


def test_original_error_is_the_cause() -> None:
    with pytest.raises(TypeError) as caught:
        tersor.prune_threshold(floats(4), "0.1")
    assert isinstance(caught.value.__cause__, TypeError)


def test_error_from_a_property_is_not_swallowed() -> None:
    """An array-like whose __dlpack__ breaks is reported with its own error as the cause."""

    class Broken:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

        def __dlpack__(self, **_: Any) -> Any:
            raise RuntimeError("the disk is on fire")

    with pytest.raises(TypeError, match=r"\bw\b.*__dlpack__") as caught:
        tersor.count_nonzero(Broken())
    assert "the disk is on fire" in str(caught.value.__cause__)
