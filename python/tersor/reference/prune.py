"""prune: which entries stay."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from tersor.reference._arithmetic import Array, arithmetic_dtype


def mask_threshold(w: Array, eps: float) -> NDArray[np.bool_]:
    """True where ``|w| >= eps`` and where w is NaN. eps is first rounded to w's dtype, as NumPy and torch do."""
    with np.errstate(over="ignore"):
        threshold = np.asarray(eps).astype(w.dtype)
    return ~(np.abs(w) < threshold)


def prune_threshold(w: Array, eps: float) -> Array:
    """w where ``|w| >= eps``, else +0.0. NaN stays as it is; -0.0 becomes +0.0, for eps = 0 too."""
    return np.where(mask_threshold(w, eps) & (w != 0), w, w.dtype.type(0))


def apply_mask(w: Array, mask: NDArray[np.bool_]) -> Array:
    """w where the mask is True, bit for bit, else +0.0."""
    return np.where(mask, w, w.dtype.type(0))


def count_nonzero(w: Array) -> int:
    """How many entries differ from zero. NaN does; -0.0 does not."""
    return int((w != 0).sum())


def sparsity(w: Array) -> float:
    """Zeros / total; 0.0 for an empty array."""
    return (w.size - count_nonzero(w)) / w.size if w.size else 0.0


def mean_threshold(w: Array, factor: float) -> float:
    """``factor * mean(|w|)``; the kernels sum in another order, so their mean may differ in the last digits."""
    return factor * float(np.abs(w.astype(np.float64)).mean()) if w.size else 0.0


def mask_ranked(scores: Array, sparsity: float, axis: int | None = None) -> NDArray[np.bool_]:
    """False for the ``round_half_even(sparsity * n)`` entries of the lowest scores.

    n counts all entries, or those of each row along ``axis``. -0.0 comes before +0.0, NaN last. Of scores that tie, NaN
    among themselves too, the first in C order go first.
    """
    if axis is not None:
        mask: NDArray[np.bool_] = np.empty(scores.shape, np.bool_)
        for index in np.ndindex(*np.delete(scores.shape, axis)):
            row = (*index[: axis % scores.ndim], slice(None), *index[axis % scores.ndim :])
            mask[row] = mask_ranked(scores[row], sparsity)
        return mask
    x = scores.ravel().astype(np.float64)
    count = round(sparsity * x.size)
    if count == 0:
        return np.ones(scores.shape, np.bool_)
    last = np.partition(x, count - 1)[count - 1]  # NaN last
    tied = np.isnan(x) if np.isnan(last) else x == last
    lower = ~tied if np.isnan(last) else x < last
    ties = np.flatnonzero(tied)
    if last == 0:
        ties = ties[np.argsort(~np.signbit(x[ties]), kind="stable")]
    mask = ~lower
    mask[ties[: count - np.count_nonzero(lower)]] = False
    return mask.reshape(scores.shape)


def mask_magnitude(w: Array, sparsity: float, axis: int | None = None) -> NDArray[np.bool_]:
    """``mask_ranked`` by ``|w|``."""
    return mask_ranked(np.abs(w), sparsity, axis)


def prune_magnitude(w: Array, sparsity: float, axis: int | None = None) -> Array:
    """w where ``mask_magnitude`` is True, bit for bit, else +0.0."""
    return apply_mask(w, mask_magnitude(w, sparsity, axis))


def product_scores(w: Array, other: Array) -> Array:
    """``|w * other|``, rounded once in the type of w's arithmetic: the scores of Taylor pruning, where other is the
    gradient, and of Wanda, where it is the norms of the input features."""
    dtype = arithmetic_dtype(w.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.abs(w.astype(dtype) * other.astype(dtype)))


def philox(counters: NDArray[np.uint64], seed: int) -> NDArray[np.uint32]:
    """Philox4x32-10 (Salmon et al., 2011): four words for each counter below 2**64, with the seed as the key."""
    mask = np.uint64(0xFFFFFFFF)
    words = [counters & mask, counters >> np.uint64(32), np.zeros_like(counters), np.zeros_like(counters)]
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        product0, product1 = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (product1 >> np.uint64(32)) ^ words[1] ^ np.uint64(keys[0]),
            product1 & mask,
            (product0 >> np.uint64(32)) ^ words[3] ^ np.uint64(keys[1]),
            product0 & mask,
        ]
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(words, axis=-1).astype(np.uint32)


def random_words(shape: tuple[int, ...], seed: int) -> NDArray[np.uint32]:
    """Word ``i % 4`` of counter ``i // 4`` for the entry of index i in C order."""
    size = int(np.prod(shape))
    words = philox(np.arange(-(-size // 4), dtype=np.uint64), seed)
    return np.asarray(words.reshape(-1)[:size].reshape(shape))


def random_scores(shape: tuple[int, ...], seed: int) -> NDArray[np.uint32]:
    """The upper 30 bits of each entry's word."""
    return np.asarray(random_words(shape, seed) >> np.uint32(2))


def mask_nm(w: Array, n: int, m: int, axis: int = -1) -> NDArray[np.bool_]:
    """True for the n largest ``|w|`` of every m consecutive entries along ``axis``, and of what is left at its end. Of
    entries that tie the first go first; NaN counts as the largest."""
    rows = np.moveaxis(np.abs(w).astype(np.float64), axis, -1)
    *outer, cols = rows.shape
    whole = cols // m * m
    groups = rows[..., :whole].reshape(*outer, whole // m, m)
    mask = np.concatenate([_largest(groups, n).reshape(*outer, whole), _largest(rows[..., whole:], n)], axis=-1)
    return np.moveaxis(mask, -1, axis)


def _largest(groups: Array, n: int) -> NDArray[np.bool_]:
    """True for the n largest of the last axis, the last of those that tie."""
    mask: NDArray[np.bool_] = np.zeros(groups.shape, np.bool_)
    np.put_along_axis(mask, np.argsort(groups, axis=-1, kind="stable")[..., -n:], True, axis=-1)
    return mask


def _ways_to_keep_two_of_four() -> list[Array]:
    """The 90 masks of 4 x 4 with two entries in each row and column, those first that keep later columns in earlier rows."""
    pairs = [(3, 2), (3, 1), (3, 0), (2, 1), (2, 0), (1, 0)]
    rows = [np.isin(np.arange(4), pair) for pair in pairs]
    ways = [np.stack(choice) for choice in itertools.product(rows, repeat=4)]
    return [way for way in ways if (way.sum(0) == 2).all()]


def mask_transposable(w: Array) -> NDArray[np.bool_]:
    """2:4 along the last two axes at once: of each 4 x 4 block the first of the ways whose sum of ``|w|`` is the largest.

    Each row's pair is added up first, then the rows in order, in the type of w's arithmetic. Magnitudes are cut at 2**120
    (2**1000 for float64), which NaN counts as too. Blocks at the edges are filled up with zeros.
    """
    dtype = arithmetic_dtype(w.dtype)
    most = dtype.type(2.0 ** (1000 if dtype == np.float64 else 120))
    x = np.abs(w.astype(dtype))
    x = np.where(x < most, x, most)
    *outer, rows, cols = w.shape
    padded = np.zeros((*outer, -(-rows // 4) * 4, -(-cols // 4) * 4), dtype)
    padded[..., :rows, :cols] = x
    blocks = padded.reshape(*outer, padded.shape[-2] // 4, 4, padded.shape[-1] // 4, 4).swapaxes(-3, -2)
    mask: NDArray[np.bool_] = np.zeros(blocks.shape, np.bool_)
    best = np.full(blocks.shape[:-2], -1, dtype)
    for way in _ways_to_keep_two_of_four():
        pairs = blocks[..., way].reshape(*best.shape, 4, 2)
        sums = pairs[..., 0] + pairs[..., 1]
        total = ((sums[..., 0] + sums[..., 1]) + sums[..., 2]) + sums[..., 3]
        better = total > best
        best[better], mask[better] = total[better], way
    kept: NDArray[np.bool_] = mask.swapaxes(-3, -2).reshape(padded.shape)[..., :rows, :cols]
    return kept


def mask_blocks(w: Array, block: tuple[int, int], sparsity: float, norm: str = "l2") -> NDArray[np.bool_]:
    """False for the ``round_half_even(sparsity * blocks)`` blocks of the smallest norm, over all matrices of the last two
    axes; ties by the first block, NaN last. The kernels sum in another order."""
    (r, c), (rows, cols) = block, w.shape[-2:]
    x = np.abs(w.astype(np.float64))
    join = np.maximum if norm == "max" else np.add
    of_rows = join.reduceat(x * x if norm == "l2" else x, np.arange(0, rows, r), axis=-2)
    norms = join.reduceat(of_rows, np.arange(0, cols, c), axis=-1)
    kept = mask_ranked(norms, sparsity)
    return kept.repeat(r, axis=-2)[..., :rows, :].repeat(c, axis=-1)[..., :cols]
