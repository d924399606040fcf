"""pack: codes of a few bits each, one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pack_int4(q: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Two's complement nibbles, the even column in the low one; an odd row ends with a high nibble of 0."""
    if q.size and (q.min() < -8 or q.max() > 7):
        raise ValueError("q holds values outside [-8, 7]")
    nibbles = q.astype(np.uint8) & 0x0F
    if q.shape[-1] % 2:
        nibbles = np.concatenate([nibbles, np.zeros_like(nibbles[..., :1])], axis=-1)
    return (nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)).astype(np.uint8)


def unpack_int4(p: NDArray[np.uint8], cols: int) -> NDArray[np.int8]:
    """The first ``cols`` nibbles of each row, sign-extended."""
    nibbles = np.stack([p & 0x0F, p >> 4], axis=-1).reshape(*p.shape[:-1], 2 * p.shape[-1])[..., :cols]
    return ((nibbles ^ 8).astype(np.int16) - 8).astype(np.int8)


# The code that each nibble of a run holds, the lowest nibble first.
ORDERS: dict[str, list[int]] = {
    "low_first": [0],
    "high_first": [1, 0],
    "awq": [0, 2, 4, 6, 1, 3, 5, 7],
    "halves": [16 * (i % 2) + i // 2 for i in range(32)],
}


def pack_bits(
    q: NDArray[np.int8] | NDArray[np.uint8],
    bits: int,
    word: str = "uint8",
    padded: bool = False,
    order: str = "low_first",
    offset: bool = False,
    axis: int = -1,
) -> NDArray[np.uint8] | NDArray[np.int32]:
    """The lowest ``bits`` bits of each code along ``axis`` as a stream, filled up with 0 to whole words; padded, each word
    holds as many whole codes as go into it. Words are little-endian. ``2**(bits - 1)`` is added to codes with an offset;
    then each run of an order is filled up with 0, and the codes of each run change places."""
    word_bits = 8 * np.dtype(word).itemsize
    places = ORDERS[order]
    codes = np.moveaxis(q, axis, -1).view(np.uint8) + np.uint8(2 ** (bits - 1) if offset else 0)
    runs = filled_up(codes, -1, len(places))
    count = runs.shape[-1] // len(places)
    codes = runs.reshape(*runs.shape[:-1], count, len(places))[..., places].reshape(runs.shape)
    stream = np.unpackbits(codes[..., None], axis=-1, bitorder="little")[..., :bits]
    if padded:
        stream = filled_up(stream, -2, word_bits // bits)
        words = stream.shape[-2] // (word_bits // bits)
        stream = filled_up(stream.reshape(*codes.shape[:-1], words, word_bits // bits * bits), -1, word_bits)
    stream = filled_up(stream.reshape(*codes.shape[:-1], stream.shape[-2] * stream.shape[-1]), -1, word_bits)
    return np.ascontiguousarray(np.moveaxis(np.packbits(stream, axis=-1, bitorder="little").view(word), -1, axis))


def unpack_bits(
    p: NDArray[np.uint8] | NDArray[np.int32],
    bits: int,
    cols: int,
    signed: bool = True,
    padded: bool = False,
    order: str = "low_first",
    offset: bool = False,
    axis: int = -1,
) -> NDArray[np.int8] | NDArray[np.uint8]:
    """The first ``cols`` codes along ``axis``; int8, sign-extended or with the offset taken off, where they are signed."""
    words = np.ascontiguousarray(np.moveaxis(p, axis, -1))
    stream = np.unpackbits(words[..., None].view(np.uint8), axis=-1, bitorder="little")  # [..., words, bits of a word]
    if padded:
        stream = stream[..., : stream.shape[-1] // bits * bits]
    stream = stream.reshape(*words.shape[:-1], stream.shape[-2] * stream.shape[-1])
    places = ORDERS[order]
    count = -(-cols // len(places))
    codes = stream[..., : count * len(places) * bits].reshape(*words.shape[:-1], count, len(places), bits)
    codes = codes[..., np.argsort(places), :].reshape(*words.shape[:-1], count * len(places), bits)[..., :cols, :]
    sign = codes[..., -1:] if signed and not offset else np.zeros_like(codes[..., -1:])
    whole = np.packbits(np.concatenate([codes, np.repeat(sign, 8 - bits, axis=-1)], axis=-1), axis=-1, bitorder="little")
    found = whole[..., 0] - np.uint8(2 ** (bits - 1) if offset else 0)
    return np.ascontiguousarray(np.moveaxis(found, -1, axis)).view(np.int8 if signed else np.uint8)


def filled_up(array: NDArray[np.uint8], axis: int, multiple: int) -> NDArray[np.uint8]:
    """Zeros appended along an axis, to a multiple of its length."""
    missing = [(0, 0)] * array.ndim
    missing[axis] = (0, -array.shape[axis] % multiple)
    return np.pad(array, missing)
