"""The format torchao-int4: codes of 4 bits with float32 steps, and numbers for zero points."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from layouts import FLOATS, Array, as_numpy, assert_same_bits, random_values, to_torch
from layouts import normal_values as weight
from tersor import _core, formats
from tersor.reference import formats_float as written_out

NAME = "torchao-int4"
BACKENDS = Path(sys.prefix) / "backends"  # not beside transformers, which would load it
KEYS = ("_weight_qdata", "_weight_scale", "_weight_zero_point")
BOTH = pytest.mark.parametrize("symmetric", [False, True], ids=["asymmetric", "symmetric"])


def encoded(w: Array, size: int, symmetric: bool) -> tuple[Array, Array, Array | None]:
    runs = -(-w.size // size)
    packed, scale = np.full(-(-w.size // 2), 0x5A, np.uint8), np.empty(runs, np.float32)
    offset = None if symmetric else np.empty(runs, np.float32)
    _core.encode_float(w, "int4", size, 1.0, packed, scale, offset)
    return packed, scale, offset


def assert_parts_are(found: tuple[Array | None, ...], expected: tuple[Array | None, ...], where: Any) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert_same_bits(a, b, where)


# --- the specification -------------------------------------------------------------------------------------------------


@BOTH
def test_same_bits(symmetric: bool, dtype: np.dtype[Any], each_level: Any) -> None:
    """NaN, infinities, zeros and denormals among them; shapes that end within vectors and runs."""
    cases = []
    for i, (shape, size) in enumerate(itertools.product(((1, 1), (3, 64), (7, 129), (16, 512)), (32, 64, 128, 4096))):
        with np.errstate(invalid="ignore", over="ignore"):  # signalling NaN
            w = random_values(shape, dtype, seed=i) * dtype.type((1, 1e-4, 1e-40)[i % 3])
        w[1:2] = 0
        cases.append((w, size, written_out.encode_steps(w, size, symmetric)))
    for setting in each_level:
        for w, size, expected in cases:
            assert_parts_are(encoded(w, size, symmetric), expected, (setting, w.shape, size))
            for name in FLOATS:
                out = np.empty(w.shape, FLOATS[name])
                _core.decode_float(expected[0], expected[1], "int4", size, 1.0, out, expected[2])
                numbers = written_out.decode_steps(*expected, size, w.shape, FLOATS[name])
                assert_same_bits(out, numbers, (setting, name, w.shape, size))


@BOTH
def test_same_bits_on_threads_and_at_any_stride(symmetric: bool, settings: Any) -> None:
    w = random_values((96, 6400), np.dtype(np.float32), seed=1)
    expected = written_out.encode_steps(w, 128, symmetric)
    numbers = written_out.decode_steps(*expected, 128, w.shape, np.float32)
    wide = np.zeros((192, 6403), np.float32)
    wide[::2, 1:-2] = w
    for setting in settings:
        for each in (w, np.asfortranarray(w), wide[::2, 1:-2]):
            assert_parts_are(encoded(each, 128, symmetric), expected, (setting, each.strides))
            out = np.empty_like(each)
            _core.decode_float(expected[0], expected[1], "int4", 128, 1.0, out, expected[2])
            assert_same_bits(np.ascontiguousarray(out), numbers, (setting, each.strides))


@BOTH
def test_steps_around_each_boundary(symmetric: bool, each_level: Any) -> None:
    """A scale of 1; the numbers next to each boundary, and what lies beyond the last code."""
    steps = np.arange(-8, 8, 0.5, np.float32) if symmetric else np.arange(0, 15.5, 0.5, np.float32)
    near = np.concatenate([steps, np.nextafter(steps, np.float32(99)), np.nextafter(steps, np.float32(-99))])
    ends = (-8, 7.75) if symmetric else (0, 15)
    w = np.zeros((-(-near.size // 30), 32), np.float32)
    w[:, :2] = ends
    w[:, 2:].flat[: near.size] = np.clip(near, *ends)
    expected = np.clip(np.rint(w), -8, 7) if symmetric else np.rint(w) - 8
    nibbles = expected.astype(int) & 15
    for setting in each_level:
        packed, scale, _ = encoded(w, 32, symmetric)
        assert (scale == 1).all()
        assert_same_bits(packed, (nibbles[:, ::2] | nibbles[:, 1::2] << 4).astype(np.uint8).ravel(), setting)


def test_special_numbers() -> None:
    """They have no say in the scale; NaN is 0, an infinity the least or greatest code."""
    w = np.tile(np.linspace(-1, 1, 32, dtype=np.float32), (2, 1))
    plain = formats.decode(NAME, formats.encode(NAME, w, group_size=32))
    w[0, 5:8] = np.nan, np.inf, -np.inf
    found = formats.decode(NAME, formats.encode(NAME, w, group_size=32))
    assert_same_bits(found[1], plain[1])
    assert_same_bits(np.delete(found[0], [5, 6, 7]), np.delete(plain[0], [5, 6, 7]))
    assert abs(found[0, 5]) < 1 / 15 + 1e-6 and (found[0, 6], found[0, 7]) == (plain[0].max(), plain[0].min())
    equal = formats.encode(NAME, np.full((1, 32), 3.0, np.float32), group_size=32)
    assert abs(formats.decode(NAME, equal) - 3).max() < 1e-6


# --- as a format -------------------------------------------------------------------------------------------------------


@BOTH
def test_tensors(symmetric: bool, dtype: np.dtype[Any]) -> None:
    w = weight(dtype=dtype)
    tensors = formats.encode(NAME, w, group_size=64, symmetric=symmetric)
    packed, scale, offset = written_out.encode_steps(w, 64, symmetric)
    stored = np.float32 if dtype == np.float64 else dtype
    assert tuple(tensors) == KEYS and formats.detect(tensors) == NAME
    assert_same_bits(tensors["_weight_qdata"], packed.view(np.int8).reshape(24, 128))
    assert_same_bits(tensors["_weight_scale"], np.ascontiguousarray(scale.reshape(24, 4).T).astype(stored))
    zeros = np.zeros(24 * 4, np.float32) if offset is None else offset
    assert_same_bits(tensors["_weight_zero_point"], np.ascontiguousarray(zeros.reshape(24, 4).T).astype(stored))
    for name in FLOATS:
        stored_scale, stored_offset = (np.ascontiguousarray(tensors[key].T).ravel().astype(np.float32) for key in KEYS[1:])
        expected = written_out.decode_steps(packed, stored_scale, stored_offset, 64, w.shape, FLOATS[name])
        assert_same_bits(formats.decode(NAME, tensors, dtype=name), expected, name)


@BOTH
def test_tensors_are_those_of_torchao(symmetric: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the parts of its Int4Tensor, under the names of its safetensors files."""
    monkeypatch.syspath_prepend(BACKENDS)
    pytest.importorskip("torchao", reason="torchao is not installed in .venv/backends")
    import torch
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization.quantize_.workflows.int4.int4_tensor import Int4Tensor

    w = torch.from_numpy(weight()).bfloat16()
    ours = formats.encode(NAME, w, symmetric=symmetric)
    theirs = Int4Tensor(*(ours[key] for key in KEYS), block_size=[1, 128], shape=w.shape)
    assert theirs.shape == w.shape and theirs.dtype == torch.bfloat16
    parts, _ = flatten_tensor_state_dict({"linear.weight": theirs})
    assert {key.removeprefix("linear.") for key in parts} == set(KEYS)
    read = formats.decode(NAME, {key.removeprefix("linear."): tensor for key, tensor in parts.items()})
    assert torch.equal(read, formats.decode(NAME, ours))
    # What its kernels do with them: signed nibbles, the first one low, and groups of 128 columns.
    codes = torch.stack([ours["_weight_qdata"] << 4 >> 4, ours["_weight_qdata"] >> 4], -1).reshape(24, 256).float()
    scale, zero = (ours[key].float().T.repeat_interleave(128, 1) for key in KEYS[1:])
    assert torch.equal(formats.decode(NAME, ours, dtype="float32"), codes * scale + zero)


@BOTH
def test_numpy_and_torch_agree(symmetric: bool) -> None:
    for dtype in (np.float32, ml_dtypes.bfloat16):
        w = weight(dtype=dtype)
        tensors, theirs = (formats.encode(NAME, each, symmetric=symmetric) for each in (w, to_torch(w)))
        assert formats.detect(theirs) == NAME
        for key, tensor in tensors.items():
            assert_same_bits(as_numpy(theirs[key]), tensor, key)
        assert_same_bits(as_numpy(formats.decode(NAME, theirs)), as_numpy(formats.decode(NAME, tensors)))


def test_decode_into_an_array(dtype: np.dtype[Any]) -> None:
    tensors = formats.encode(NAME, weight())
    expected = formats.decode(NAME, tensors, dtype=dtype)
    for out in (np.empty((24, 256), dtype), np.empty((256, 24), dtype).T):
        assert formats.decode(NAME, tensors, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), expected)
    assert formats.decode(NAME, formats.encode(NAME, weight()[:0]), group_size=128).shape == (0, 256)
    assert formats.decode(NAME, formats.encode(NAME, weight()[:, :0])).shape == (24, 0)


# --- one format to another ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["pack-quantized", "gptq_v2", "awq", "matmulnbits", "dequantizelinear"])
def test_symmetric_codes_move(other: str) -> None:
    w = weight(64, 256, np.float16)
    tensors = formats.encode(NAME, w, group_size=64, symmetric=True)
    moved = formats.transcode(NAME, other, tensors)
    assert formats.detect(moved) == other
    assert_same_bits(as_numpy(formats.decode(other, moved)), as_numpy(formats.decode(NAME, tensors)))
    back = formats.transcode(other, NAME, moved)
    for key in KEYS:
        assert_same_bits(back[key], tensors[key], key)
    assert formats.codes(NAME, tensors).bits == 4


def test_zero_points_that_are_numbers_do_not() -> None:
    tensors = formats.encode(NAME, weight())
    for call in (lambda: formats.codes(NAME, tensors), lambda: formats.transcode(NAME, "gptq", tensors)):
        with pytest.raises(ValueError, match="adds numbers to its groups"):
            call()
    anew = formats.transcode(NAME, "pack-quantized", tensors, requantize=True)
    assert formats.detect(anew) == "pack-quantized"
    asymmetric = formats.encode("pack-quantized", weight(), symmetric=False)
    with pytest.raises(ValueError, match=r"codes of 4 bits about zero.*requantize=True would change"):
        formats.transcode("pack-quantized", NAME, asymmetric)
    assert formats.detect(formats.transcode("pack-quantized", NAME, asymmetric, requantize=True)) == NAME
    of_eight_bits = formats.encode("pack-quantized", weight(), bits=8)
    with pytest.raises(ValueError, match="codes of 4 bits"):
        formats.transcode("pack-quantized", NAME, of_eight_bits)
    whole_rows = formats.encode("pack-quantized", weight(4, 512), group_size=-1)
    with pytest.raises(ValueError, match="groups of 32, 64, 128 or 256 columns"):
        formats.transcode("pack-quantized", NAME, whole_rows)


# --- what is no such file ----------------------------------------------------------------------------------------------


def broken(key: str, change: Callable[[Any], Any] | None) -> Callable[[], Any]:
    tensors = formats.encode(NAME, weight())
    if change is None:
        del tensors[key]
    else:
        tensors[key] = change(tensors[key])
    return lambda: formats.decode(NAME, tensors)


@pytest.mark.parametrize(
    "call, pattern",
    [
        (lambda: formats.encode(NAME, np.zeros(32, np.float32)), r"w must be a matrix"),
        (lambda: formats.encode(NAME, weight(), bits=8), r"codes of 4 bits, not of 8"),
        (lambda: formats.encode(NAME, weight(), group_size=48), r"group_size must be 32 or 64 or.*got 48"),
        (lambda: formats.encode(NAME, weight(4, 160)), r"runs of 128 columns; 160"),
        (lambda: formats.encode(NAME, weight(), convention="gptq"), r"convention must be 'torchao'"),
        (broken("_weight_scale", None), r"_weight_scale is missing"),
        (broken("_weight_zero_point", None), r"_weight_zero_point is missing"),
        (broken("_weight_qdata", lambda x: x.astype(np.int16)), r"_weight_qdata has dtype int16"),
        (broken("_weight_qdata", lambda x: x[1:]), r"_weight_scale has shape \(2, 24\); it must be \(2, 23\)"),
        (broken("_weight_qdata", lambda x: x[:, 1:]), r"_weight_scale tells of groups of 127"),
        (broken("_weight_scale", lambda x: x.T), r"_weight_scale has 24 groups for 256 columns"),
        (broken("_weight_scale", lambda x: x * np.float32(np.nan)), r"_weight_scale holds NaN"),
        (broken("_weight_zero_point", lambda x: x.astype(np.float16)), r"_weight_zero_point has dtype float16"),
        (broken("_weight_zero_point", lambda x: x[:1]), r"_weight_zero_point has shape \(1, 24\)"),
        (broken("_weight_zero_point", lambda x: x + np.float32(np.inf)), r"_weight_zero_point holds NaN or an infinity"),
    ],
)
def test_refusals(call: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        call()


def test_refusals_of_parts() -> None:
    """What formats never ask for."""
    w, packed, scale = np.zeros((2, 64), np.float32), np.zeros(64, np.uint8), np.zeros(4, np.float32)
    for change, error, pattern in (
        ({"kind": "nf4"}, ValueError, r"offset must be None"),
        ({"offset": np.zeros(3, np.float32)}, ValueError, r"offset has 3 items"),
        ({"offset": np.zeros(4)}, TypeError, r"offset has dtype float64"),
        ({"offset": np.zeros(8, np.float32)[::2]}, ValueError, r"offset"),
        ({"offset": scale}, ValueError, r"scale|overlap"),
        ({"offset": w.ravel()[:4]}, ValueError, r"w|overlap"),
    ):
        given = {"kind": "int4", "offset": np.zeros(4, np.float32)} | change
        with pytest.raises(error, match=pattern):
            _core.encode_float(w, given["kind"], 32, 1.0, packed, scale, given["offset"])
    for offset, error, pattern in (
        (np.zeros(3, np.float32), ValueError, r"offset has 3 items"),
        (np.zeros(4), TypeError, r"offset has dtype float64"),
        (w.ravel()[:4], ValueError, r"offset|overlap"),
    ):
        with pytest.raises(error, match=pattern):
            _core.decode_float(packed, scale, "int4", 32, 1.0, w, offset)
