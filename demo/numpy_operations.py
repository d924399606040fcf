"""The operations of the library as a careful NumPy user would write them: whole arrays, few passes, outputs reused.

They are the "NumPy" column of the table and the check on every array that is stored. ``tersor.reference`` is the
specification and puts clarity first; timing against that would flatter the library.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tersor import BitmaskTensor, Quantized
from tersor.reference.formats_float import NF4

Array = NDArray[Any]


def mask_threshold(w: Array, eps: float, *, packed: bool = False, out: Array | None = None) -> Array:
    """True where ``|w| >= eps``; as bits where ``packed``, which NumPy cannot write into a given array."""
    if packed:
        return pack_mask(np.abs(w) >= eps)
    return np.greater_equal(np.abs(w), eps, out=out)


def prune_threshold(w: Array, eps: float, *, out: Array | None = None) -> Array:
    """Multiplying by the mask is four times faster here than ``np.where``, and leaves -0.0 where tersor gives +0.0."""
    magnitude = np.abs(w, out=out)
    return np.multiply(w, magnitude >= eps, out=magnitude)


def apply_mask(w: Array, mask: Array, *, out: Array | None = None) -> Array:
    """w where the mask is True, else zero."""
    return np.multiply(w, mask, out=out)


def prune_magnitude(w: Array, sparsity: float, *, out: Array | None = None) -> Array:
    """The smallest entries go, exactly this share."""
    return np.multiply(w, highest(np.abs(w), sparsity), out=out)


def highest(scores: Array, sparsity: float) -> Array:
    """Partitioning finds the threshold without sorting; of what ties with it the first go, until the share is exact."""
    count = round(sparsity * scores.size)
    threshold = np.partition(scores, count, axis=None)[count]
    keep: Array = scores >= threshold
    surplus = np.count_nonzero(keep) - (scores.size - count)
    if surplus:
        keep.reshape(-1)[np.flatnonzero(scores == threshold)[:surplus]] = False
    return keep


def prune_nm(w: Array, n: int, m: int, *, out: Array | None = None) -> Array:
    """2 of 4, for rows of whole groups: five minima and maxima find the second largest sooner than any sorting does.

    Only groups in which it ties with the third are sorted.
    """
    assert (n, m) == (2, 4)
    groups = np.abs(w).reshape(-1, 4)
    first, second, third, fourth = groups.T
    high, low = np.maximum(first, second), np.minimum(first, second)
    other_high, other_low = np.maximum(third, fourth), np.minimum(third, fourth)
    second_largest = np.maximum(np.minimum(high, other_high), np.maximum(low, other_low))
    keep: Array = groups >= second_largest[:, np.newaxis]
    if np.count_nonzero(keep) > 2 * len(keep):
        tied = np.flatnonzero(keep.sum(axis=1) > 2)
        order = np.argsort(groups[tied], axis=1, kind="stable")
        keep[tied[:, np.newaxis], order[:, :2]] = False
    return np.multiply(w, keep.reshape(w.shape), out=out)


def prune_blocks(w: Array, block: tuple[int, int], sparsity: float, *, out: Array | None = None) -> Array:
    """``einsum`` needs no array of squares, and takes half the time of ``np.add.reduceat``, but whole blocks alone."""
    (rows, cols), (height, width) = w.shape, block
    whole = np.pad(w, ((0, -rows % height), (0, -cols % width))) if rows % height or cols % width else w
    blocks = whole.reshape(-(-rows // height), height, -(-cols // width), width)
    keep = highest(np.einsum("iajb,iajb->ij", blocks, blocks, dtype=np.float64), sparsity)
    return np.multiply(w, keep.repeat(height, axis=0)[:rows].repeat(width, axis=1)[:, :cols], out=out)


def count_nonzero(w: Array) -> int:
    """Comparing first takes half the time of ``np.count_nonzero`` on floats."""
    return int(np.count_nonzero(w != 0))


def sparsity(w: Array) -> float:
    """Zeros / total."""
    return 1.0 - count_nonzero(w) / w.size if w.size else 0.0


def pack_mask(mask: Array) -> Array:
    """One bit an entry, least significant first."""
    return np.packbits(mask, axis=-1, bitorder="little")


def unpack_mask(bits: Array, cols: int) -> Array:
    """The first ``cols`` bits of each row."""
    return np.unpackbits(bits, axis=-1, count=cols, bitorder="little").view(np.bool_)


def compress_bitmask(w: Array) -> BitmaskTensor:
    """Going by positions takes a fifth of the time of ``w[mask]``."""
    mask = w != 0
    counts = np.count_nonzero(mask, axis=1)
    values = w.reshape(-1)[np.flatnonzero(mask)]
    return BitmaskTensor(values, pack_mask(mask), np.cumsum(counts) - counts, w.shape)


def decompress_bitmask(t: BitmaskTensor, *, out: Array | None = None) -> Array:
    """The values in their places, zeros elsewhere."""
    out = np.empty(t.shape, t.dtype) if out is None else out
    out.fill(0)
    out.reshape(-1)[np.flatnonzero(unpack_mask(t.bits, t.shape[-1]))] = t.values
    return out


def round_fixed(w: Array, bits: int = 8, *, out: Array | None = None) -> Array:
    """The nearest multiple of ``2**-bits``."""
    out = np.multiply(w, 2.0**bits, out=out)
    np.rint(out, out=out)
    return np.multiply(out, 2.0**-bits, out=out)


def quantize_int8(w: Array, *, axis: int = -1, out: tuple[Array, Array] | None = None) -> tuple[Array, Array]:
    """Symmetric codes and scales. The larger of max and -min spares the temporary array that ``np.abs`` would fill."""
    absmax = np.maximum(w.max(axis=axis, keepdims=True), -w.min(axis=axis, keepdims=True))
    codes, scale = out if out is not None else (np.empty(w.shape, np.int8), np.empty_like(absmax))
    np.divide(absmax, w.dtype.type(127), out=scale)
    scale[scale == 0] = 1
    scaled = w / scale
    np.rint(scaled, out=scaled)
    np.copyto(codes, scaled, casting="unsafe")
    return codes, scale


def dequantize_int8(q: Array, scale: Array, *, out: Array | None = None) -> Array:
    """``q * scale``. Widening first spares the small buffers through which a product of two dtypes goes."""
    out = np.empty(q.shape, scale.dtype) if out is None else out
    np.copyto(out, q)
    return np.multiply(out, scale, out=out)


def quantize(
    w: Array,
    bits: int,
    *,
    granularity: str,
    group_size: int,
    scale_method: str,
    packed: bool,
    max_shrink: float = 0.0,
    grid: int = 1,
) -> Quantized:
    """Symmetric codes of 4 bits in whole groups. A range with less error is looked for one share after the other, on all
    groups at once."""
    assert bits == 4 and granularity == "group" and packed
    groups = w.reshape(-1, group_size)
    absmax = np.maximum(groups.max(axis=1, keepdims=True), -groups.min(axis=1, keepdims=True))
    if scale_method == "mse":
        absmax *= least_error_share(groups, absmax, [1 - i / grid for i in range(int(max_shrink * grid))])
    scale = absmax / np.float32(7)
    scale[scale == 0] = 1
    codes = groups / scale
    np.rint(codes, out=codes)
    np.clip(codes, -7, 7, out=codes)
    q = pack_int4(codes.astype(np.int8).reshape(w.shape))
    return Quantized(q, scale.reshape(len(w), -1), None, bits, w.shape, 1, group_size, packed=True)


def least_error_share(groups: Array, absmax: Array, shares: list[float]) -> Array:
    """Of each group's range the share with the least sum of squared errors.

    By lanes of 16 and a tree, as tersor adds, so that near ties fall alike; ``einsum`` would take half the time.
    """
    best, least = np.ones_like(absmax), np.full(absmax.shape, np.inf, np.float32)
    steps = np.empty_like(groups)
    for share in shares:
        scale = absmax * np.float32(share) / np.float32(7)
        scale[scale == 0] = 1
        np.multiply(groups, np.float32(1) / scale, out=steps)
        np.rint(steps, out=steps)
        np.clip(steps, -7, 7, out=steps)
        np.multiply(steps, scale, out=steps)
        np.subtract(groups, steps, out=steps)
        np.multiply(steps, steps, out=steps)
        lanes = steps.reshape(len(groups), -1, 16).cumsum(axis=1)[:, -1]
        for width in (8, 4, 2, 1):
            lanes = lanes[:, :width] + lanes[:, width:]
        better = lanes < least
        least[better], best[better] = lanes[better], share
    return best


def dequantize(t: Quantized, *, out: Array | None = None) -> Array:
    """Codes times the scale of their group."""
    codes = unpack_int4(t.q, t.shape[1])
    out = np.empty(t.shape, np.float32) if out is None else out
    groups = out.reshape(-1, t.group_size)
    np.copyto(groups, codes.reshape(groups.shape))
    np.multiply(groups, t.scale.reshape(-1, 1), out=groups)
    return out


def encode(name: str, w: Array) -> dict[str, Array]:
    """The blocks of ggml's Q4_0, or the codes and scales of NF4."""
    return {"gguf-q4_0": encode_q4_0, "bitsandbytes-nf4": encode_nf4}[name](w)


def decode(name: str, tensors: dict[str, Array], *, dtype: str) -> Array:
    """The weight that they hold, in float32."""
    assert dtype == "float32"
    return {"gguf-q4_0": decode_q4_0, "bitsandbytes-nf4": decode_nf4}[name](tensors)


def encode_q4_0(w: Array) -> dict[str, Array]:
    """float16 scales and codes side by side, the second half of a block in the high nibbles."""
    blocks = w.reshape(-1, 32)
    high, low = blocks.max(axis=1, keepdims=True), blocks.min(axis=1, keepdims=True)
    scale = np.where(high > -low, high, low) / np.float32(-8)
    tied = np.flatnonzero((high == -low) & (high != 0))
    first = np.abs(blocks[tied]).argmax(axis=1)
    scale[tied, 0] = blocks[tied, first] / np.float32(-8)
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    codes = blocks * inverse
    codes += np.float32(8.5)
    narrow = np.minimum(codes, 15).astype(np.uint8)
    data = np.empty((len(blocks), 18), np.uint8)
    data[:, :2] = scale.astype(np.float16).view(np.uint8)
    np.bitwise_or(narrow[:, :16], narrow[:, 16:] << 4, out=data[:, 2:])
    return {"data": data.reshape(len(w), -1)}


def decode_q4_0(tensors: dict[str, Array]) -> Array:
    """``(code - 8) * scale``."""
    data = tensors["data"].reshape(-1, 18)
    numbers = np.empty((len(data), 32), np.float32)
    np.copyto(numbers[:, :16], data[:, 2:] & 15)
    np.copyto(numbers[:, 16:], data[:, 2:] >> 4)
    numbers -= 8
    numbers *= np.ascontiguousarray(data[:, :2]).view(np.float16).astype(np.float32)
    return numbers.reshape(len(tensors["data"]), -1)


def encode_nf4(w: Array) -> dict[str, Array]:
    """``searchsorted`` among the middles of the table."""
    blocks = w.reshape(-1, 64)
    absmax = np.maximum(blocks.max(axis=1, keepdims=True), -blocks.min(axis=1, keepdims=True))
    middles = (NF4[:-1] + NF4[1:]) / np.float32(2)
    codes = np.searchsorted(middles, blocks * (1 / np.maximum(absmax, np.float32(1e-38)))).astype(np.uint8)
    pairs = codes.reshape(-1, 2)
    packed = (pairs[:, :1] << 4) | pairs[:, 1:]
    return {"weight": packed, "weight.absmax": absmax.reshape(-1), "shape": np.array(w.shape)}


def decode_nf4(tensors: dict[str, Array]) -> Array:
    """By the table, the even entry in the high nibble."""
    packed = tensors["weight"]
    codes = np.concatenate([packed >> 4, packed & 15], axis=1)
    numbers = NF4[codes.reshape(-1, 64)] * tensors["weight.absmax"][:, np.newaxis]
    return np.asarray(numbers.reshape(tensors["shape"]))


def pack_int4(q: Array, *, out: Array | None = None) -> Array:
    """Two codes a byte, the even column in the low nibble, for an even number of columns.

    A pair of codes seen as one little-endian uint16 takes a quarter of the time that two strided passes take. Values
    outside [-8, 7] go unnoticed, other than in tersor.
    """
    pairs = q.view("<u2")
    nibbles = pairs >> 4
    nibbles &= 0xF0
    nibbles |= pairs & 0x0F
    out = np.empty(nibbles.shape, np.uint8) if out is None else out
    np.copyto(out, nibbles, casting="unsafe")
    return out


def unpack_int4(p: Array, cols: int, *, out: Array | None = None) -> Array:
    """The same pairs backwards; flipping the sign bit and subtracting it extends the sign. ``cols`` has to be even."""
    q = np.empty((*p.shape[:-1], cols), np.int8) if out is None else out
    pairs = q.view("<u2")
    np.copyto(pairs, p)
    pairs |= pairs << 4
    pairs &= 0x0F0F
    q ^= 8
    q -= 8
    return q


def score_units(w: Array, criterion: str) -> Array:
    """The l2 norm of each row, in float64."""
    assert criterion == "l2"
    return np.asarray(np.linalg.norm(w.astype(np.float64), axis=1))


def select_units(scores: Array, sparsity: float) -> Array:
    """The indexes of the highest scores, ascending."""
    return np.sort(np.argsort(scores, kind="stable")[round(sparsity * scores.size) :])


def remove_units(w: list[Array], keep: Array, *, axis: list[int]) -> list[Array]:
    """Each array without the units that are not kept."""
    return [np.take(array, keep, along) for array, along in zip(w, axis, strict=True)]


def mutual_information(x: Array, y: Array, bins: int) -> Array:
    """Of each column of x with the labels, in nats. One comparison an edge bins all columns at once."""
    samples, units = x.shape
    classes = int(y.max()) + 1
    wide = x.astype(np.float64)
    codes = np.tile(np.arange(units) * bins, (samples, 1))
    for edge in np.linspace(wide.min(axis=0), wide.max(axis=0), bins + 1)[1:-1]:
        codes += wide >= edge
    joint = np.bincount((codes * classes + y[:, np.newaxis]).reshape(-1), minlength=units * bins * classes)
    share = joint.reshape(units, bins, classes) / samples
    independent = share.sum(axis=2, keepdims=True) * share.sum(axis=1, keepdims=True)
    terms = share * np.log(np.divide(share, independent, out=np.ones_like(share), where=share > 0))
    return np.asarray(terms.sum(axis=(1, 2)))


def softmax(x: Array, temperature: float = 1.0, *, axis: int = -1, out: Array | None = None) -> Array:
    """``exp(x / T)`` over its sum, in the dtype of x; for T = 0 the largest entries share 1."""
    largest = x.max(axis=axis, keepdims=True)
    out = np.empty(x.shape, x.dtype) if out is None else out
    if temperature == 0:
        np.copyto(out, x == largest)
    else:
        np.subtract(x, largest, out=out)
        np.multiply(out, x.dtype.type(1 / temperature), out=out)
        np.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)
    return out
