"""formats: the blocks of ggml, as gguf files hold them; by ggml's reference code, with its order of every sum.

A row of numbers is cut in blocks of 32, or in super-blocks of 256, and each becomes a run of bytes. Every step is taken in
float32 and rounded. Scales are stored in float16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tersor.reference._arithmetic import Array

Bytes = Array  # uint8
Floats = Array  # float32

SUPER_BLOCK = 256


@dataclass(frozen=True)
class Blocks:
    """A type: codes of `bits` bits, `cols` of them in `nbytes` bytes, with a minimum or without, in parts of `part` that
    have a scale of their own. The fits of super-blocks with minima try `steps` + 1 grids, the first with `first` more codes
    than there are."""

    cols: int
    nbytes: int
    bits: int
    has_minimum: bool
    part: int = 32
    first: float = 0
    steps: int = 0


BLOCKS = {
    "q4_0": Blocks(32, 18, 4, False),
    "q4_1": Blocks(32, 20, 4, True),
    "q5_0": Blocks(32, 22, 5, False),
    "q5_1": Blocks(32, 24, 5, True),
    "q8_0": Blocks(32, 34, 8, False),
    "q4_k": Blocks(SUPER_BLOCK, 144, 4, True, first=-1, steps=20),
    "q5_k": Blocks(SUPER_BLOCK, 176, 5, True, first=-0.5, steps=15),
    "q6_k": Blocks(SUPER_BLOCK, 210, 6, False, part=16),
}


def encode_gguf(w: Array, kind: str) -> Bytes:
    """uint8 [rows, cols / cols of a block * bytes of one]. A block of 32 that holds NaN has NaN for its scale, and for its
    minimum; one with an infinity an infinite scale. A super-block with either has NaN for its scale and no other bit."""
    blocks = BLOCKS[kind]
    with np.errstate(all="ignore"):
        x = w.astype(np.float32).reshape(-1, blocks.cols)
        if blocks.cols == 32:
            data = _encode_blocks(x, blocks)
        else:
            data = _encode_with_minima(x, blocks) if blocks.has_minimum else _encode_q6_k(x)
            is_number = np.isfinite(x).all(axis=1)
            data[~is_number] = 0
            data[~is_number, _place_of_scale(blocks) + 1] = 0x7E
    return data.reshape(w.shape[0], w.shape[1] // blocks.cols * blocks.nbytes)


def decode_gguf(data: Bytes, kind: str, dtype: DTypeLike = np.float32) -> Array:
    """``scale * code``, and plus the minimum where there is one; in super-blocks both are products themselves. Rounded to
    `dtype` last."""
    blocks = BLOCKS[kind]
    rows, nbytes = data.shape
    with np.errstate(all="ignore"):
        b = np.ascontiguousarray(data).reshape(-1, blocks.nbytes)
        if blocks.cols == 32:
            numbers = _decode_blocks(b, blocks)
        else:
            numbers = _decode_with_minima(b, blocks) if blocks.has_minimum else _decode_q6_k(b)
        numbers = np.where(np.isnan(numbers), np.float32(np.nan), numbers)
        return np.asarray(numbers.reshape(rows, nbytes // blocks.nbytes * blocks.cols), dtype)


# --- what all types share ---------------------------------------------------------------------------------------------


def _half_bytes(x: Floats) -> Bytes:
    """The float16 of each number, as two bytes."""
    halves = np.where(np.isnan(x), np.float16(np.nan), x.astype(np.float16))
    return np.ascontiguousarray(halves.reshape(-1, 1)).view(np.uint8)


def _halves(b: Bytes) -> Floats:
    return np.ascontiguousarray(b).view(np.float16).astype(np.float32)


def _codes(y: Floats, most: int) -> Bytes:
    """Cut to integers and clamped; what is no number, or infinite, becomes 0."""
    return np.where(np.isfinite(y), y, 0).clip(0, most).astype(np.uint8)


def _nibbles(codes: Bytes) -> Bytes:
    """A byte holds code j of the first half in its low nibble, and code j of the second half in its high one."""
    low, high = np.split(codes & 15, 2, axis=-1)
    return np.asarray(low | (high << 4))


def _from_nibbles(b: Bytes) -> Bytes:
    return np.concatenate([b & 15, b >> 4], axis=-1)


def _first(x: Floats, is_wanted: NDArray[np.bool_]) -> Floats:
    """Of each row the first entry that is wanted."""
    return np.take_along_axis(x, is_wanted.argmax(axis=1)[:, None], axis=1)


def _greatest(x: Floats) -> Floats:
    """The entry of the greatest magnitude, the first of those that tie; NaN where there is one."""
    magnitude = np.abs(x)
    return _first(x, (magnitude == magnitude.max(axis=1, keepdims=True)) | np.isnan(x))


def _nearest(x: Floats) -> Floats:
    """To integers, half to even; NaN becomes 0."""
    return np.where(np.isnan(x), np.float32(0), np.rint(x))


def _if_finite(x: Floats) -> Floats:
    """0 for an infinite factor: all numbers are too small for what they are divided by."""
    return np.where(np.isinf(x), np.float32(0), x)


# --- blocks of 32 -----------------------------------------------------------------------------------------------------


def _encode_blocks(x: Floats, blocks: Blocks) -> Bytes:
    minimum = None
    if blocks.has_minimum:
        most = 2**blocks.bits - 1
        minimum = x.min(axis=1, keepdims=True)
        minimum = np.where(minimum == 0, _first(x, x == 0), minimum)  # of zeros the first
        scale = (x.max(axis=1, keepdims=True) - minimum) / np.float32(most)
        scale = np.where(scale == 0, np.float32(0), scale)
        codes = _codes((x - minimum) * _reciprocal(scale) + np.float32(0.5), most)
    elif blocks.bits == 8:
        scale = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
        y = x * _reciprocal(scale)
        y = np.where(np.isfinite(y), y, np.float32(0))
        whole = np.trunc(y)
        codes = (whole + np.trunc(2 * (y - whole))).astype(np.int8).view(np.uint8)  # half away from zero
    else:
        middle = np.float32(2 ** (blocks.bits - 1))
        scale = _greatest(x) / -middle
        codes = _codes(x * _reciprocal(scale) + (middle + np.float32(0.5)), 2**blocks.bits - 1)
    parts = [_half_bytes(scale)]
    if minimum is not None:
        parts.append(_half_bytes(minimum))
    if blocks.bits == 5:
        parts.append(np.packbits(codes >> 4, axis=-1, bitorder="little"))
    parts.append(codes if blocks.bits == 8 else _nibbles(codes))
    return np.concatenate(parts, axis=1)


def _reciprocal(scale: Floats) -> Floats:
    return np.asarray(np.where(scale == 0, np.float32(0), np.float32(1) / scale))


def _decode_blocks(b: Bytes, blocks: Blocks) -> Floats:
    scale, b = _halves(b[:, :2]), b[:, 2:]
    if blocks.bits == 8:
        return scale * b.view(np.int8).astype(np.float32)
    if blocks.has_minimum:
        minimum, b = _halves(b[:, :2]), b[:, 2:]
    codes = _from_nibbles(b[:, -16:])
    if blocks.bits == 5:
        codes = codes | np.unpackbits(b[:, :4], axis=-1, bitorder="little") << 4
    if blocks.has_minimum:
        return scale * codes.astype(np.float32) + minimum
    return np.asarray(scale * (codes.astype(np.float32) - np.float32(2 ** (blocks.bits - 1))))


# --- super-blocks: eight parts of 32 with minima ------------------------------------------------------------------------


def _place_of_scale(blocks: Blocks) -> int:
    return 0 if blocks.has_minimum else blocks.nbytes - 2


def _sum(terms: Floats) -> Floats:
    """Of each row, from the first entry to the last."""
    total = np.zeros(len(terms), np.float32)
    for column in terms.T:
        total = total + column
    return total


@dataclass
class _Fit:
    """Of each part: x is about ``scale * code + minimum``, and code is ``(x - base) * inverse``, rounded."""

    scale: Floats
    minimum: Floats
    inverse: Floats
    base: Floats


def _fit_parts(x: Floats, blocks: Blocks) -> _Fit:
    """The grid of the least weighted square error among those that are tried: each has the line through its codes, by least
    squares. Large entries weigh more."""
    most = np.float32(2**blocks.bits - 1)
    magnitude = np.sqrt(_sum(x * x) / np.float32(32))
    weight = magnitude[:, None] + np.abs(x)
    sum_w, sum_x = _sum(weight), _sum(weight * x)
    low, high = np.minimum(x.min(axis=1), 0), x.max(axis=1)
    is_flat = high == low

    def codes(inverse: Floats, base: Floats) -> Floats:
        return np.clip(_nearest(inverse[:, None] * (x - base[:, None])), 0, most)

    def error_of(scale: Floats, minimum: Floats, codes: Floats) -> Floats:
        difference = scale[:, None] * codes + minimum[:, None] - x
        return _sum(weight * (difference * difference))

    inverse = most / (high - low)
    fit = _Fit(np.float32(1) / inverse, low, _if_finite(inverse), low)
    error = error_of(fit.scale, fit.minimum, codes(fit.inverse, fit.base))
    for step in range(blocks.steps + 1):
        base = fit.minimum
        steps = np.float32(blocks.first) + np.float32(0.1) * np.float32(step) + most
        inverse = _if_finite(steps / (high - base))
        q = codes(inverse, base)
        sum_q, sum_q2, sum_xq = _sum(weight * q), _sum(weight * q * q), _sum(weight * q * x)
        divisor = sum_w * sum_q2 - sum_q * sum_q
        scale = (sum_w * sum_xq - sum_x * sum_q) / divisor
        minimum = (sum_q2 * sum_x - sum_q * sum_xq) / divisor
        is_above = minimum > 0
        scale, minimum = np.where(is_above, sum_xq / sum_q2, scale), np.where(is_above, np.float32(0), minimum)
        tried = error_of(scale, minimum, q)
        is_better = (divisor > 0) & (tried < error)
        error = np.where(is_better, tried, error)
        fit = _Fit(
            np.where(is_better, scale, fit.scale),
            np.where(is_better, minimum, fit.minimum),
            np.where(is_better, inverse, fit.inverse),
            np.where(is_better, base, fit.base),
        )
    zero = np.float32(0)
    scale, inverse = (np.where(is_flat, zero, each) for each in (fit.scale, fit.inverse))
    return _Fit(scale, np.where(is_flat, low, fit.minimum), inverse, np.where(is_flat, low, fit.base))


def _six_bits(x: Floats, greatest: Floats) -> Bytes:
    """Scales as shares of the greatest, in 63rds; a negative one counts as the greatest."""
    share = np.where(greatest > 0, _if_finite(np.float32(63) / greatest), np.float32(0))
    return np.asarray(np.minimum(_nearest(share * x).astype(np.int32) & 255, 63).astype(np.uint8))


def _encode_with_minima(x: Floats, blocks: Blocks) -> Bytes:
    fit = _fit_parts(x.reshape(-1, 32), blocks)
    scales, minima = fit.scale.reshape(-1, 8), -fit.minimum.reshape(-1, 8)
    most_scale, most_minimum = (np.fmax(np.fmax.reduce(each, axis=1, keepdims=True), 0) for each in (scales, minima))
    s, m = _six_bits(scales, most_scale), _six_bits(minima, most_minimum)
    scale, minimum = _half_bytes(most_scale / np.float32(63)), _half_bytes(most_minimum / np.float32(63))
    of_part = (_halves(scale) * s).reshape(-1, 1)
    y = x.reshape(-1, 32)
    by_scale = (y + (_halves(minimum) * m).reshape(-1, 1)) / of_part
    by_fit = fit.inverse[:, None] * (y - fit.base[:, None])  # where the scale has become 0
    q = np.clip(_nearest(np.where(of_part == 0, by_fit, by_scale)), 0, 2**blocks.bits - 1).astype(np.uint8)
    pairs = q.reshape(-1, 4, 64)
    parts = [scale, minimum, _joined_scales(s, m)]
    if blocks.bits == 5:
        parts.append(np.packbits(q.reshape(-1, 8, 32) >> 4, axis=1, bitorder="little").reshape(-1, 32))
    parts.append(_nibbles(pairs).reshape(-1, 128))
    return np.concatenate(parts, axis=1)


def _joined_scales(s: Bytes, m: Bytes) -> Bytes:
    """Eight scales and eight minima of 6 bits: four of each take a byte, whose upper bits are those of the other four."""
    first, second = s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6
    return np.concatenate([first, second, s[:, 4:] & 15 | m[:, 4:] << 4], axis=1)


def _split_scales(b: Bytes) -> tuple[Bytes, Bytes]:
    first, second, third = np.split(b, 3, axis=1)
    s = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    return s, np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)


def _decode_with_minima(b: Bytes, blocks: Blocks) -> Floats:
    s, m = _split_scales(b[:, 4:16])
    scale, minimum = _halves(b[:, 0:2]) * s.astype(np.float32), _halves(b[:, 2:4]) * m.astype(np.float32)
    q = _from_nibbles(b[:, -128:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    if blocks.bits == 5:
        q = q | np.unpackbits(b[:, None, 16:48], axis=1, bitorder="little") << 4
    return np.asarray(scale[:, :, None] * q.astype(np.float32) - minimum[:, :, None])


# --- super-blocks: sixteen parts of 16 without --------------------------------------------------------------------------

LEAST_MAGNITUDE = np.float32(1e-15)  # less is nothing, and so are scales of NaN: of numbers whose cubes are infinite


def _fit_q6_parts(x: Floats) -> tuple[Floats, Floats]:
    """Scales and what x is multiplied with for its codes, of the grid of the greatest (sum of x**3 code)**2 / (sum of x**2
    code**2) among those that are tried."""
    greatest = _greatest(x)[:, 0]
    is_nothing = np.abs(greatest) < LEAST_MAGNITUDE
    weight = x * x

    def sums(inverse: Floats) -> tuple[Floats, Floats]:
        q = np.clip(_nearest(inverse[:, None] * x), -32, 31)
        return _sum(weight * x * q), _sum(weight * q * q)

    best_inverse = np.float32(-32) / greatest
    sum_xq, sum_q2 = sums(best_inverse)
    scale = np.where(sum_q2 != 0, sum_xq / sum_q2, np.float32(0))
    best = scale * sum_xq
    for step in (*range(-9, 0), *range(1, 10)):
        inverse = -(np.float32(32) + np.float32(0.1) * np.float32(step)) / greatest
        sum_xq, sum_q2 = sums(inverse)
        is_better = (sum_q2 > 0) & (sum_xq * sum_xq > best * sum_q2)
        scale = np.where(is_better, sum_xq / sum_q2, scale)
        best = np.where(is_better, scale * sum_xq, best)
        best_inverse = np.where(is_better, inverse, best_inverse)
    zero = np.float32(0)
    return np.where(is_nothing, zero, scale), np.where(is_nothing, zero, best_inverse)


def _encode_q6_k(x: Floats) -> Bytes:
    parts = x.reshape(-1, 16)
    scale, inverse = _fit_q6_parts(parts)
    scales = scale.reshape(-1, 16)
    greatest = _greatest(np.where(np.isnan(scales), np.float32(0), scales))
    of_scales = np.float32(-128) / greatest
    d = _half_bytes(np.float32(1) / of_scales)
    s = np.minimum(_nearest(of_scales * scales), 127).astype(np.int8)
    of_part = (_halves(d) * s.astype(np.float32)).reshape(-1, 1)
    q = np.clip(_nearest(np.where(of_part == 0, inverse[:, None] * parts, parts / of_part)), -32, 31)
    codes = (q + 32).astype(np.uint8)
    codes = np.where((of_part == 0) & (inverse[:, None] == 0), np.uint8(0), codes)  # of parts that are nothing
    quarters = codes.reshape(-1, 2, 4, 32)
    low = _nibbles(codes.reshape(-1, 2, 128)).reshape(-1, 128)
    high = np.zeros((len(x), 2, 32), np.uint8)
    for i in range(4):
        high |= quarters[:, :, i] >> 4 << (2 * i)
    data = np.concatenate([low, high.reshape(-1, 64), s.view(np.uint8), d], axis=1)
    data[np.abs(greatest[:, 0]) < LEAST_MAGNITUDE] = 0
    return data


def _decode_q6_k(b: Bytes) -> Floats:
    low, high = b[:, :128].reshape(-1, 2, 64), b[:, 128:192].reshape(-1, 2, 1, 32)
    upper = (high >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3).reshape(-1, 2, 128)
    q = (_from_nibbles(low) | upper << 4).astype(np.float32) - np.float32(32)
    scale = _halves(b[:, 208:210]) * np.ascontiguousarray(b[:, 192:208]).view(np.int8).astype(np.float32)
    return np.asarray(scale[:, :, None] * q.reshape(-1, 16, 16))
