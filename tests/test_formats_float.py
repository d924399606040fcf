"""Formats of codes that stand for numbers: nf4 and fp4 of bitsandbytes, nvfp4, mxfp4."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from layouts import FLOATS, Array, as_numpy, assert_same_bits, is_nan, random_values, spec, to_torch
from layouts import normal_values as weight
from tersor import _core, formats
from tersor.reference import formats_float as written_out

KINDS = ("nf4", "fp4", "mxfp4", "mxfp4-ocp", "nvfp4", "nvfp4-modelopt")
PLAIN = ("bitsandbytes-nf4", "bitsandbytes-fp4", "nvfp4-pack-quantized", "modelopt-nvfp4", "mxfp4-pack-quantized")
NAMES = (*PLAIN, "bitsandbytes-nf4-nested", "bitsandbytes-fp4-nested")
KIND_OF = dict(zip(PLAIN, ("nf4", "fp4", "nvfp4", "nvfp4-modelopt", "mxfp4"), strict=True))
CODES = {"nvfp4-pack-quantized": "weight_packed", "mxfp4-pack-quantized": "weight_packed"}  # else "weight"


def sizes_of(kind: str) -> tuple[int, ...]:
    return {"nv": (16,), "mx": (32,)}.get(kind[:2], (32, 64, 4096))


def encoded(w: Array, kind: str, group_size: int, of_all: float) -> tuple[Array, Array]:
    packed = np.full(-(-w.size // 2), 0x5A, np.uint8)
    scale = np.empty(-(-w.size // group_size), np.float32 if kind in ("nf4", "fp4") else np.uint8)
    _core.encode_float(w, kind, group_size, of_all, packed, scale)
    return packed, scale


def arrangements(w: Array) -> Iterator[Array]:
    """The same matrix at other strides and addresses."""
    yield w
    yield np.asfortranarray(w)
    wide = np.zeros((w.shape[0] * 2, w.shape[1] + 3), w.dtype)
    wide[::2, 1:-2] = w
    yield wide[::2, 1:-2]
    yield w[::-1, ::-1].copy()[::-1, ::-1]
    at_odd_byte = np.empty(w.nbytes + 1, np.uint8)[1:].view(w.dtype).reshape(w.shape)
    at_odd_byte[...] = w
    yield at_odd_byte


# --- the specification -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits(kind: str, dtype: np.dtype[Any], each_level: Any) -> None:
    """NaN, infinities, zeros and denormals among them; shapes that end within vectors and runs."""
    shapes = ((3, 64), (16, 512)) + (((1, 1), (7, 129), (33, 100)) if kind in ("nf4", "fp4") else ())
    cases = []
    for i, (shape, size) in enumerate(itertools.product(shapes, sizes_of(kind))):
        with np.errstate(invalid="ignore"):  # signalling NaN
            w = random_values(shape, dtype, seed=i) * dtype.type((1, 1e-4, 1e-40)[i % 3])
        w[1:2] = 0
        of_all = float(spec.global_scale(w, kind)) if kind[:2] == "nv" else 1.0
        cases.append((w, size, of_all, spec.encode_float(w, kind, size, of_all)))
    for setting in each_level:
        for w, size, of_all, (packed, scale) in cases:
            found = encoded(w, kind, size, of_all)
            assert_same_bits(found[0], packed, (setting, w.shape, size))
            assert_same_bits(found[1], scale, (setting, w.shape, size))
            for name in FLOATS:
                out = np.empty(w.shape, FLOATS[name])
                _core.decode_float(packed, scale, kind, size, of_all, out)
                expected = spec.decode_float(packed, scale, kind, size, w.shape, FLOATS[name], of_all)
                assert_same_bits(out, expected, (setting, name, w.shape, size))


@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_on_threads_and_at_any_stride(kind: str, settings: Any) -> None:
    w = random_values((96, 6400), np.dtype(np.float32), seed=1)
    size = sizes_of(kind)[0]
    expected = spec.encode_float(w, kind, size, 2.0)
    numbers = spec.decode_float(*expected, kind, size, w.shape, np.float32, 2.0)
    for setting in settings:
        for each in arrangements(w):
            found = encoded(each, kind, size, 2.0)
            assert_same_bits(found[0], expected[0], (setting, each.strides))
            assert_same_bits(found[1], expected[1], (setting, each.strides))
            out = np.empty_like(each)
            _core.decode_float(*expected, kind, size, 2.0, out)
            assert_same_bits(np.ascontiguousarray(out), numbers, (setting, each.strides))
            assert _core.greatest_magnitude(each) == np.abs(w[np.isfinite(w)]).max(), setting


# --- each boundary of rounding -----------------------------------------------------------------------------------------


def around(numbers: Array) -> Array:
    """Numbers, the middles between them, and the float32 numbers next to both, of both signs."""
    middles = (numbers[:-1].astype(np.float64) + numbers[1:]) / 2
    near = np.concatenate([numbers, middles]).astype(np.float32)
    near = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    return np.concatenate([near, -near])


def test_codes_round_as_float4_of_ml_dtypes(each_level: Any) -> None:
    """A run of 6 has a scale of 1 by the rule of OCP. ml_dtypes keeps the sign of -0.0."""
    x = around(np.arange(0, 6.5, 0.125, np.float32))
    x = x[np.abs(x) <= 6]
    w = np.zeros((-(-x.size // 31), 32), np.float32)
    w[:, 0] = 6
    w[:, 1:].flat[: x.size] = x
    expected = w.astype(ml_dtypes.float4_e2m1fn).view(np.uint8)
    expected[w == 0] = 0
    for setting in each_level:
        packed, scale = encoded(w, "mxfp4-ocp", 32, 1.0)
        assert (scale == 127).all()
        assert_same_bits(packed, (expected[:, ::2] | expected[:, 1::2] << 4).ravel(), setting)


def test_scales_round_as_float8_of_ml_dtypes(each_level: Any) -> None:
    numbers = np.arange(127, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    assert_same_bits(written_out.E4M3, numbers)
    greatest = np.abs(around(numbers)) * np.float32(6)
    greatest = greatest[greatest <= 448 * 6]
    w = np.zeros((greatest.size, 16), np.float32)
    w[:, 3] = greatest
    expected = (greatest / np.float32(6)).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    for setting in each_level:
        for kind, of_zero in (("nvfp4", 0x20), ("nvfp4-modelopt", None)):
            found = encoded(w, kind, 16, 1.0)[1]
            if of_zero is None:  # at least 2**-9, but for 0
                assert_same_bits(found, np.where(greatest == 0, 0x38, np.maximum(expected, 1)).astype(np.uint8), setting)
            else:
                assert_same_bits(found, np.where(expected == 0, of_zero, expected).astype(np.uint8), setting)


@pytest.mark.parametrize("kind, scale_dtype", [("nvfp4", ml_dtypes.float8_e4m3fn), ("mxfp4", ml_dtypes.float8_e8m0fnu)])
def test_every_scale_is_read(kind: str, scale_dtype: Any, dtype: np.dtype[Any], each_level: Any) -> None:
    """NaN among them, of which comes the NaN that has no sign."""
    scale = np.arange(256, dtype=np.uint8)
    size = sizes_of(kind)[0]
    packed = np.full(256 * size // 2, 0xA2, np.uint8)  # 1, -1, ..
    with np.errstate(over="ignore"):
        numbers = scale.view(scale_dtype).astype(np.float32)[:, None] * np.tile(np.float32([1, -1]), size // 2)
        numbers = numbers.astype(dtype)
    numbers[is_nan(numbers)] = np.nan
    for setting in each_level:
        out = np.empty((256, size), dtype)
        _core.decode_float(packed, scale, kind, size, 1.0, out)
        assert_same_bits(out, numbers, setting)


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_ties_of_bitsandbytes_go_down(kind: str, each_level: Any) -> None:
    table = written_out.TABLES[kind]
    x = around(np.unique(table))
    w = np.zeros((1, -(-x.size // 64) * 64), np.float32)
    w[0, : x.size] = np.clip(x, -1, 1)
    w[0, ::64] = 1
    order = np.argsort(table, kind="stable")
    expected = [order[sum(bool(v > (table[a] + table[b]) / 2) for a, b in itertools.pairwise(order))] for v in w[0]]
    codes = np.array(expected, np.uint8)
    for setting in each_level:
        packed, scale = encoded(w, kind, 64, 1.0)
        assert (scale == 1).all()
        assert_same_bits(packed, codes[::2] << 4 | codes[1::2], setting)


def test_special_numbers() -> None:
    """They have no say in the scale; NaN is 0, an infinity the greatest number."""
    w = np.full((1, 64), 0.5, np.float32)
    w[0, :4] = np.nan, np.inf, -np.inf, -0.0
    for name in PLAIN:
        numbers = formats.decode(name, formats.encode(name, w), dtype="float32")[0]
        greatest = {"mxfp4-pack-quantized": 0.75}.get(name, 0.5)
        assert np.allclose(numbers[:4], [0, greatest, -greatest, 0], atol=1e-6), (name, numbers[:4])
        assert np.allclose(numbers[4:], 0.5), name
    for name in PLAIN:
        tensors = formats.encode(name, np.zeros((2, 64), np.float32))
        assert (formats.decode(name, tensors, dtype="float32") == 0).all(), name


# --- as formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
def test_tensors(name: str, dtype: np.dtype[Any]) -> None:
    """Their names, dtypes and shapes, and what the specification puts into them."""
    w, kind = weight(dtype=dtype), KIND_OF[name]
    tensors = formats.encode(name, w)
    of_all = float(spec.global_scale(w, kind)) if kind[:2] == "nv" else 1.0
    size = {"nv": 16, "mx": 32}.get(kind[:2], 64)
    packed, scale = spec.encode_float(w, kind, size, of_all)
    codes = tensors.pop(CODES.get(name, "weight"))
    assert codes.shape == ((w.size // 2, 1) if kind in ("nf4", "fp4") else (24, 128))
    assert_same_bits(codes.ravel(), packed)
    if kind in ("nf4", "fp4"):
        assert_same_bits(tensors.pop("weight.absmax"), scale)
        assert_same_bits(tensors.pop("weight.quant_map"), written_out.TABLES[kind])
        state = json.loads(tensors.pop(f"weight.quant_state.bitsandbytes__{kind}").tobytes())
        stored = "float32" if dtype == np.float64 else dtype.name
        assert state == {"quant_type": kind, "blocksize": 64, "dtype": stored, "shape": [24, 256]}
    else:
        stored_scale = tensors.pop("weight_scale")
        assert stored_scale.dtype == (ml_dtypes.float8_e4m3fn if kind[:2] == "nv" else np.uint8)
        assert_same_bits(stored_scale.view(np.uint8), scale.reshape(24, 256 // size))
    if kind[:2] == "nv":
        key, shape = {"nvfp4": ("weight_global_scale", (1,)), "nvfp4-modelopt": ("weight_scale_2", ())}[kind]
        assert_same_bits(tensors.pop(key), np.full(shape, of_all, np.float32))
    assert not tensors


@pytest.mark.parametrize("name", NAMES)
def test_numpy_and_torch_agree(name: str) -> None:
    for dtype in (np.float32, ml_dtypes.bfloat16):
        w = weight(dtype=dtype)
        tensors, theirs = formats.encode(name, w), formats.encode(name, to_torch(w))
        assert set(tensors) == set(theirs) and formats.detect(tensors) == formats.detect(theirs) == name
        for key, tensor in tensors.items():
            assert str(theirs[key].dtype) == f"torch.{tensor.dtype.name}", key
            found = theirs[key].view(to_torch(np.zeros(1, np.uint8)).dtype) if "float8" in tensor.dtype.name else theirs[key]
            assert_same_bits(found.numpy(), tensor.view(np.uint8) if "float8" in tensor.dtype.name else tensor, key)
        assert_same_bits(as_numpy(formats.decode(name, theirs)), as_numpy(formats.decode(name, tensors)))
        as_bytes = {key: t.view(np.uint8) if "float8" in t.dtype.name else t for key, t in tensors.items()}
        assert_same_bits(formats.decode(name, as_bytes), formats.decode(name, tensors))


@pytest.mark.parametrize("name", NAMES)
def test_decode_into_an_array(name: str, dtype: np.dtype[Any]) -> None:
    tensors = formats.encode(name, weight())
    expected = formats.decode(name, tensors, dtype=dtype)
    for out in (np.empty((24, 256), dtype), np.empty((256, 24), dtype).T):
        assert formats.decode(name, tensors, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), expected)
    assert formats.decode(name, formats.encode(name, weight()[:0])).shape == (0, 256)
    assert formats.decode(name, formats.encode(name, weight()[:, :0])).shape == (24, 0)


def test_rows_that_are_no_whole_runs() -> None:
    """bitsandbytes counts entries of the whole matrix, also an odd number of them."""
    w = weight(7, 33)
    for name in ("bitsandbytes-nf4", "bitsandbytes-fp4-nested"):
        found = formats.decode(name, formats.encode(name, w, group_size=32))
        assert found.shape == w.shape and abs(found - w).max() < 0.75


@pytest.mark.parametrize("convert", [np.asarray, to_torch], ids=["numpy", "torch"])
def test_scales_of_mxfp4_may_be_float8_too(convert: Any) -> None:
    tensors = formats.encode("mxfp4-pack-quantized", weight())
    as_float8 = tensors | {"weight_scale": tensors["weight_scale"].view(ml_dtypes.float8_e8m0fnu)}
    found = formats.decode("mxfp4-pack-quantized", {key: convert(tensor) for key, tensor in as_float8.items()})
    assert_same_bits(as_numpy(found), formats.decode("mxfp4-pack-quantized", tensors))


def test_ocp_rounds_scales_down() -> None:
    w = np.full((1, 32), 7.0, np.float32)
    by_name = {each: formats.encode("mxfp4-pack-quantized", w, convention=each) for each in ("compressed-tensors", "ocp")}
    scales = {each: int(tensors["weight_scale"][0, 0]) for each, tensors in by_name.items()}
    assert scales == {"compressed-tensors": 128, "ocp": 127}
    assert formats.decode("mxfp4-pack-quantized", by_name["ocp"], dtype="float32")[0, 0] == 6
    assert formats.decode("mxfp4-pack-quantized", by_name["compressed-tensors"], dtype="float32")[0, 0] == 8


# --- one format to another ---------------------------------------------------------------------------------------------


def test_nvfp4_changes_its_scale_of_all_where_the_reciprocal_is_exact() -> None:
    w = weight()
    w[0, 0] = 5.25  # 448 * 6 / 5.25 is 2**9
    ours, theirs = "nvfp4-pack-quantized", "modelopt-nvfp4"
    tensors = formats.encode(ours, w) | {"input_global_scale": np.float32([256])}
    moved = formats.transcode(ours, theirs, tensors)
    assert float(moved["weight_scale_2"]) == 2.0**-9 and float(moved["input_scale"]) == 2.0**-8
    assert_same_bits(formats.decode(theirs, moved), formats.decode(ours, tensors))
    back = formats.transcode(theirs, ours, moved)
    assert set(back) == set(tensors) and all(np.array_equal(back[key], tensors[key]) for key in tensors)
    for src, dst in ((ours, theirs), (theirs, ours)):
        tensors = formats.encode(src, w * np.float32(1.7))
        with pytest.raises(ValueError, match=r"the reciprocal of .*no float32 number.*requantize=True would change"):
            formats.transcode(src, dst, tensors)
        anew = formats.transcode(src, dst, tensors, requantize=True)
        assert formats.detect(anew) == dst


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_nested_scales_become_plain_ones(kind: str) -> None:
    plain, nested = f"bitsandbytes-{kind}", f"bitsandbytes-{kind}-nested"
    tensors = formats.encode(nested, weight(64, 512))
    moved = formats.transcode(nested, plain, tensors)
    assert formats.detect(moved) == plain
    assert_same_bits(formats.decode(plain, moved), formats.decode(nested, tensors))
    assert formats.transcode(nested, nested, tensors).keys() == tensors.keys()
    with pytest.raises(ValueError, match="scales in 8 bits"):
        formats.transcode(plain, nested, moved)


def test_nested_scales_written_out() -> None:
    w = weight(130, 512)
    tensors = formats.encode("bitsandbytes-nf4-nested", w)
    absmax = formats.encode("bitsandbytes-nf4", w)["weight.absmax"]
    state = json.loads(tensors["weight.quant_state.bitsandbytes__nf4"].tobytes())
    assert state["nested_blocksize"] == 256 and state["nested_offset"] == float(np.float32(absmax.mean(dtype=np.float64)))
    numbers = tensors["weight.nested_quant_map"]
    assert numbers.shape == (256,) and (np.diff(numbers) > 0).all() and numbers[127] == 0 and numbers[255] == 1
    rest = absmax - np.float32(state["nested_offset"])
    assert np.array_equal(tensors["weight.nested_absmax"], [abs(rest[i : i + 256]).max() for i in range(0, rest.size, 256)])
    scales = numbers[tensors["weight.absmax"]] * np.repeat(tensors["weight.nested_absmax"], 256)[: rest.size]
    assert abs(scales - rest).max() < 0.004 * abs(rest).max() * 2
    equal = formats.encode("bitsandbytes-nf4-nested", np.ones((4, 128), np.float32))  # nothing is left of the scales
    assert (equal["weight.absmax"] == 0).all()
    assert (formats.decode("bitsandbytes-nf4-nested", equal) == 1).all()


def test_codes_of_numbers_are_no_integers() -> None:
    tensors = formats.encode("bitsandbytes-nf4", weight())
    with pytest.raises(ValueError, match="no multiples of a step"):
        formats.codes("bitsandbytes-nf4", tensors)
    with pytest.raises(ValueError, match="no multiples of a step"):
        formats.transcode("bitsandbytes-nf4", "pack-quantized", tensors)
    anew = formats.transcode("bitsandbytes-nf4", "pack-quantized", tensors, requantize=True)
    assert formats.detect(anew) == "pack-quantized"
    back = formats.transcode("pack-quantized", "mxfp4-pack-quantized", anew, requantize=True)
    assert formats.detect(back) == "mxfp4-pack-quantized"


# --- the packages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_codes_of_compressed_tensors(dtype: str) -> None:
    """Release 0.12.2 has codes and numbers of nvfp4, given the scales."""
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    import torch
    from compressed_tensors.compressors.quantized_compressors.nvfp4_quantized import (
        pack_fp4_to_uint8,
        unpack_fp4_from_uint8,
    )
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
    from compressed_tensors.quantization.utils import generate_gparam

    args = QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", symmetric=True, group_size=16)
    w = torch.from_numpy(weight(16, 128)).to(getattr(torch, dtype))
    ours = formats.encode("nvfp4-pack-quantized", w)
    assert torch.equal(ours["weight_global_scale"], generate_gparam(w.min(), w.max()).float())
    scale = {"scale": ours["weight_scale"].float(), "global_scale": ours["weight_global_scale"]}
    codes = quantize(w, zero_point=torch.zeros_like(scale["scale"]), args=args, **scale)
    with torch.compiler.set_stance("force_eager"):  # compiling takes half a minute
        assert torch.equal(pack_fp4_to_uint8(codes), ours["weight_packed"])
        numbers = unpack_fp4_from_uint8(ours["weight_packed"], 16, 128, torch.float32)
    decoded = dequantize(numbers, args=args, dtype=torch.bfloat16, **scale)
    assert torch.equal(decoded, formats.decode("nvfp4-pack-quantized", ours))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_tensors_of_bitsandbytes(kind: str, dtype: str) -> None:
    """Its own, and what it makes of ours. Nested scales lie about a mean whose last bits are its own."""
    functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes is not installed")
    import torch

    for shape, size, nested in itertools.product(((24, 256), (5, 66)), (32, 64, 4096), (False, True)):
        name = f"bitsandbytes-{kind}" + ("-nested" if nested else "")
        w = torch.from_numpy(weight(*shape)).to(getattr(torch, dtype))
        q, state = functional.quantize_4bit(w, blocksize=size, quant_type=kind, compress_statistics=nested)
        theirs = {"weight": q} | {f"weight.{key}": tensor for key, tensor in state.as_dict(packed=True).items()}
        ours = formats.encode(name, w, group_size=size)
        assert torch.equal(formats.decode(name, theirs), functional.dequantize_4bit(q, state)), (shape, size, nested)
        assert set(ours) == set(theirs) and torch.equal(ours["weight"], q), (shape, size, nested)
        for key in ours if not nested else ("weight.quant_map", "weight.nested_quant_map"):
            assert ours[key].dtype == theirs[key].dtype and torch.equal(ours[key], theirs[key]), (key, shape, size)
        parts = {key.removeprefix("weight."): tensor for key, tensor in ours.items() if key != "weight"}
        read = functional.QuantState.from_dict(parts, device="cpu")
        assert torch.equal(functional.dequantize_4bit(ours["weight"], read), formats.decode(name, ours)), (shape, size)


# --- what is no such file ----------------------------------------------------------------------------------------------


def broken(name: str, key: str, change: Callable[[Any], Any] | None) -> Callable[[], Any]:
    tensors = formats.encode(name, weight())
    if change is None:
        del tensors[key]
    else:
        tensors[key] = change(tensors[key])
    return lambda: formats.decode(name, tensors)


def with_state(name: str, **changes: Any) -> Callable[[], Any]:
    def change(state: Array) -> Array:
        return np.frombuffer(json.dumps(json.loads(state.tobytes()) | changes).encode(), np.uint8)

    return broken(name, "weight.quant_state.bitsandbytes__nf4", change)


@pytest.mark.parametrize(
    "call, pattern",
    [
        (lambda: formats.encode("modelopt-nvfp4", np.zeros(32, np.float32)), r"w must be a matrix"),
        (lambda: formats.encode("bitsandbytes-nf4", weight(), bits=8), r"codes of 4 bits, not of 8"),
        (lambda: formats.encode("bitsandbytes-nf4", weight(), group_size=48), r"group_size must be 32 or 64 or.*got 48"),
        (lambda: formats.encode("mxfp4-pack-quantized", weight(), group_size=16), r"group_size must be 32 for mxfp4"),
        (lambda: formats.encode("mxfp4-pack-quantized", weight(4, 48)), r"runs of 32 columns; 48"),
        (lambda: formats.encode("nvfp4-pack-quantized", weight(), symmetric=False), r"no zero points"),
        (
            lambda: formats.encode("nvfp4-pack-quantized", weight(), convention="ocp"),
            r"convention must be 'compressed-tensors'",
        ),
        (broken("nvfp4-pack-quantized", "weight_scale", None), r"weight_scale is missing"),
        (broken("nvfp4-pack-quantized", "weight_scale", lambda x: x.astype(np.float32)), r"must be float8_e4m3fn or uint8"),
        (broken("nvfp4-pack-quantized", "weight_scale", lambda x: x[:, 1:]), r"weight_scale has shape \(24, 15\)"),
        (broken("nvfp4-pack-quantized", "weight_packed", lambda x: x[:, 1:]), r"weight_packed has 254 codes a row"),
        (broken("nvfp4-pack-quantized", "weight_packed", lambda x: x.view(np.int8)), r"weight_packed has dtype int8"),
        (broken("nvfp4-pack-quantized", "weight_global_scale", lambda x: x * 0), r"weight_global_scale is 0"),
        (broken("modelopt-nvfp4", "weight_scale_2", lambda x: x * np.float32(np.nan)), r"weight_scale_2 is nan"),
        (broken("modelopt-nvfp4", "weight_scale_2", lambda x: np.ones(2, np.float32)), r"it must be one number"),
        (broken("mxfp4-pack-quantized", "weight_scale", lambda x: x[1:]), r"weight_scale has shape \(23, 8\)"),
        (broken("mxfp4-pack-quantized", "weight_packed", lambda x: x[:, 1:]), r"weight_packed has 254 codes a row"),
        (broken("bitsandbytes-nf4", "weight", lambda x: x[1:]), r"weight has shape \(3071, 1\)"),
        (broken("bitsandbytes-nf4", "weight.absmax", lambda x: x[1:]), r"weight.absmax has shape \(95,\)"),
        (broken("bitsandbytes-nf4", "weight.absmax", lambda x: x.astype(np.float16)), r"weight.absmax has dtype float16"),
        (broken("bitsandbytes-nf4", "weight.quant_state.bitsandbytes__nf4", lambda x: x[1:]), r"is no JSON"),
        (with_state("bitsandbytes-nf4", shape=[24, 258]), r"weight has shape \(3072, 1\); it must be \(3096, 1\)"),
        (with_state("bitsandbytes-nf4", shape=[-24, -256]), r"the shape of a matrix"),
        (with_state("bitsandbytes-nf4", shape=[6144]), r"the shape of a matrix"),
        (with_state("bitsandbytes-nf4", quant_type="fp4"), r"must have quant_type nf4"),
        (with_state("bitsandbytes-nf4", dtype="int8"), r"a dtype"),
        (with_state("bitsandbytes-nf4", blocksize=63), r"blocksize 63; it is a power of two"),
        (with_state("bitsandbytes-nf4-nested", nested_blocksize=0), r"nested_blocksize 0"),
        (with_state("bitsandbytes-nf4-nested", nested_offset=None), r"nested_offset None"),
        (
            broken("bitsandbytes-nf4-nested", "weight.nested_quant_map", lambda x: x[1:]),
            r"nested_quant_map has shape \(255,\)",
        ),
        (broken("bitsandbytes-nf4-nested", "weight.nested_absmax", lambda x: x[1:]), r"nested_absmax has shape \(0,\)"),
        (broken("bitsandbytes-nf4-nested", "weight.absmax", lambda x: x.view(np.int8)), r"weight.absmax has dtype int8"),
        (
            lambda: formats.decode(
                "modelopt-nvfp4", formats.encode("modelopt-nvfp4", weight()), out=np.empty((24, 255), "f4")
            ),
            r"out has shape \(24, 255\); the weight has \(24, 256\)",
        ),
        (
            lambda: formats.decode(
                "modelopt-nvfp4", formats.encode("modelopt-nvfp4", weight()), dtype="float16", out=np.empty((24, 256), "f4")
            ),
            r"dtype is float16, but out has dtype float32",
        ),
    ],
)
def test_refusals(call: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        call()


def test_refusals_of_parts() -> None:
    """What formats never ask for."""
    w, packed, scale = np.zeros((2, 64), np.float32), np.zeros(64, np.uint8), np.zeros(4, np.uint8)
    for change, error, pattern in (
        ({"kind": "int5"}, ValueError, r"format must be one of \"nf4\""),
        ({"size": 8}, ValueError, r"group_size must be a power of two in \[16, 4096\], got 8"),
        ({"kind": "nf4", "size": 16}, ValueError, r"group_size must be a power of two in \[32, 4096\], got 16"),
        ({"size": 48}, ValueError, r"group_size must be a power of two"),
        ({"scale": scale[:3]}, ValueError, r"scale has 3 items; for w of shape \(2, 64\) it must have 4"),
        ({"packed": packed[:63]}, ValueError, r"packed has 63 items"),
        ({"packed": np.zeros(128, np.uint8)[::2]}, ValueError, r"packed"),
        ({"packed": packed.view(np.int8)}, TypeError, r"packed has dtype int8"),
        ({"scale": np.zeros(4, np.float32)}, TypeError, r"scale has dtype float32"),
        ({"w": packed}, TypeError, r"w has dtype uint8"),
        ({"packed": w.view(np.uint8).ravel()[:64]}, ValueError, r"packed|overlap"),
    ):
        given = {"w": w, "kind": "mxfp4", "size": 32, "packed": packed, "scale": scale} | change
        with pytest.raises(error, match=pattern):
            _core.encode_float(given["w"], given["kind"], given["size"], 1.0, given["packed"], given["scale"])
