"""formats: the blocks of ggml, against the package gguf and against their specification."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from layouts import FLOATS, Array, as_numpy, assert_same_bits, at_offset, canonical_nan, random_values, spec
from tersor import formats
from tersor.reference.formats_gguf import BLOCKS

KINDS = tuple(BLOCKS)
SMALL = tuple(kind for kind in KINDS if BLOCKS[kind].cols == 32)
SUPER = tuple(kind for kind in KINDS if BLOCKS[kind].cols == 256)
GRIDS = ("q4_0", "q5_0", "q8_0")


def encode(kind: str, w: Any) -> Any:
    return formats.encode(f"gguf-{kind}", w)["data"]


def decode(kind: str, data: Any, **options: Any) -> Any:
    return formats.decode(f"gguf-{kind}", {"data": data}, **options)


def weights(rows: int, cols: int, seed: int = 0) -> dict[str, Array]:
    """float32, by what is special about them."""
    random = np.random.default_rng(seed)
    normal = random.standard_normal((rows, cols)).astype(np.float32)
    outlier = normal.copy()
    outlier[:, 5::32] = 1000
    scales = normal * 10.0 ** random.integers(-8, 4, (rows, cols // 16)).repeat(16, axis=1).astype(np.float32)
    return {
        "normal": normal,
        "zeros": np.zeros((rows, cols), np.float32),
        "negative zeros": np.full((rows, cols), -0.0, np.float32),
        "denormals": normal * np.float32(1e-40),
        "small": normal * np.float32(1e-36),
        "nearly denormal scales": normal * np.float32(1e-6),
        "one outlier a block": outlier,
        "ties": random.integers(-8, 9, (rows, cols)).astype(np.float32),
        "halves": (random.integers(-254, 255, (rows, cols)) / 2).astype(np.float32),
        "none negative": np.maximum(normal, 0),
        "none positive": -np.abs(normal),
        "all the same": np.full((rows, cols), -3.5, np.float32),
        "of all sizes": scales,
        "too large for float16": normal * np.float32(1e30),
        "of the greatest range": np.sign(normal) * np.float32(3e38),
    }


def special(rows: int, cols: int) -> Array:
    """With infinities, NaN and zeros of both signs among them, in some blocks and not in others."""
    w = random_values((rows, cols), np.dtype(np.float32), seed=5)
    w[::3] = np.random.default_rng(6).standard_normal(w[::3].shape)
    w[1::3] = np.where(np.isnan(w[1::3]), np.float32(-0.0), w[1::3])
    return w


# --- the package gguf ------------------------------------------------------------------------------------------------


def quants() -> Any:
    return pytest.importorskip("gguf.quants", reason="gguf is not installed")


def type_of(kind: str) -> Any:
    from gguf.constants import GGMLQuantizationType

    return getattr(GGMLQuantizationType, kind.upper())


@pytest.mark.parametrize("kind", SMALL)
def test_bytes_of_the_package(kind: str) -> None:
    for name, w in weights(17, 96).items():
        with np.errstate(all="ignore"):
            expected = quants().quantize(w, type_of(kind))
        assert_same_bits(encode(kind, w), expected, name)


@pytest.mark.parametrize("kind", SMALL)
def test_nan_and_infinities_as_in_the_package(kind: str) -> None:
    w = np.random.default_rng(1).standard_normal((5, 64)).astype(np.float32)
    w[0, 3], w[1, 40], w[2, 63], w[3, 0], w[3, 40] = np.nan, np.inf, -np.inf, np.nan, np.inf
    with np.errstate(all="ignore"):
        expected = quants().quantize(w, type_of(kind))
        assert_same_bits(encode(kind, w), expected, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_the_package(kind: str) -> None:
    data = np.random.default_rng(2).integers(0, 256, (40, 3 * BLOCKS[kind].nbytes)).astype(np.uint8)
    with np.errstate(all="ignore"):
        expected = canonical_nan(quants().dequantize(data, type_of(kind)))
    assert np.isnan(expected).any()
    assert_same_bits(decode(kind, data), expected, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_code(kind: str) -> None:
    """A byte of each value at each place."""
    nbytes = BLOCKS[kind].nbytes
    data = np.full((256, nbytes), 0x11, np.uint8)
    for place, value in itertools.product(range(0, nbytes, 7), range(256)):
        data[value, place] = value
    with np.errstate(all="ignore"):
        expected = canonical_nan(quants().dequantize(data, type_of(kind)))
    assert_same_bits(decode(kind, data), expected, kind)


# SHA-256, its first digits, of what quantize_row_*_ref of ggml 0.25.3 makes of the numbers below, compiled with
# -ffp-contract=off. The package gguf does not make these types.
BYTES_OF_GGML = {"q4_k": "38a20f6ac98e7f14", "q5_k": "816dc76995c6bef0", "q6_k": "e77f692f0e9c38cd"}


@pytest.mark.parametrize("kind", SUPER)
def test_bytes_of_ggml(kind: str) -> None:
    k = np.arange(16 * 1024)
    w = ((k * 7919 % 2003 - 1001) * (1 + k // 256 % 7) / 512).astype(np.float32).reshape(16, 1024)
    assert hashlib.sha256(encode(kind, w).tobytes()).hexdigest()[:16] == BYTES_OF_GGML[kind]


# --- the specification ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_encode_is_the_specification(kind: str, each_level: Any) -> None:
    cols = 3 * BLOCKS[kind].cols
    for name, w in (weights(7, cols) | {"special": special(12, cols)}).items():
        expected = spec.encode_gguf(w, kind)
        for setting in each_level:
            assert_same_bits(encode(kind, w), expected, (name, setting))


@pytest.mark.parametrize("kind", KINDS)
def test_dtypes(kind: str, dtype: Any, each_level: Any) -> None:
    with np.errstate(all="ignore"):
        w = special(9, 2 * BLOCKS[kind].cols).astype(dtype)
    data = spec.encode_gguf(w, kind)
    expected = spec.decode_gguf(data, kind, dtype)
    plain = spec.encode_gguf(weights(5, 512)["normal"], kind)
    for setting in each_level:
        assert_same_bits(encode(kind, w), data, setting)
        assert_same_bits(decode(kind, data, dtype=dtype.name), expected, setting)
        assert_same_bits(decode(kind, plain, dtype=dtype.name), spec.decode_gguf(plain, kind, dtype), setting)


@pytest.mark.parametrize("kind", KINDS)
def test_any_strides_and_threads(kind: str, settings: Any) -> None:
    rows, cols = 130, 1024
    w = weights(rows, cols)["normal"]
    data, numbers = spec.encode_gguf(w, kind), spec.decode_gguf(spec.encode_gguf(w, kind), kind)
    wide = np.zeros((2 * rows, 2 * cols), np.float32)
    wide[::2, ::2] = w
    padded = np.zeros((rows, cols + 3), np.float32)
    padded[:, 3:] = w
    places = {
        "transposed": np.asfortranarray(w),
        "every second": wide[::2, ::2],
        "padded": padded[:, 3:],
        "from the end": np.ascontiguousarray(w[::-1, ::-1])[::-1, ::-1],
        "at an odd address": at_offset(w, 1),
    }
    for setting in settings:
        for name, array in places.items():
            assert_same_bits(encode(kind, array), data, (name, setting))
            assert decode(kind, data, out=array) is array
            assert_same_bits(np.ascontiguousarray(array), numbers, (name, setting))
            array[...] = w
        spread = np.zeros((rows, 2 * data.shape[1]), np.uint8)
        spread[:, ::2] = data
        assert_same_bits(decode(kind, spread[:, ::2]), numbers, setting)


@pytest.mark.parametrize("kind", KINDS)
def test_large(kind: str, settings: Any) -> None:
    """Of several chunks, and in rows that end within a tile."""
    w = np.random.default_rng(3).standard_normal((150, 256 * 9)).astype(np.float32)
    data = encode(kind, w)
    numbers = {dtype: decode(kind, data, dtype=dtype) for dtype in FLOATS}
    assert_same_bits(data[::30], spec.encode_gguf(w[::30], kind))
    for setting in settings:
        assert_same_bits(encode(kind, w), data, setting)
        for dtype, expected in numbers.items():
            assert_same_bits(decode(kind, data, dtype=dtype), expected, setting)
    for dtype, expected in numbers.items():
        assert_same_bits(expected[::30], spec.decode_gguf(data[::30], kind, FLOATS[dtype]), dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_frameworks(kind: str, framework: Any) -> None:
    w = weights(6, 256)["normal"]
    data = spec.encode_gguf(w, kind)
    assert_same_bits(framework.numpy(encode(kind, framework.array(w))), data)
    for dtype in ("float32", "bfloat16"):
        expected = spec.decode_gguf(data, kind, FLOATS[dtype])
        assert_same_bits(framework.numpy(decode(kind, framework.array(data), dtype=dtype)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_error_is_small(kind: str) -> None:
    """Half a step of the codes; of super-blocks more, as the least squares err where there is one outlier."""
    w = weights(20, 512)["normal"]
    change = np.abs(decode(kind, encode(kind, w)) - w)
    step = {4: 0.5, 5: 0.25, 6: 0.15, 8: 0.03}[BLOCKS[kind].bits]
    assert change.max() < step and np.sqrt((change**2).mean()) < step / 4


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_store(kind: str) -> None:
    for shape in ((0, 256), (3, 0), (0, 0)):
        data = encode(kind, np.empty(shape, np.float32))
        assert data.shape == (shape[0], shape[1] // BLOCKS[kind].cols * BLOCKS[kind].nbytes)
        assert decode(kind, data).shape == shape
        if kind in GRIDS:
            t = formats.codes(f"gguf-{kind}", {"data": data})
            assert t.shape == shape and encode(kind, t).shape == data.shape


# --- codes, and from format to format ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GRIDS)
def test_codes_are_the_numbers(kind: str, framework: Any) -> None:
    data = encode(kind, weights(32, 64)["ties"] + np.float32(0.3))
    t = formats.codes(f"gguf-{kind}", {"data": framework.array(data)})
    assert t.symmetric and not t.signed and t.group_size == 32
    assert_same_bits(framework.numpy(tersor.dequantize(t, dtype="float32")), decode(kind, data))
    assert_same_bits(framework.numpy(encode(kind, t)), data)


def grid(rows: int, cols: int, bits: int, group_size: int, most: int, symmetric: bool) -> tersor.Quantized:
    """Codes at most so far from their zero points."""
    random = np.random.default_rng(bits)
    zero_point = random.integers(1, 2**bits, (rows, cols // group_size)).astype(np.uint8)
    if symmetric:
        zero_point[...] = 2 ** (bits - 1)
    places = zero_point.repeat(group_size, axis=1) + random.integers(-most, most, (rows, cols))
    scale = random.integers(1, 1000, zero_point.shape).astype(np.float16) / np.float16(1024)
    q = places.clip(0, 2**bits - 1).astype(np.uint8)
    return tersor.Quantized(q, scale, None if symmetric else zero_point, bits, (rows, cols), 1, group_size, signed=False)


@pytest.mark.parametrize("framework_name", ["numpy", "torch"])
@pytest.mark.parametrize(
    "src, bits", [("pack-quantized", 4), ("gptq", 4), ("gptq_v2", 8), ("awq", 4), ("pack-quantized", 5)]
)
def test_transcode(src: str, bits: int, framework_name: str) -> None:
    """Codes without zero points move to a type of as many bits and back; narrower ones and some with zero points move."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    convert = torch.from_numpy if framework_name == "torch" else np.asarray
    for group_size, symmetric, kind in itertools.product((32, 128), (True, False), GRIDS):
        room = 2 ** (BLOCKS[kind].bits - 1)
        t = grid(32, 256, bits, group_size, min(room, 2 ** (bits - 1)), symmetric)
        tensors = {key: convert(np.ascontiguousarray(tensor)) for key, tensor in formats.encode(src, t).items()}
        moved = formats.transcode(src, f"gguf-{kind}", tensors)
        expected = as_numpy(formats.decode(src, tensors, dtype="float64"))
        assert np.array_equal(as_numpy(formats.decode(f"gguf-{kind}", moved, dtype="float64")), expected)
        if symmetric and group_size == 32 and bits == BLOCKS[kind].bits:
            back = formats.transcode(f"gguf-{kind}", src, moved)
            assert all(np.array_equal(as_numpy(back[key]), as_numpy(tensor)) for key, tensor in tensors.items())


def test_what_cannot_be_moved() -> None:
    wide = formats.encode("gptq_v2", grid(32, 256, 8, 32, 127, False))
    narrow_groups = formats.encode("gptq_v2", grid(32, 256, 4, 16, 7, True))
    precise = formats.encode("pack-quantized", weights(32, 256)["normal"], group_size=32)
    order = formats.encode("gptq_v2", grid(32, 256, 4, 32, 7, True))
    order["g_idx"] = np.random.default_rng(0).permutation(order["g_idx"])
    for src, tensors, reason in (
        ("gptq_v2", wide, "some of these lie farther away"),
        ("gptq_v2", narrow_groups, "256 columns in groups of 16 are no whole blocks"),
        ("pack-quantized", precise, "scales in float16"),
        ("gptq_v2", order, "no runs of columns"),
    ):
        with pytest.raises(ValueError, match=rf"{reason}.*requantize=True would change numbers by up to"):
            formats.transcode(src, "gguf-q4_0", tensors)
        anew = formats.transcode(src, "gguf-q4_0", tensors, requantize=True)
        assert_same_bits(anew["data"], encode("q4_0", formats.decode(src, tensors, dtype="float32")), reason)
    for kind in set(KINDS) - set(GRIDS):
        tensors = formats.encode(f"gguf-{kind}", weights(32, 256)["normal"])
        assert formats.transcode(f"gguf-{kind}", f"gguf-{kind}", tensors)["data"] is tensors["data"]
        for src, dst in ((f"gguf-{kind}", "awq"), ("gptq_v2", f"gguf-{kind}")):
            with pytest.raises(ValueError, match=r"minima.*requantize=True would change numbers by up to"):
                formats.transcode(src, dst, tensors if src != "gptq_v2" else order)
    with pytest.raises(ValueError, match=r"has codes of 4 bits|codes of 4 bits"):
        formats.transcode("gguf-q8_0", "awq", formats.encode("gguf-q8_0", weights(32, 256)["normal"]))


def test_detect() -> None:
    w = weights(4, 256)["normal"]
    assert formats.detect({"data": encode("q8_0", w[:, :32])}) == "gguf-q8_0"
    assert formats.detect({"data": encode("q6_k", w)}) == "gguf-q6_k"
    with pytest.raises(ValueError, match=r"may be of gguf-q4_0 or .*gguf-q4_k: data; name the format"):
        formats.detect({"data": encode("q4_k", w)})
    for tensors in (
        {"data": encode("q8_0", w).view(np.int8)},
        {"data": encode("q8_0", w)[0]},
        {"data": np.zeros((2, 7), np.uint8)},
    ):
        with pytest.raises(ValueError, match="of no format"):
            formats.detect(tensors)


# --- what is refused ---------------------------------------------------------------------------------------------------

W = np.ones((3, 256), np.float32)
DATA = np.zeros((3, 144), np.uint8)


@pytest.mark.parametrize(
    "call, pattern",
    [
        (
            lambda: encode("q4_0", np.ones((3, 33), np.float32)),
            r"w has 33 columns, and q4_0 has blocks of 32; append .* up to 64",
        ),
        (
            lambda: encode("q4_k", W[:, :64]),
            r"w has 64 columns.*blocks of 256; .* up to 256, or choose a type with blocks of 32",
        ),
        (lambda: encode("q4_0", W[0]), r"w has shape \(256,\); it must be a matrix"),
        (lambda: formats.encode("gguf-q4_0", W, bits=5), r"gguf-q4_0 has its own bits, 4; leave it out, got 5"),
        (lambda: formats.encode("gguf-q4_0", W, group_size=64), r"its own group_size, 32"),
        (lambda: formats.encode("gguf-q4_0", W, symmetric=False), r"its own symmetric, True"),
        (lambda: formats.encode("gguf-q4_k", W, convention="gptq"), r"its own convention; leave it out, got 'gptq'"),
        (lambda: decode("q4_k", DATA[:, 1:]), r"data has rows of 143 bytes; gguf-q4_k has whole blocks of 144"),
        (lambda: decode("q4_k", DATA[0]), r"data has shape \(144,\); it must have 2 dimensions"),
        (lambda: decode("q4_k", DATA.view(np.int8)), r"data has dtype int8; it must be uint8"),
        (lambda: formats.decode("gguf-q4_k", {"qweight": DATA}), r"data is missing; there are qweight"),
        (lambda: formats.decode("gguf-q4_k", {"data": DATA}, bits=5), r"its own bits, 4; leave it out, got 5"),
        (lambda: decode("q4_k", DATA, out=np.empty((3, 255), np.float32)), r"out has shape \(3, 255\)"),
        (lambda: decode("q4_k", DATA, dtype="float16", out=np.empty((3, 256), np.float32)), r"dtype is float16, but out"),
        (lambda: formats.codes("gguf-q4_k", {"data": DATA}), r"has minima, or scales that are products, and no zero points"),
        (
            lambda: tersor._core.encode_gguf(W, "q4_k", DATA[:, 1:]),
            r"data has shape \(3, 143\); for w it must have shape \(3, 144\)",
        ),
        (
            lambda: formats.codes("gguf-q8_0", {"data": encode("q8_0", W * np.inf)}),
            r"data holds NaN or an infinity for a scale",
        ),
        (lambda: tersor._core.encode_gguf(W, "q2_k", DATA), r"kind must be one of .*\"q6_k\", got \"q2_k\""),
    ],
)
def test_refusals(call: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        call()


def test_refused_kinds_and_overlap() -> None:
    with pytest.raises(TypeError, match=r"w has dtype int8; it must be float32"):
        encode("q4_0", W.astype(np.int8))
    with pytest.raises(TypeError, match=r"w"):
        encode("q4_0", [[1.0]])
    with pytest.raises(TypeError, match=r"dtype must be float32, float16, bfloat16 or float64, not int8"):
        decode("q4_k", DATA, dtype="int8")
    memory = np.zeros(3 * 256 * 4, np.uint8)
    with pytest.raises(ValueError, match=r"out overlaps data in memory"):
        decode("q4_k", memory[: 3 * 144].reshape(3, 144), out=memory.view(np.float32).reshape(3, 256))


def test_bfloat16_is_a_dtype_of_its_own() -> None:
    w = weights(3, 64)["normal"].astype(ml_dtypes.bfloat16)
    assert_same_bits(encode("q8_0", w), encode("q8_0", w.astype(np.float32)))
