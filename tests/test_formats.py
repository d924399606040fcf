"""formats: the bytes of compressed-tensors' own packer, and of GPTQ and AWQ written out in loops."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from layouts import Array, as_numpy, assert_same_bits, spec
from tersor import formats

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
# Those of codes with any scales and zero points.
INTEGERS = ("pack-quantized", "pack-quantized-padded", "gptq", "gptq_v2", "awq", "matmulnbits", "dequantizelinear")


def weight(rows: int, cols: int, dtype: Any = np.float32, seed: int = 0) -> Array:
    """With a row of zeros, one of denormals and one outlier."""
    w = np.random.default_rng(seed).standard_normal((rows, cols)).astype(dtype)
    if rows > 3:
        w[1], w[2] = 0, dtype(1e-40) if dtype == np.float32 else dtype(0)
        w[3, cols // 2] = 100
    return w


def grid(rows: int, cols: int, bits: int, group_size: int, symmetric: bool, seed: int = 0) -> tersor.Quantized:
    """Random unsigned codes of every value, with scales of few digits and zero points from 1."""
    random = np.random.default_rng(seed)
    groups = -(-cols // group_size)
    q = random.integers(0, 2**bits, (rows, cols)).astype(np.uint8)
    scale = random.integers(1, 1000, (rows, groups)).astype(np.float16) / np.float16(1024)
    zero_point = None if symmetric else random.integers(1, 2**bits, (rows, groups)).astype(np.uint8)
    size = None if groups == 1 else group_size
    return tersor.Quantized(q, scale, zero_point, bits, (rows, cols), 1, size, signed=False)


def zero_points_of(t: tersor.Quantized) -> Array:
    middle = np.full(t.scale.shape, 2 ** (t.bits - 1), np.uint8)
    return middle if t.zero_point is None else np.asarray(t.zero_point)


def words_of_bits(codes: Array, bits: int) -> Array:
    """Each row's codes as one number, cut in words of 32 bits."""
    words = np.zeros((len(codes), -(-codes.shape[1] * bits // 32)), np.int32)
    for r, row in enumerate(codes):
        number = sum(int(code) << (bits * k) for k, code in enumerate(row))
        for i in range(words.shape[1]):
            words[r, i] = np.uint32(number >> 32 * i & 0xFFFFFFFF).view(np.int32)
    return words


def gptq_tensors(t: tersor.Quantized, less: int) -> dict[str, Array]:
    return {
        "qweight": words_of_bits(t.q, t.bits).T,
        "qzeros": words_of_bits((zero_points_of(t) - less).T, t.bits),
        "scales": t.scale.T,
        "g_idx": (np.arange(t.shape[1]) // (t.group_size or t.shape[1])).astype(np.int32),
    }


def awq_tensors(t: tersor.Quantized) -> dict[str, Array]:
    def words(codes: Array) -> Array:
        runs = codes.reshape(len(codes), -1, 8)[:, :, AWQ_ORDER].reshape(codes.shape)
        return words_of_bits(runs, 4)

    return {"qweight": words(t.q.T), "qzeros": words(zero_points_of(t).T), "scales": t.scale.T}


def assert_same_tensors(actual: dict[str, Any], expected: dict[str, Any], context: object = "") -> None:
    assert set(actual) == set(expected), context
    for key, tensor in expected.items():
        assert_same_bits(np.ascontiguousarray(as_numpy(actual[key])), np.ascontiguousarray(tensor), (key, context))


def exact(t: tersor.Quantized) -> Array:
    """In float64."""
    size = t.group_size or t.shape[1]
    groups = np.arange(t.shape[1]) // size
    difference = t.q.astype(np.float64) - zero_points_of(t).astype(np.float64)[:, groups]
    return np.asarray(difference * t.scale.astype(np.float64)[:, groups])


def to_torch(tensors: dict[str, Any]) -> dict[str, Any]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    return {key: torch.from_numpy(np.array(tensor)) for key, tensor in tensors.items()}


# --- bytes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_gptq_bytes(bits: int, symmetric: bool, each_level: Any) -> None:
    for rows, cols, size in ((32, 64, 32), (64, 96, 96), (96, 160, 64), (32, 32, 8)):
        t = grid(rows, cols, bits, size, symmetric)
        for name, less in (("gptq", 1), ("gptq_v2", 0)):
            expected = gptq_tensors(t, less)
            for setting in each_level:
                context = f"{name}, {t}, {setting}"
                assert_same_tensors(formats.encode(name, t), expected, context)
                found = formats.codes(name, expected)
                assert_same_bits(found.q, t.q, context)
                assert_same_bits(found.scale, t.scale, context)
                assert (found.zero_point is None) == symmetric, context
                if not symmetric:
                    assert_same_bits(found.zero_point, t.zero_point, context)
                assert np.array_equal(formats.decode(name, expected, dtype="float64"), exact(t)), context


@pytest.mark.parametrize("symmetric", [True, False])
def test_awq_bytes(symmetric: bool, each_level: Any) -> None:
    for rows, cols, size in ((8, 64, 32), (64, 7, 7), (40, 160, 32), (128, 128, 128)):
        t = grid(rows, cols, 4, size, symmetric)
        expected = awq_tensors(t)
        for setting in each_level:
            assert_same_tensors(formats.encode("awq", t), expected, setting)
            assert_same_bits(formats.codes("awq", expected).q, t.q, setting)
            assert np.array_equal(formats.decode("awq", expected, dtype="float64"), exact(t)), setting


def test_symmetric_zero_points_are_the_known_words() -> None:
    for bits, first, second in ((4, 0x77777777, 0x88888888), (8, 0x7F7F7F7F, 0x80808080), (2, 0x55555555, 0xAAAAAAAA)):
        t = grid(32, 64, bits, 32, True)
        for name, word in (("gptq", first), ("gptq_v2", second)):
            assert (formats.encode(name, t)["qzeros"] == np.uint32(word).view(np.int32)).all(), (name, bits)
    assert (formats.encode("awq", grid(32, 64, 4, 32, True))["qzeros"] == np.uint32(0x88888888).view(np.int32)).all()


def test_awq_order_in_a_word() -> None:
    """Row i of eight holds i: AutoAWQ's word has 0, 2, 4, 6, 1, 3, 5, 7 from its lowest nibble."""
    t = tersor.Quantized(
        np.arange(8, dtype=np.uint8)[:, None], np.ones((8, 1), np.float16), None, 4, (8, 1), 1, signed=False
    )
    assert int(formats.encode("awq", t)["qweight"][0, 0]) == 0x75316420


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
def test_pack_quantized_bytes(bits: int, symmetric: bool, each_level: Any) -> None:
    for rows, cols, size in ((5, 64, 32), (33, 77, 77), (16, 100, 32)):
        t = grid(rows, cols, bits, size, symmetric)
        for name, padded in (("pack-quantized", False), ("pack-quantized-padded", True)):
            expected = {
                "weight_packed": spec.pack_bits(t.q, bits, "int32", padded),
                "weight_scale": t.scale,
                "weight_shape": np.array(t.shape, np.int64),
            }
            if not symmetric:
                expected["weight_zero_point"] = spec.pack_bits(t.zero_point, bits, "int32", padded, axis=0)
            for setting in each_level:
                context = f"{name}, {t}, {setting}"
                assert_same_tensors(formats.encode(name, t), expected, context)
                found = formats.codes(name, expected, bits=bits, group_size=size)
                assert_same_bits(found.q, t.q, context)
                decoded = formats.decode(name, expected, bits=bits, group_size=size, dtype="float64")
                assert np.array_equal(decoded, exact(t)), context


# --- compressed-tensors itself -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8, 3])
def test_tensors_of_compressed_tensors(bits: int, symmetric: bool, dtype: str) -> None:
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    import torch
    from compressed_tensors.compressors.quantized_compressors.pack_quantized import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs

    compressor = PackedQuantizationCompressor()
    w = torch.from_numpy(np.random.default_rng(bits).standard_normal((24, 256))).to(getattr(torch, dtype))
    for strategy, size in (("group", 64), ("channel", None)):
        args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=size)
        ours = formats.encode("pack-quantized-padded", w, bits=bits, group_size=size or -1, symmetric=symmetric)
        t = formats.codes("pack-quantized-padded", ours, bits=bits, group_size=size)
        zero_point = None if symmetric else (t.zero_point.to(torch.int16) - 2 ** (bits - 1)).to(torch.int8)
        theirs = compressor.compress_weight(w, t.scale, args, zero_point=zero_point)
        for key, tensor in theirs.items():
            assert ours[key].dtype == tensor.dtype and torch.equal(ours[key], tensor), (key, strategy)
        if symmetric:  # 0.12.2 does not read packed zero points
            decoded = compressor.decompress_weight(ours, quantization_args=args)
            back = formats.decode("pack-quantized-padded", theirs | {"weight_scale": t.scale}, bits=bits, group_size=size)
            assert torch.equal(decoded, back), strategy


# --- onnxruntime itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_tensors_of_onnxruntime(bits: int, symmetric: bool, dtype: Any) -> None:
    """Ties of greatest magnitudes, one sign alone, numbers whose scale is no normal one; and every code."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from onnxruntime.capi import _pybind_state as ort

    pack = {2: ort.quantize_matmul_2bits, 4: ort.quantize_matmul_4bits, 8: ort.quantize_matmul_8bits}[bits]
    for block, rows, cols in ((16, 24, 256), (32, 7, 96), (128, 5, 384)):
        w = weight(rows, cols, dtype, seed=block)
        w[0, ::2], w[0, 1::2] = 3, -3
        w[4] = np.abs(w[4]) if symmetric else -np.abs(w[4])
        blocks = cols // block
        theirs = {
            "B": np.zeros((rows, blocks, block * bits // 8), np.uint8),
            "scales": np.zeros((rows, blocks), dtype),
            "zero_points": np.zeros((rows, -(-blocks * bits // 8)), np.uint8),
        }
        pack(theirs["B"], w.T.copy(), theirs["scales"], theirs["zero_points"], block, rows, cols, symmetric)
        if symmetric:
            del theirs["zero_points"]
        ours = formats.encode("matmulnbits", w, bits=bits, group_size=block, symmetric=symmetric)
        assert_same_tensors(ours, theirs, (block, rows, cols))


# --- from numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.float64])
@pytest.mark.parametrize("name", INTEGERS)
def test_encode_is_quantize_and_pack(name: str, dtype: Any) -> None:
    conventions = {"gptq": "gptq", "gptq_v2": "gptq", "awq": "awq", "matmulnbits": name, "dequantizelinear": "onnx"}
    convention = conventions.get(name, "compressed-tensors")
    w = weight(64, 128, dtype)
    for symmetric, size in itertools.product((True, False), (32, 128, None)):
        if name == "gptq" and not symmetric:
            continue  # zero points of 0, as of groups without negative numbers, are for version 2
        shape = {"granularity": "row"} if size is None else {"granularity": "group", "group_size": size}
        scale_dtype = np.dtype(dtype).name if convention in ("compressed-tensors", "matmulnbits", "onnx") else "float16"
        if convention in ("matmulnbits", "onnx") and dtype is np.float64:
            scale_dtype = "float32"
        t = tersor.quantize(w, 4, symmetric=symmetric, convention=convention, scale_dtype=scale_dtype, **shape)
        tensors = formats.encode(name, w, group_size=size or -1, symmetric=symmetric)
        assert_same_tensors(tensors, formats.encode(name, t))
        assert_same_bits(
            np.asarray(formats.decode(name, tensors, dtype="float32")),
            np.asarray(tersor.dequantize(t, dtype="float32")),
            name,
        )


@pytest.mark.parametrize("name", INTEGERS)
def test_decode_into_an_array(name: str) -> None:
    tensors = formats.encode(name, weight(64, 128), group_size=32)
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        expected = formats.decode(name, tensors, dtype=np.dtype(dtype))
        for out in (np.empty((64, 128), dtype), np.empty((128, 64), dtype).T):
            assert formats.decode(name, tensors, out=out) is out
            assert_same_bits(np.ascontiguousarray(out), expected, name)
    with pytest.raises(ValueError, match=r"\bout\b"):
        formats.decode(name, tensors, out=np.empty((64, 127), np.float32))


@pytest.mark.parametrize("name", INTEGERS)
def test_torch_and_numpy_agree(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    w = weight(64, 128, np.float16)
    expected = formats.encode(name, w, group_size=32)
    tensors = formats.encode(name, torch.from_numpy(w), group_size=32)
    assert all(isinstance(tensor, torch.Tensor) and tensor.is_contiguous() for tensor in tensors.values())
    assert_same_tensors({key: tensor.numpy() for key, tensor in tensors.items()}, expected)
    assert_same_bits(formats.decode(name, tensors).numpy(), formats.decode(name, expected))


def test_packed_codes_are_taken_too() -> None:
    w = weight(32, 64)
    options = {"granularity": "group", "group_size": 32, "symmetric": False, "scale_dtype": "float16"}
    t, packed = (tersor.quantize(w, 4, packed=packed, **options) for packed in (False, True))
    for name in ("pack-quantized", "gptq_v2", "awq"):
        assert_same_tensors(formats.encode(name, packed), formats.encode(name, t), name)


# --- columns in an order of their own ----------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", ["gptq", "gptq_v2", "pack-quantized"])
def test_groups_that_are_no_runs(name: str, symmetric: bool) -> None:
    t = grid(32, 64, 4, 16, symmetric)
    order = np.random.default_rng(3).permutation(64)
    key = "weight_g_idx" if name == "pack-quantized" else "g_idx"
    tensors = formats.encode(name, t) | {key: (order // 16).astype(np.int32)}
    groups = tensors[key]
    difference = t.q.astype(np.float64) - zero_points_of(t).astype(np.float64)[:, groups]
    expected = difference * t.scale.astype(np.float64)[:, groups]
    assert np.array_equal(formats.decode(name, tensors, group_size=16, dtype="float64"), expected)
    with pytest.raises(ValueError, match="no runs"):
        formats.codes(name, tensors)
    other = "gptq_v2" if name == "pack-quantized" else "pack-quantized"
    moved = formats.transcode(name, other, tensors)
    assert np.array_equal(formats.decode(other, moved, dtype="float64"), expected)
    with pytest.raises(ValueError, match=r"runs of columns.*requantize=True would change"):
        formats.transcode(name, "awq", tensors)


# --- from format to format ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("src, dst", list(itertools.permutations(INTEGERS, 2)))
def test_transcode_loses_nothing(src: str, dst: str) -> None:
    for symmetric in (True, False):
        t = grid(64, 128, 4, 32, symmetric)
        for convert in (dict, to_torch):
            tensors = convert(formats.encode(src, t))
            moved = formats.transcode(src, dst, tensors)
            assert_same_tensors(moved, formats.encode(dst, t), symmetric)
            back = formats.transcode(dst, src, moved)
            assert_same_tensors(back, {key: as_numpy(tensor) for key, tensor in tensors.items()}, symmetric)


def test_what_cannot_be_moved_is_told_and_quantized_anew_on_demand() -> None:
    zero = grid(32, 64, 4, 32, False)
    zero.zero_point[3, 1] = 0
    narrow = grid(32, 64, 3, 32, True)
    wide = tersor.quantize(weight(32, 64), 4, granularity="group", group_size=32)
    for t, dst, reason in (
        (zero, "gptq", "gptq_v2 has room"),
        (narrow, "awq", "codes of 4 bits"),
        (wide, "gptq", "scales in float16"),
    ):
        src = "gptq_v2" if t is zero else "pack-quantized"
        tensors = formats.encode(src, t)
        with pytest.raises(ValueError, match=rf"{reason}.*requantize=True would change numbers by up to"):
            formats.transcode(src, dst, tensors)
        anew = formats.transcode(src, dst, tensors, requantize=True)
        w = formats.decode(src, tensors, dtype="float32")
        assert_same_tensors(anew, formats.encode(dst, w, bits=4 if dst == "awq" else t.bits, group_size=32), reason)


# --- which format ------------------------------------------------------------------------------------------------------


def test_detect() -> None:
    symmetric, asymmetric = grid(64, 128, 4, 32, True), grid(64, 128, 4, 32, False)
    for name in ("gptq", "gptq_v2", "awq", "pack-quantized", "matmulnbits", "dequantizelinear"):
        assert formats.detect(formats.encode(name, symmetric)) == name
        assert formats.detect(to_torch(formats.encode(name, symmetric))) == name
    for name in ("awq", "pack-quantized", "matmulnbits", "dequantizelinear"):
        assert formats.detect(formats.encode(name, asymmetric)) == name
    with pytest.raises(ValueError, match="do not tell its version"):
        formats.detect(formats.encode("gptq", asymmetric))
    with pytest.raises(ValueError, match="pack-quantized or pack-quantized-padded"):
        formats.detect(formats.encode("pack-quantized", grid(64, 100, 3, 50, True)))
    with pytest.raises(ValueError, match=r"of no format.*weight"):
        formats.detect({"weight": np.zeros(3)})


# --- what is no such file ----------------------------------------------------------------------------------------------


def broken(name: str, key: str, tensor: Any) -> Any:
    tensors = formats.encode(name, grid(64, 128, 4, 32, False))
    if tensor is None:
        del tensors[key]
    else:
        tensors[key] = tensor(tensors[key]) if callable(tensor) else tensor
    return lambda: formats.decode(name, tensors)


def with_nan(scales: Array) -> Array:
    scales[1, 1] = np.nan
    return scales


@pytest.mark.parametrize(
    "call, pattern",
    [
        (lambda: formats.decode("ggptq", {}), r"name must be one of .*'gptq'.*got 'ggptq'"),
        (lambda: formats.encode("awq", np.zeros((8, 4, 4), np.float32)), r"w must be a matrix"),
        (lambda: formats.encode("awq", np.zeros((7, 32), np.float32), group_size=32), r"rows in whole int32 words; 7"),
        (lambda: formats.encode("awq", np.zeros((8, 48), np.float32), group_size=32), r"whole groups.*48"),
        (lambda: formats.encode("gptq", np.zeros((32, 20), np.float32), group_size=4), r"columns in whole int32 words; 20"),
        (lambda: formats.encode("gptq", np.zeros((32, 32), np.float32), bits=5), r"2, 3, 4 or 8 bits"),
        (lambda: formats.encode("awq", np.zeros((32, 32), np.float32), bits=8, group_size=32), r"4 bits"),
        (broken("gptq", "scales", None), r"scales is missing; there are g_idx, qweight, qzeros"),
        (broken("gptq", "qweight", lambda x: x.astype(np.int64)), r"qweight has dtype int64; it must be int32"),
        (broken("gptq", "qweight", lambda x: x[:-1]), r"qweight has 15 rows of words for the 128 columns of g_idx"),
        (broken("gptq", "qweight", lambda x: x[:, :-1]), r"qweight has shape \(16, 63\); it must be \(16, 64\)"),
        (broken("gptq", "qzeros", lambda x: x[:-1]), r"qzeros has shape \(3, 8\); it must be \(4, 8\)"),
        (broken("gptq", "scales", lambda x: x[0]), r"scales has shape \(64,\); it must have 2 dimensions"),
        (broken("gptq", "scales", with_nan), r"scales holds NaN"),
        (broken("gptq", "g_idx", lambda x: x + 1), r"g_idx holds numbers outside \[0, 3\]"),
        (broken("gptq", "g_idx", lambda x: x - 1), r"g_idx holds numbers outside \[0, 3\]"),
        (broken("gptq", "g_idx", lambda x: x.astype(np.float32)), r"g_idx has dtype float32"),
        (broken("awq", "qweight", lambda x: x[:, :-1]), r"qweight has shape \(128, 7\); it must be \(128, 8\)"),
        (broken("awq", "qweight", lambda x: x[:-1]), r"scales has 4 groups for 127 columns.*pass group_size"),
        (broken("awq", "qzeros", lambda x: x[:, :-1]), r"qzeros has shape \(4, 7\)"),
        (broken("awq", "scales", lambda x: x.astype(np.int8)), r"scales has dtype int8"),
        (
            broken("pack-quantized", "weight_shape", np.array([64, 129])),
            r"weight_scale has 4 groups for 129|weight_packed has 16",
        ),
        (broken("pack-quantized", "weight_shape", np.array([-64, 128])), r"weight_shape is \(-64, 128\)"),
        (broken("pack-quantized", "weight_shape", np.array([64, 128, 1])), r"weight_shape has shape \(3,\)"),
        (
            lambda: formats.encode("matmulnbits", np.zeros((3, 40), np.float32), group_size=8),
            r"blocks of 16, 32.*pad the columns",
        ),
        (lambda: formats.encode("matmulnbits", np.zeros((3, 48), np.float32), bits=3, group_size=16), r"2, 4 or 8 bits"),
        (
            lambda: formats.encode("matmulnbits", tersor.quantize(np.zeros((3, 32)), 4, granularity="group", group_size=32)),
            r"scales in float32.*pass scale_dtype",
        ),
        (broken("matmulnbits", "scales", lambda x: x[:, :-1]), r"scales has shape \(64, 3\); it must be \(64, 4\)"),
        (broken("matmulnbits", "zero_points", lambda x: x[:, :-1]), r"zero_points has shape \(64, 1\)"),
        (broken("matmulnbits", "B", lambda x: x[..., 0]), r"B has shape \(64, 4\); it must have 3"),
        (
            lambda: formats.decode(
                "matmulnbits", formats.encode("matmulnbits", np.zeros((2, 32), np.float32), group_size=32), bits=3
            ),
            r"B has blocks of 16 bytes.*bits is 3",
        ),
        (broken("pack-quantized", "weight_packed", lambda x: x[:-1]), r"weight_packed has shape \(63, 16\)"),
        (broken("pack-quantized", "weight_packed", lambda x: x[:, :1]), r"hold codes of no number of bits"),
        (broken("pack-quantized", "weight_scale", lambda x: x[:-1]), r"weight_scale has shape \(63, 4\)"),
        (broken("pack-quantized", "weight_zero_point", lambda x: x[:-1]), r"weight_zero_point has shape \(7, 4\)"),
        (broken("pack-quantized", "weight_zero_point", lambda x: x.astype(np.int8)), r"weight_zero_point has dtype int8"),
    ],
)
def test_refusals(call: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        call()


@pytest.mark.parametrize("name", INTEGERS)
def test_nothing_to_store(name: str) -> None:
    """Weights without columns; GPTQ and AWQ have no groups then, compressed-tensors a scale a row."""
    tensors = formats.encode(name, np.empty((32, 0), np.float32), group_size=32)
    assert formats.decode(name, tensors, group_size=32, bits=4).shape == (32, 0)
