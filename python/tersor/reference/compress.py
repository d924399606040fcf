"""compress: arrays without their zeros, and where the others stand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tersor.reference._arithmetic import Array
from tersor.reference.bitmask import pack_mask, unpack_mask

Bits = NDArray[np.uint8]
Indices = NDArray[Any]


def compress_bitmask(w: Array) -> tuple[Array, Bits, NDArray[np.int64]]:
    """The nonzero entries in C order, a bit an entry, and how many values stand before each row: sparse-bitmask of
    compressed-tensors 0.12.2. -0.0 is a zero, NaN is none."""
    nonzero = (w != 0).reshape(math.prod(w.shape[:-1]), w.shape[-1])
    counts = nonzero.sum(axis=-1)
    return w[w != 0], pack_mask(nonzero), (np.cumsum(counts) - counts).astype(np.int64)


def decompress_bitmask(values: Array, bits: Bits, shape: tuple[int, ...]) -> Array:
    """The values where the bits are set, +0.0 elsewhere."""
    w = np.zeros(shape, values.dtype)
    w[unpack_mask(bits, shape[-1]).reshape(shape)] = values
    return w


# --- n of every m consecutive entries ------------------------------------------------------------------------------

# Which entries of a group with fewer than two nonzeros take part, by the group's nonzeros: the first column's bit is 1.
# compressed-tensors lets torch.topk choose, torch a Boolean function.
BITMASK_FILL = {0b0000: 0b1100, 0b0001: 0b0101, 0b0010: 0b1010, 0b0100: 0b1100, 0b1000: 0b1100}
CUTLASS_FILL = {0b0000: 0b1100, 0b0001: 0b0101, 0b0010: 0b0110, 0b0100: 0b1100, 0b1000: 0b1100}


def kept_24(w: Array, layout: str) -> NDArray[np.bool_]:
    """The two entries of every four that are stored. In the cutlass layout float32 stores one of every two, the second of
    two zeros."""
    if layout == "cutlass" and w.dtype == np.float32:
        pairs = (w != 0).reshape(-1, 2)
        kept: NDArray[np.bool_] = np.stack([pairs[:, 0], ~pairs[:, 0]], axis=-1)
        return kept.reshape(w.shape)
    fill = BITMASK_FILL if layout == "bitmask" else CUTLASS_FILL
    groups = (w != 0).reshape(-1, 4)
    nibbles = groups @ np.array([1, 2, 4, 8])
    stored = np.array([fill.get(nibble, nibble) for nibble in range(16)])[nibbles]
    kept = (stored[:, None] >> np.arange(4) & 1).astype(np.bool_).reshape(w.shape)
    return kept


def compress_24(w: Array, layout: str = "bitmask") -> tuple[Array, Array]:
    """Half of the entries of each row, and which: bits as in sparse-24-bitmask of compressed-tensors 0.12.2, or the int16
    metadata of torch's conversion for CUTLASS."""
    kept = kept_24(w, layout)
    values = w[kept].reshape(*w.shape[:-1], w.shape[-1] // 2)
    return values, pack_mask(kept) if layout == "bitmask" else cutlass_metadata(kept, w.dtype)


def cutlass_metadata(kept: NDArray[np.bool_], dtype: np.dtype[Any]) -> NDArray[np.int16]:
    """Two bits for the place of each of the two kept entries of four, four groups an int16, reordered. A float32 entry
    counts as two."""
    places = kept.repeat(2, axis=-1) if dtype == np.float32 else kept
    rows, cols = places.shape
    index = np.nonzero(places.reshape(-1, 4))[1].reshape(-1, 2)
    codes = (index[:, 0] | index[:, 1] << 2).reshape(rows, cols // 16, 4)
    words = (codes << np.array([0, 4, 8, 12])).sum(axis=-1).astype(np.uint16)
    metadata = np.empty(words.size, np.uint16)
    metadata[cutlass_places(rows, cols // 16)] = words
    return metadata.view(np.int16).reshape(rows, cols // 16)


def cutlass_places(rows: int, cols: int) -> NDArray[np.int64]:
    """Where each int16 of the metadata lies: rows are interleaved four at a time within groups of 32, the corners of 2 x 2
    blocks swapped, and pairs of columns stored one after the other."""
    row, col = np.mgrid[:rows, :cols]
    row = row // 32 * 32 + row % 8 * 4 + row % 32 // 8
    to_the_left = (row % 2 == 0) & (col % 2 == 1)
    to_the_right = (row % 2 == 1) & (col % 2 == 0)
    row, col = row + to_the_left - to_the_right, col - to_the_left + to_the_right
    places: NDArray[np.int64] = col // 2 * rows * 2 + row * 2 + col % 2
    return places


def decompress_24(values: Array, metadata: Array, layout: str = "bitmask") -> Array:
    """What compress_24 was given, but for the sign of zeros that are not stored."""
    rows, cols = math.prod(values.shape[:-1]), 2 * values.shape[-1]
    if layout == "bitmask":
        kept = unpack_mask(metadata, cols)
    else:
        words = metadata.view(np.uint16).ravel()[cutlass_places(*metadata.shape)]
        codes = (words[..., None] >> np.array([0, 4, 8, 12]) & 15).reshape(-1)
        places = np.zeros((codes.size, 4), np.bool_)
        for index in (codes & 3, codes >> 2):
            places[np.arange(codes.size), index] = True
        kept = places.reshape(rows, 16 * metadata.shape[1])
        if values.dtype == np.float32:
            kept = kept[:, ::2]
    w = np.zeros((*values.shape[:-1], cols), values.dtype)
    w[kept.reshape(w.shape)] = values.ravel()
    return w


def kept_nm(w: Array, n: int, m: int) -> NDArray[np.bool_]:
    """The nonzeros of every m consecutive entries, and the last of its zeros where these are fewer than n."""
    kept: NDArray[np.bool_] = w != 0
    for begin in range(0, w.shape[-1], m):
        group = kept[..., begin : begin + m]
        zeros_from_the_end = np.cumsum(~group[..., ::-1], axis=-1)[..., ::-1]
        group |= zeros_from_the_end <= n - group.sum(axis=-1, keepdims=True)
    return kept


def stored_columns(cols: int, n: int, m: int) -> int:
    """Entries that are stored of a row: n of every m, and n of a shorter group at the end, if it has as many."""
    return cols // m * n + min(n, cols % m)


def compress_nm(w: Array, n: int, m: int) -> tuple[Array, Bits]:
    """The stored entries of each row, and the place of each within its group: ceil(log2 m) bits, least significant first,
    one after the other, each row padded with 0 to whole bytes."""
    kept = kept_nm(w, n, m)
    shape = (*w.shape[:-1], stored_columns(w.shape[-1], n, m))
    places = (np.nonzero(kept)[-1] % m).reshape(shape)
    each = (m - 1).bit_length()
    bits = (places[..., None] >> np.arange(each) & 1).astype(np.bool_)
    return w[kept].reshape(shape), pack_mask(bits.reshape(*shape[:-1], shape[-1] * each))


def decompress_nm(values: Array, indices: Bits, n: int, m: int, cols: int) -> Array:
    """What compress_nm was given, but for the sign of zeros that are not stored."""
    each = (m - 1).bit_length()
    bits = unpack_mask(indices, values.shape[-1] * each).reshape(*values.shape, each)
    places = (bits << np.arange(each)).sum(axis=-1) + np.arange(values.shape[-1]) // n * m
    w = np.zeros((*values.shape[:-1], cols), values.dtype)
    np.put_along_axis(w, places, values, axis=-1)
    return w


# --- compressed rows -------------------------------------------------------------------------------------------------


def bitmask_to_csr(values: Array, bits: Bits, row_offsets: Indices, cols: int) -> tuple[Array, Indices, Indices]:
    """Values, the column of each, and where each row's begin and end."""
    return values, np.nonzero(unpack_mask(bits, cols))[1], np.append(row_offsets, len(values))


def bitmask_from_csr(columns: Indices, row_pointers: Indices, shape: tuple[int, int]) -> tuple[Bits, Indices]:
    """Bits and row offsets; the values are those of the compressed rows."""
    mask = np.zeros(shape, np.bool_)
    mask[np.repeat(np.arange(shape[0]), np.diff(row_pointers)), columns] = True
    return pack_mask(mask), row_pointers[:-1].astype(np.int64)
