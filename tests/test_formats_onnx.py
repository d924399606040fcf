"""formats: the tensors of ONNX's DequantizeLinear, against the package onnx and onnxruntime's kernels."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from layouts import Array, as_numpy, assert_same_bits, spec
from tersor import formats

NAME = "dequantizelinear"
SHAPES = ((6, 96, 32), (5, 33, 16), (3, 7, 8), (1, 3, 32), (4, 130, 64))  # rows, columns, columns of a block
KINDS = [(bits, signed) for bits in (2, 4, 8) for signed in (True, False)]


def grid(rows: int, cols: int, bits: int, size: int | None, signed: bool, symmetric: bool) -> tersor.Quantized:
    """Random codes of every value, scales of few digits, and zero points."""
    random = np.random.default_rng(rows * cols + bits)
    least, dtype = (-(2 ** (bits - 1)), np.int8) if signed else (0, np.uint8)
    groups = 1 if size is None else -(-cols // size)
    q = random.integers(least, least + 2**bits, (rows, cols)).astype(dtype)
    scale = random.integers(1, 1000, (rows, groups)).astype(np.float16) / np.float16(1024)
    zero_point = None if symmetric else random.integers(least, least + 2**bits, (rows, groups)).astype(dtype)
    if zero_point is not None:
        zero_point[0, 0] = 1  # at least one is not that of symmetric codes
    return tersor.Quantized(q, scale, zero_point, bits, (rows, cols), 1, size, signed)


def all_grids() -> list[tersor.Quantized]:
    return [
        grid(rows, cols, bits, group_size, signed, symmetric)
        for (bits, signed), (rows, cols, size) in itertools.product(KINDS, SHAPES)
        for group_size, symmetric in itertools.product((size, None), (True, False))
    ]


def signed_where_symmetric(t: tersor.Quantized, codes: Array) -> Array:
    if t.signed or not t.symmetric:
        return codes
    return (codes.astype(np.int16) - 2 ** (t.bits - 1)).astype(np.int8)


def raw_data(codes: Array, bits: int) -> Array:
    """In row-major order, the first in the low bits of the first byte, no row padded."""
    mask, per_byte = 2**bits - 1, 8 // bits
    raw = np.zeros(-(-codes.size // per_byte), np.uint8)
    for place, code in enumerate(codes.reshape(-1)):
        raw[place // per_byte] |= (int(code) & mask) << bits * (place % per_byte)
    return raw.view(np.int8 if codes.dtype == np.int8 else np.uint8)


def tensors_of(t: tersor.Quantized) -> dict[str, Array]:
    q = signed_where_symmetric(t, t.q)
    shape = t.shape[:1] if t.group_size is None else t.scale.shape
    tensors = {"x": q if t.bits == 8 else raw_data(q, t.bits), "x_scale": t.scale.reshape(shape)}
    if t.bits < 8:
        tensors["x_shape"] = np.array(t.shape, np.int64)
    if t.group_size is not None:
        tensors["block_size"] = np.array([t.group_size], np.int64)
    if t.zero_point is not None:
        zero_point = t.zero_point.reshape(shape)
        tensors["x_zero_point"] = zero_point if t.bits == 8 else raw_data(zero_point, t.bits)
    return tensors


def exact(t: tersor.Quantized) -> Array:
    """In float64."""
    groups = np.arange(t.shape[1]) // (t.group_size or t.shape[1])
    middle = 0 if t.signed else 2 ** (t.bits - 1)
    zero = np.full(t.scale.shape, middle) if t.zero_point is None else t.zero_point
    difference = t.q.astype(np.float64) - zero.astype(np.float64)[:, groups]
    return np.asarray(difference * t.scale.astype(np.float64)[:, groups])


def assert_same_tensors(actual: dict[str, Any], expected: dict[str, Any], context: object) -> None:
    assert set(actual) == set(expected), context
    for key, tensor in expected.items():
        assert_same_bits(np.ascontiguousarray(as_numpy(actual[key])), np.ascontiguousarray(tensor), (key, context))


# --- bytes -------------------------------------------------------------------------------------------------------------


def test_bytes(each_level: Any) -> None:
    cases = [(t, tensors_of(t), exact(t)) for t in all_grids()]
    for setting in each_level:
        for t, expected, numbers in cases:
            context = f"{t}, {setting}"
            assert_same_tensors(formats.encode(NAME, t), expected, context)
            assert np.array_equal(formats.decode(NAME, expected, dtype="float64"), numbers), context
            found = formats.codes(NAME, expected)
            assert_same_bits(found.q, signed_where_symmetric(t, t.q), context)
            assert found.symmetric == t.symmetric and found.bits == t.bits and not found.packed, context
            assert t.symmetric or np.array_equal(found.zero_point, t.zero_point), context


def test_torch_and_every_way_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for t in all_grids():
        expected = formats.encode(NAME, t)
        tensors = {key: torch.from_numpy(tensor.copy()) for key, tensor in expected.items()}
        assert_same_tensors(formats.transcode(NAME, NAME, tensors), expected, t)
        assert_same_bits(formats.decode(NAME, tensors).numpy(), formats.decode(NAME, expected), str(t))
        assert formats.detect(tensors) == formats.detect(expected) == NAME


def test_items_of_ml_dtypes_and_scalars_are_read() -> None:
    for t in all_grids():
        if t.bits == 8 or (t.symmetric and not t.signed):
            continue
        kind = np.dtype(getattr(ml_dtypes, f"{'int' if t.signed else 'uint'}{t.bits}"))
        tensors = {key: tensor for key, tensor in tensors_of(t).items() if key != "x_shape"} | {"x": t.q.astype(kind)}
        if t.zero_point is not None:
            tensors["x_zero_point"] = t.zero_point.reshape(tensors["x_scale"].shape).astype(kind)
        assert formats.detect(tensors) == NAME
        assert_same_bits(formats.decode(NAME, tensors), formats.decode(NAME, tensors_of(t)), str(t))
        one = {"x": tensors["x"], "x_scale": np.float32(0.5).reshape(()), "x_zero_point": np.array(1, kind)}
        assert np.array_equal(formats.decode(NAME, one), (t.q.astype(np.float32) - 1) / 2), t


def test_codes_without_zero_points_are_about_zero() -> None:
    """Also unsigned ones, whose middle is a zero point then."""
    t = grid(4, 64, 4, 32, signed=False, symmetric=False)
    t.zero_point[:] = 0
    tensors = formats.encode(NAME, t)
    without = {key: tensor for key, tensor in tensors.items() if key != "x_zero_point"}
    assert np.array_equal(formats.decode(NAME, without, dtype="float64"), exact(t))
    assert not formats.codes(NAME, without).symmetric
    t.zero_point[:] = 8
    assert formats.codes(NAME, formats.encode(NAME, t)).symmetric


def test_blocks_may_be_told_or_equal() -> None:
    t = grid(3, 100, 4, 32, signed=True, symmetric=True)
    tensors = formats.encode(NAME, t)
    del tensors["block_size"]
    assert np.array_equal(formats.decode(NAME, tensors, group_size=32, dtype="float64"), exact(t))
    equal = formats.decode(NAME, tensors, group_size=25, dtype="float64")
    assert np.array_equal(formats.decode(NAME, tensors, dtype="float64"), equal)


def test_one_byte_may_hold_a_code_of_either_width() -> None:
    for bits in (2, 4):
        t = grid(1, 1, bits, None, signed=True, symmetric=True)
        assert np.array_equal(formats.decode(NAME, formats.encode(NAME, t), bits=bits, dtype="float64"), exact(t))


# --- onnx and onnxruntime themselves -----------------------------------------------------------------------------------


def initializers(onnx: Any, t: tersor.Quantized, tensors: dict[str, Array]) -> list[Any]:
    """Our tensors as ONNX's, their bytes as they are."""
    kinds = {np.dtype(np.float32): "FLOAT", np.dtype(np.float16): "FLOAT16"}
    kind = getattr(onnx.TensorProto, f"{'INT' if tensors['x'].dtype == np.int8 else 'UINT'}{t.bits}")
    shapes = {"x": t.shape, "x_scale": tensors["x_scale"].shape, "x_zero_point": tensors["x_scale"].shape}
    return [
        onnx.helper.make_tensor(
            key,
            getattr(onnx.TensorProto, kinds[tensors[key].dtype]) if key == "x_scale" else kind,
            shape,
            tensors[key].tobytes(),
            raw=True,
        )
        for key, shape in shapes.items()
        if key in tensors
    ]


@pytest.mark.parametrize("bits, signed", KINDS)
def test_tensors_of_onnx(bits: int, signed: bool) -> None:
    """The package's own packing of the same codes, and its arrays of them."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    if not hasattr(onnx.TensorProto, f"INT{bits}"):
        pytest.skip(f"this onnx has no INT{bits}")
    for t in all_grids():
        if (t.bits, t.signed) != (bits, signed) or (t.symmetric and not signed):
            continue
        tensors = formats.encode(NAME, t)
        x, *others = initializers(onnx, t, tensors)
        theirs = onnx.helper.make_tensor("x", x.data_type, t.shape, t.q.reshape(-1).tolist())
        assert_same_bits(onnx.numpy_helper.to_array(theirs), onnx.numpy_helper.to_array(x), str(t))
        again = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(theirs), "x")
        assert again.raw_data == tensors["x"].tobytes(), t
        items = {each.name: onnx.numpy_helper.to_array(each) for each in (x, *others)}
        items |= {key: tensors[key] for key in tensors if key == "block_size"}
        assert_same_bits(formats.decode(NAME, items), formats.decode(NAME, tensors), str(t))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("bits, signed", KINDS)
def test_numbers_of_onnxruntime(bits: int, signed: bool, dtype: Any) -> None:
    """Its kernels, on our bytes."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    if not hasattr(onnx.TensorProto, f"INT{bits}"):
        pytest.skip(f"this onnx has no INT{bits}")
    helper = onnx.helper
    for t in all_grids():
        if (t.bits, t.signed) != (bits, signed):
            continue
        tensors = formats.encode(NAME, t)
        tensors["x_scale"] = tensors["x_scale"].astype(dtype)
        values = initializers(onnx, t, tensors)
        how = {"axis": 0} if t.group_size is None else {"axis": 1, "block_size": int(tensors["block_size"][0])}
        node = helper.make_node("DequantizeLinear", [each.name for each in values], ["y"], **how)
        y = helper.make_tensor_value_info("y", values[1].data_type, t.shape)
        graph = helper.make_graph([node], "weight", [], [y], initializer=values)
        opset = 25 if bits == 2 else 21
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
        )
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        assert_same_bits(formats.decode(NAME, tensors), session.run(None, {})[0], str(t))


def test_encode_is_the_convention_onnx() -> None:
    w = np.random.default_rng(0).standard_normal((8, 128)).astype(np.float32)
    for bits, symmetric in itertools.product((2, 4, 8), (True, False)):
        options = {"granularity": "group", "group_size": 32, "symmetric": symmetric, "convention": "onnx"}
        q, scale, zero_point = spec.quantize(w, bits, **options)
        t = tersor.Quantized(q, scale, zero_point, bits, w.shape, 1, 32, signed=symmetric)
        assert_same_tensors(
            formats.encode(NAME, w, bits=bits, group_size=32, symmetric=symmetric), tensors_of(t), (bits, symmetric)
        )


# --- what is no such file ----------------------------------------------------------------------------------------------


def broken(key: str, tensor: Any, bits: int = 4, group_size: int | None = 32) -> Any:
    tensors = formats.encode(NAME, grid(8, 96, bits, group_size, signed=False, symmetric=False))
    if tensor is None:
        del tensors[key]
    else:
        tensors[key] = tensor(tensors[key]) if callable(tensor) else tensor
    return lambda: formats.decode(NAME, tensors)


def decoding(stored_bits: int, **options: Any) -> Any:
    tensors = formats.encode(NAME, grid(8, 96, stored_bits, 32, signed=False, symmetric=False))
    return lambda: formats.decode(NAME, tensors, **options)


@pytest.mark.parametrize(
    "call, pattern",
    [
        (broken("x", None), r"x is missing"),
        (broken("x", lambda x: x[:-1]), r"x has 383 bytes, which hold codes of neither 2 nor 4 bits of shape \(8, 96\)"),
        (broken("x", lambda x: x.astype(np.int16)), r"x has dtype int16; it must be int8 or uint8"),
        (broken("x", lambda x: x.reshape(8, 48)), r"x has shape \(8, 48\); it must have 1 dim"),
        (broken("x_shape", None), r"x has shape \(384,\); it must have 2 dim"),
        (broken("x_shape", lambda x: x[:1]), r"x_shape has shape \(1,\)"),
        (broken("x_shape", lambda x: -x), r"x_shape is \(-8, -96\)"),
        (broken("x_shape", lambda x: x * 2**31), r"x has 384 bytes"),
        (broken("x_scale", None), r"x_scale is missing"),
        (broken("x_scale", lambda x: x[:-1]), r"x_scale has shape \(7, 3\); it must be \(8, 3\)"),
        (broken("x_scale", lambda x: x[:, :-1]), r"x_scale has 2 groups; 96 columns in groups of 32 have 3"),
        (broken("x_scale", lambda x: x[:, 0]), r"x_zero_point has shape \(12,\); it must be \(4,\)"),
        (broken("x_scale", lambda x: x[:-1], group_size=None), r"x_scale has shape \(7,\); it must be \(8,\)"),
        (broken("x_scale", lambda x: x[None]), r"x_scale has shape \(1, 8, 3\); it must have 2 dim"),
        (broken("x_scale", lambda x: x * np.float16(np.nan)), r"x_scale holds NaN"),
        (broken("x_scale", lambda x: x.astype(np.float64)), r"x_scale has dtype float64"),
        (broken("x_zero_point", lambda x: x.view(np.int8)), r"x_zero_point has dtype int8; it must be uint4|uint8"),
        (broken("x_zero_point", lambda x: x[:-1]), r"x_zero_point has shape \(11,\); it must be \(12,\)"),
        (broken("x_zero_point", lambda x: x[:-1], bits=8), r"x_zero_point has shape \(7, 3\); it must be \(8, 3\)"),
        (broken("block_size", np.array([48])), r"x_scale has 3 groups; 96 columns in groups of 48 have 2"),
        (broken("block_size", np.array([0])), r"x_scale has 3 groups"),
        (broken("block_size", np.array([32, 32])), r"block_size has shape \(2,\)"),
        (decoding(4, group_size=16), r"block_size is 32, but group_size is 16"),
        (decoding(8, bits=4), r"x has dtype uint8, whose codes have 8 bits; bits is 4"),
        (decoding(4, bits=2), r"x has 384 bytes, which hold codes of 4 bits.*bits is 2"),
        (lambda: formats.encode(NAME, np.zeros((4, 32), np.float32), bits=3), r"2, 4 or 8 bits, and these have 3"),
        (lambda: formats.encode(NAME, tersor.quantize(np.zeros((3, 32)), 4)), r"stores scales in float32.*pass scale_dtype"),
    ],
)
def test_refusals(call: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        call()


def test_groups_that_are_no_runs_are_told() -> None:
    t = tersor.quantize(np.ones((32, 64), np.float32), 4, granularity="group", group_size=16, scale_dtype="float16")
    tensors = formats.encode("gptq_v2", t) | {"g_idx": (np.arange(64)[::-1] // 16).astype(np.int32)}
    with pytest.raises(ValueError, match=r"dequantizelinear has blocks that are runs.*requantize=True would change"):
        formats.transcode("gptq_v2", NAME, tensors)
