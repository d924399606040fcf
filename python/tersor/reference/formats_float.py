"""formats: 4-bit codes that stand for 16 numbers, with a scale for each run of entries in C order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tersor.reference._arithmetic import Array

Bytes = NDArray[np.uint8]

# --- what codes stand for --------------------------------------------------------------------------------------------

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
E4M3 = np.array([m * 2.0**-9 if m < 8 else (8 + m % 8) * 2.0 ** (m // 8 - 10) for m in range(127)], np.float32)

# bitsandbytes' constants: its normal map, and its minifloat by the bits of a code.
NF4 = np.array(
    [
        *(-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1),
    ],
    np.float32,
)
_FP4 = np.array([0, 0.0625, 8, 12, 4, 6, 2, 3], np.float32) / np.float32(12)
FP4 = np.concatenate([_FP4, -_FP4])

TABLES = {
    "nf4": NF4,
    "fp4": FP4,
    **dict.fromkeys(("mxfp4", "mxfp4-ocp", "nvfp4", "nvfp4-modelopt"), np.concatenate([E2M1, -E2M1])),
}
_LEAST_ABSMAX = np.float32(1e-38)  # bitsandbytes: what a run is divided by where it is less


def nearest(x: Array, values: Array) -> NDArray[np.intp]:
    """The index of the nearest of ascending values, ties to the even one."""
    middles = (values[:-1].astype(np.float64) + values[1:]) / 2
    below = np.searchsorted(middles, x)
    is_tie = (below < len(middles)) & (middles[np.minimum(below, len(middles) - 1)] == x)
    return np.asarray(np.where(is_tie & (below % 2 == 1), below + 1, below))


def e2m1_codes(x: Array, least: float) -> Bytes:
    """Of the nearest number; the sign is that of x where its magnitude exceeds ``least``, 0 for NaN."""
    magnitude = np.where(np.isnan(x), 0, np.abs(x))
    return (nearest(magnitude, E2M1) + np.where(x < -least, 8, 0)).astype(np.uint8)


def table_codes(x: Array, table: Array) -> Bytes:
    """Of the nearest number, of two as near the lesser one; NaN is 0."""
    order = np.argsort(table, kind="stable")
    middles = (table[order][:-1] + table[order][1:]) / np.float32(2)
    return np.asarray(order[np.searchsorted(middles, np.where(np.isnan(x), 0, x))].astype(np.uint8))


# --- scales ----------------------------------------------------------------------------------------------------------


def e4m3_bytes(x: Array) -> Bytes:
    """Nonnegative numbers as float8_e4m3fn, to nearest even, at most 448."""
    return nearest(np.minimum(x, np.float32(448)), E4M3).astype(np.uint8)


def e4m3_values(codes: Bytes) -> Array:
    values = np.append(E4M3, np.float32(np.nan))[codes & 127]
    return np.asarray(np.where(codes & 128, -values, values))


def e8m0_values(codes: Bytes) -> Array:
    """Powers of two from 2**-127 on; 255 is NaN."""
    return np.where(codes == 255, np.nan, np.ldexp(1.0, codes.astype(int) - 127)).astype(np.float32)


def exponents(x: Array) -> NDArray[np.int64]:
    """The biased exponents of float32 numbers; 0 for subnormal ones."""
    return (x.view(np.uint32) >> 23).astype(np.int64)


def as_float32(w: Array) -> Array:
    with np.errstate(over="ignore"):
        return w.astype(np.float32)


def magnitudes(w: Array, group_size: int) -> Array:
    """float32: the greatest finite magnitude of each run, 0 where there is none."""
    x = np.abs(as_float32(w)).ravel()
    finite = np.where(np.isfinite(x), x, np.float32(0))
    whole = np.pad(finite, (0, -x.size % group_size)).reshape(-1, group_size)
    return np.asarray(whole.max(axis=1, initial=0))


def global_scale(w: Array, name: str) -> Array:
    """Of a whole weight; 1 where there is none to compute.

    compressed-tensors divides by 1 / max(|w|) * (448 * 6), each step in w's dtype; Model Optimizer multiplies by max(|w|) /
    (6 * 448).
    """
    greatest = magnitudes(w, max(w.size, 1)).max(initial=np.float32(0))
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        if name == "nvfp4":
            scale = step(step(np.float32(1) / greatest, w.dtype) * np.float32(2688), w.dtype)
        else:
            scale = greatest / np.float32(2688)
    return np.asarray(scale if np.isfinite(scale) and scale > 0 else 1, np.float32)


def step(x: Any, dtype: DTypeLike) -> Any:
    """float32 numbers rounded to a narrower dtype of w."""
    with np.errstate(over="ignore"):
        return x if np.dtype(dtype).itemsize > 2 else x.astype(dtype).astype(np.float32)


def stored_scales(w: Array, name: str, group_size: int, of_all: np.float32) -> Array:
    greatest = magnitudes(w, group_size)
    if name in ("nf4", "fp4"):
        if w.size % group_size:
            greatest[-1] = max(greatest[-1], _LEAST_ABSMAX)
        return greatest
    if name == "mxfp4-ocp":  # 2**floor(log2(max) - 2)
        return np.maximum(exponents(greatest) - 2, 0).astype(np.uint8)
    if name == "mxfp4":  # the same once a quarter of a power of two is added, before the digits are dropped
        rounded = (greatest.view(np.uint32) + np.uint32(1 << 21)).view(np.float32)
        codes = np.maximum(exponents(rounded) - 2, 0)
        if w.dtype == np.float16:  # there subnormal numbers have one exponent, and make a scale of 0, or of 2**-14 / 4
            codes = np.where(greatest < 0.75 * 2**-14, 127, np.maximum(codes, 111))
        return codes.astype(np.uint8)
    if name == "nvfp4":
        codes = e4m3_bytes(step(greatest / np.float32(6), w.dtype) * of_all)
        return np.where(codes == 0, 0x20, codes).astype(np.uint8)  # 0.125
    share = greatest / (np.float32(6) * of_all)
    return e4m3_bytes(np.where(share == 0, np.float32(1), np.maximum(share, np.float32(2**-9))))


def scales_of(stored: Array, name: str, of_all: np.float32) -> Array:
    """What codes are multiplied by."""
    if name in ("nf4", "fp4"):
        return stored
    if name in ("mxfp4", "mxfp4-ocp"):
        return e8m0_values(stored)
    with np.errstate(all="ignore"):
        return np.asarray(e4m3_values(stored) / of_all if name == "nvfp4" else e4m3_values(stored) * of_all)


# --- steps of integers -----------------------------------------------------------------------------------------------


def ranges(w: Array, group_size: int) -> tuple[Array, Array]:
    """float32: the least and the greatest finite number of each run, 0 where there is none."""
    x = as_float32(w).ravel()
    whole = np.pad(x, (0, -x.size % group_size), constant_values=np.nan).reshape(-1, group_size)
    finite = np.isfinite(whole)
    low = np.where(finite, whole, np.float32(np.inf)).min(axis=1, initial=np.inf)
    high = np.where(finite, whole, np.float32(-np.inf)).max(axis=1, initial=-np.inf)
    has_any = finite.any(axis=1)
    return np.where(has_any, low, 0).astype(np.float32), np.where(has_any, high, 0).astype(np.float32)


def encode_steps(w: Array, group_size: int, symmetric: bool) -> tuple[Bytes, Array, Array | None]:
    """Two codes a byte, the scale of each run, and the number that is added to it; None where it is symmetric.

    As ``int4_row_quantize`` and ``int4_row_quantize_zp`` of mslk; NaN is taken for 0, and so is what fills the last byte.
    """
    low, high = ranges(w, group_size)
    x = as_float32(w).ravel()
    x = np.append(np.where(np.isnan(x), np.float32(0), x), np.zeros(x.size % 2, np.float32))
    places = np.minimum(np.arange(x.size), max(w.size - 1, 0)) // group_size
    with np.errstate(all="ignore"):
        if symmetric:
            scale = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.float32(1e-6)) / np.float32(8)
            steps = x / scale[places]
            least, greatest, offset = -8, 7, None
        else:
            scale = np.maximum(high - low, np.float32(1e-6)) / np.float32(15)
            steps = (x - low[places]) / scale[places]
            least, greatest, offset = 0, 15, low + scale * np.float32(8)
        steps = np.where(np.isnan(steps), np.float32(0), steps)
        codes = np.clip(np.rint(steps), least, greatest).astype(int) - (0 if symmetric else 8)
    nibbles = (codes & 15).astype(np.uint8)
    return nibbles[1::2] << 4 | nibbles[::2], scale, offset


def decode_steps(
    packed: Bytes, scale: Array, offset: Array | None, group_size: int, shape: tuple[int, ...], dtype: DTypeLike
) -> Array:
    """``code * scale`` in float32, then ``+ offset``, then rounded to dtype; NaN is the canonical one."""
    size = int(np.prod(shape))
    codes = np.stack([packed & 15, packed >> 4], axis=-1).ravel()[:size].astype(np.float32)
    codes = np.where(codes > 7, codes - np.float32(16), codes)
    places = np.arange(size) // group_size
    with np.errstate(all="ignore"):
        numbers = codes * scale[places]
        if offset is not None:
            numbers = numbers + offset[places]
        numbers = np.where(np.isnan(numbers), np.float32(np.nan), numbers)
        return np.asarray(numbers.astype(dtype)).reshape(shape)


# --- the operations --------------------------------------------------------------------------------------------------


def quotients(x: Array, name: str, stored: Array, group_size: int, of_all: np.float32) -> Array:
    """What codes are found for. bitsandbytes multiplies by the reciprocal, but divides a last run that is shorter."""
    places = np.arange(x.size) // group_size
    if name not in ("nf4", "fp4"):
        return np.asarray(x / scales_of(stored, name, of_all)[places])
    by_reciprocal = x * (np.float32(1) / np.maximum(stored, _LEAST_ABSMAX))[places]
    is_last = np.arange(x.size) >= x.size // group_size * group_size
    return np.where(is_last, x / stored[places], by_reciprocal)


def encode_float(w: Array, name: str, group_size: int, of_all: float = 1.0) -> tuple[Bytes, Array]:
    """Two codes a byte, and the scale of each run. NaN becomes the code of 0, an infinity the least or greatest one."""
    scale = np.float32(of_all)
    stored = stored_scales(w, name, group_size, scale)
    with np.errstate(all="ignore"):
        x = quotients(as_float32(w).ravel(), name, stored, group_size, scale)
    if name in ("nf4", "fp4"):
        codes = table_codes(x, TABLES[name])
    else:
        # compressed-tensors divides in w's dtype, which may leave nothing of a number and its sign.
        least = {"float16": 2.0**-25, "bfloat16": 2.0**-134}.get(w.dtype.name, 0.0) if name == "mxfp4" else 0.0
        codes = e2m1_codes(x, least)
    of_zero = table_codes(np.zeros(1, np.float32), TABLES[name])[0] if name in ("nf4", "fp4") else 0
    codes = np.append(codes, np.full(codes.size % 2, of_zero, np.uint8))
    high, low = (codes[::2], codes[1::2]) if name in ("nf4", "fp4") else (codes[1::2], codes[::2])
    return (high << 4 | low).astype(np.uint8), stored


def decode_float(
    packed: Bytes, stored: Array, name: str, group_size: int, shape: tuple[int, ...], dtype: DTypeLike, of_all: float = 1.0
) -> Array:
    """``table[code] * scale`` in float32, rounded once to dtype."""
    size = int(np.prod(shape))
    low, high = packed & 15, packed >> 4
    pairs = (high, low) if name in ("nf4", "fp4") else (low, high)
    codes = np.stack(pairs, axis=-1).ravel()[:size]
    scale = scales_of(stored, name, np.float32(of_all))[np.arange(size) // group_size]
    with np.errstate(all="ignore"):
        return np.asarray((TABLES[name][codes] * scale).astype(dtype)).reshape(shape)
