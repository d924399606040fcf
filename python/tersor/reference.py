"""The specification: every operation again in plain NumPy, slow and obvious.

Tests compare the kernels with these functions, benchmarks time against them, and the documentation quotes them.
Unless a function says otherwise the kernels give exactly these bits. Arithmetic on float16 and bfloat16 happens in
float32, and results are rounded to the array's dtype once, half to even; a NaN result is the canonical quiet NaN.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]


def arithmetic_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """float64 for float64, float32 for every narrower float."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


# --- prune ---------------------------------------------------------------------------------------------------------


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
    order = np.lexsort((~np.signbit(x) & ~np.isnan(x), x))
    mask = np.ones(x.size, np.bool_)
    mask[order[: round(sparsity * x.size)]] = False
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


def random_scores(shape: tuple[int, ...], seed: int) -> NDArray[np.uint32]:
    """The upper 30 bits of word ``i % 4`` of counter ``i // 4`` for the entry of index i in C order."""
    size = int(np.prod(shape))
    words = philox(np.arange(-(-size // 4), dtype=np.uint64), seed)
    return np.asarray(words.reshape(-1)[:size].reshape(shape) >> np.uint32(2))


def mask_nm(w: Array, n: int, m: int, axis: int = -1) -> NDArray[np.bool_]:
    """True for the n largest ``|w|`` of every m consecutive entries along ``axis``, and of what is left at its end. Of
    entries that tie the first go first; NaN counts as the largest."""
    rows = np.moveaxis(np.abs(w).astype(np.float64), axis, -1)
    mask: NDArray[np.bool_] = np.zeros(rows.shape, np.bool_)
    for begin in range(0, rows.shape[-1], m):
        order = np.argsort(rows[..., begin : begin + m], axis=-1, kind="stable")
        np.put_along_axis(mask[..., begin : begin + m], order[..., -n:], True, axis=-1)
    return np.moveaxis(mask, -1, axis)


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
    mask = np.zeros(padded.shape, np.bool_)
    for index in np.ndindex(*outer, padded.shape[-2] // 4, padded.shape[-1] // 4):
        place = (*index[:-2], slice(4 * index[-2], 4 * index[-2] + 4), slice(4 * index[-1], 4 * index[-1] + 4))
        block, best = padded[place], dtype.type(-1)
        for way in _ways_to_keep_two_of_four():
            pairs = [dtype.type(row[keep][0] + row[keep][1]) for row, keep in zip(block, way, strict=True)]
            total = ((pairs[0] + pairs[1]) + pairs[2]) + pairs[3]
            if total > best:
                best, mask[place] = total, way
    return mask[..., :rows, :cols]


def mask_blocks(w: Array, block: tuple[int, int], sparsity: float, norm: str = "l2") -> NDArray[np.bool_]:
    """False for the ``round_half_even(sparsity * blocks)`` blocks of the smallest norm, over all matrices of the last two
    axes; ties by the first block, NaN last. The kernels sum in another order."""
    (r, c), (*outer, rows, cols) = block, w.shape
    down, across = -(-rows // r), -(-cols // c)
    x = np.abs(w.astype(np.float64))
    norms = np.zeros((*outer, down, across))
    for i, j in np.ndindex(down, across):
        part = x[..., i * r : (i + 1) * r, j * c : (j + 1) * c]
        if norm == "max":
            norms[..., i, j] = part.max(axis=(-2, -1))
        else:
            norms[..., i, j] = (part if norm == "l1" else part * part).sum(axis=(-2, -1))
    kept = mask_ranked(norms, sparsity)
    return kept.repeat(r, axis=-2)[..., :rows, :].repeat(c, axis=-1)[..., :cols]


# --- select ------------------------------------------------------------------------------------------------------


def kth_value(w: Array, k: int) -> float:
    """The kth smallest value, k from 1; NaN is larger than infinity, -0.0 smaller than +0.0."""
    x = w.ravel().astype(np.float64)
    return float(x[np.lexsort((~np.signbit(x), x))][k - 1])


def kth_magnitude(w: Array, k: int) -> float:
    """The kth smallest ``|w|``."""
    return float(np.sort(np.abs(w.ravel()).astype(np.float64))[k - 1])


def quantile(w: Array, q: Any) -> Any:
    """NumPy's linear interpolation in float64."""
    return np.quantile(w.astype(np.float64), q)


def magnitude_threshold(w: Array, sparsity: float) -> float:
    """The least magnitude that stays when ``round_half_even(sparsity * n)`` of n entries go; infinity where none does."""
    count = round(sparsity * w.size)
    return float("inf") if count == w.size else kth_magnitude(w, count + 1)


# --- structured --------------------------------------------------------------------------------------------------


def _sums_of_units(terms: Array, join: np.ufunc) -> Array:
    """Terms of shape (stretches, units, length) joined to one number a unit, in the order that the kernels keep to.

    Blocks of 128 stretches, one after the other; of their sums blocks of 2,048 within a unit, entry i on lane i % 64, and
    the lanes by halves; these blocks one after the other.
    """
    stretches, units, length = terms.shape
    total = np.zeros(units)
    for stretch in range(0, stretches, 128):
        column = np.zeros((units, length))
        for row in terms[stretch : stretch + 128]:
            column = join(column, row)
        for first in range(0, length, 2048):
            lanes = np.zeros((units, 64))
            for place in range(first, min(first + 2048, length), 64):
                group = column[:, place : min(place + 64, first + 2048, length)]
                lanes[:, : group.shape[1]] = join(lanes[:, : group.shape[1]], group)
            while lanes.shape[1] > 1:
                half = lanes.shape[1] // 2
                lanes = join(lanes[:, :half], lanes[:, half:])
            total = join(total, lanes[:, 0])
    return total


def score_units(
    w: Array, criterion: str = "l1", axis: int = 0, group_size: int = 1, gradient: Array | None = None
) -> NDArray[np.float64]:
    """One score for each ``group_size`` neighbours along ``axis``, over all that belongs to them on the other axes.

    l1: the sum of ``|w|``; l2: the square root of the sum of squares; max: the largest ``|w|``; taylor: the square of the
    sum of ``w * gradient``. All in float64. A NaN in a unit makes its score NaN; a unit without entries scores 0.
    """
    axis %= w.ndim
    units = w.shape[axis] // group_size
    shape = (int(np.prod(w.shape[:axis])), units, group_size * int(np.prod(w.shape[axis + 1 :])))
    x = w.astype(np.float64).reshape(shape)
    with np.errstate(all="ignore"):
        if criterion == "taylor":
            assert gradient is not None
            total = _sums_of_units(x * gradient.astype(np.float64).reshape(shape), np.add) ** 2
        elif criterion == "l2":
            total = np.sqrt(_sums_of_units(x * x, np.add))
        else:
            total = _sums_of_units(np.abs(x), np.maximum if criterion == "max" else np.add)
    return np.where(np.isnan(total), np.nan, total)


def select_units(scores: Array, sparsity: float, multiple_of: int = 1) -> NDArray[np.int64]:
    """The indexes that stay, ascending, when the ``round_half_even(sparsity * n)`` lowest of n scores go.

    The number that stays is rounded up to a multiple of ``multiple_of``, to n where that is less. Of scores that tie the
    first go first; NaN is the highest score.
    """
    n = scores.size
    kept = n - round(sparsity * n)
    kept = min(n, -(-kept // multiple_of) * multiple_of)
    return np.sort(np.argsort(scores.astype(np.float64), kind="stable")[n - kept :])


def remove_units(w: Array, keep: NDArray[np.int64], axis: int = 0, group_size: int = 1) -> Array:
    """The units of the given indexes, in a new array."""
    entries = (np.asarray(keep)[:, None] * group_size + np.arange(group_size)).ravel()
    return np.take(w, entries, axis)


# --- bitmask -------------------------------------------------------------------------------------------------------


def pack_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Bits of each row of the last axis, least significant first, padded with 0 to whole bytes."""
    return np.packbits(mask, axis=-1, bitorder="little")


def unpack_mask(bits: NDArray[np.uint8], cols: int) -> NDArray[np.bool_]:
    """The first ``cols`` bits of each row. Padding bits are ignored."""
    return np.unpackbits(bits, axis=-1, count=cols, bitorder="little").view(np.bool_)


# --- quantize ------------------------------------------------------------------------------------------------------


def round_fixed(w: Array, bits: int = 8) -> Array:
    """The nearest multiple of ``2**-bits``, ties to even, sign of zero kept. NaN and infinities stay.

    In float64 no step of this rounds but the ``rint`` for the narrower dtypes. float64 itself could overflow at the
    scaling: where ``|w| >= 2**(52 - bits)`` it is a multiple already.
    """
    x = w.astype(np.float64)
    fine = np.abs(x) < 2.0 ** (52 - bits)
    rounded = np.rint(np.where(fine, x, 0.0) * 2.0**bits) / 2.0**bits
    return np.where(fine, np.copysign(rounded, x), x).astype(w.dtype)


def quantize_int8(w: Array, axis: int = -1) -> tuple[NDArray[np.int8], Array]:
    """Symmetric int8 codes and one scale for each row along ``axis``; the scale keeps that axis with length 1.

    ``scale = absmax / 127`` over the finite entries of the row, and 1 where that is 0; ``q = rint(w / scale)``, half to
    even, clamped to [-127, 127]. Both divisions are correctly rounded in float32 (float64 for float64), whose dtype the
    scale has. An infinity becomes +-127, a NaN 0.
    """
    x = w.astype(arithmetic_dtype(w.dtype))
    magnitude = np.where(np.isfinite(x), np.abs(x), 0)
    absmax = magnitude.max(axis=axis, keepdims=True, initial=0)
    scale = absmax / x.dtype.type(127)
    scale[scale == 0] = 1
    with np.errstate(invalid="ignore", over="ignore"):
        q = np.clip(np.rint(x / scale), -127, 127)
    return np.where(np.isnan(x), 0, q).astype(np.int8), scale


def dequantize_int8(q: NDArray[np.int8], scale: Array, dtype: DTypeLike | None = None) -> Array:
    """``q * scale`` in the scale's dtype, rounded once to ``dtype``."""
    product = q.astype(scale.dtype) * scale
    with np.errstate(over="ignore"):
        return product.astype(scale.dtype if dtype is None else dtype)


# --- pack ----------------------------------------------------------------------------------------------------------


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


# --- softmax -------------------------------------------------------------------------------------------------------


def softmax(x: Array, temperature: ArrayLike = 1.0, axis: int = -1) -> Array:
    """``exp(x / T)`` over its sum along ``axis``, in float64, rounded to x's dtype at the end.

    The temperature is a scalar, or an array that broadcasts to x with length 1 along ``axis``. T = 0 is the limit from
    above: the largest entries share 1 evenly. T = inf is the limit too: every entry but -inf gets the same. A row that
    holds NaN, or +inf at T > 0, or nothing but -inf, is NaN throughout. The kernels are within 2 ULP of this (float32,
    float64), or within 0.52 ULP (float16, bfloat16).
    """
    z = x.astype(np.float64)
    t = np.broadcast_to(np.asarray(temperature, np.float64), [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)])
    top = z.max(axis=axis, keepdims=True, initial=-np.inf)
    with np.errstate(all="ignore"):
        exponential = np.exp((z - top) / t)
        exponential = np.where(np.isinf(t), np.where(z == -np.inf, 0.0, np.exp(z - z)), exponential)
        exponential = np.where(t == 0, np.where(np.isnan(top), np.nan, z == top), exponential)
        exponential = np.where(np.isneginf(top), np.nan, exponential)
        shares: Array = exponential / exponential.sum(axis=axis, keepdims=True)
    return shares.astype(x.dtype)


# --- information -----------------------------------------------------------------------------------------------------


def bin_edges(x: Array, bins: int, kind: str = "uniform") -> NDArray[np.float64]:
    """``bins + 1`` edges in float64: even ones from the least element to the greatest, or the quantiles ``i / bins``.

    Where all elements are equal, even edges reach half a unit further on both sides; without any they go from 0 to 1.
    """
    wide = x.ravel().astype(np.float64) + 0.0
    if not np.isfinite(wide).all():
        raise ValueError("x holds NaN or an infinity")
    if kind == "quantile" and wide.size:
        return np.maximum.accumulate(np.quantile(wide, np.arange(bins + 1) / bins))
    low, high = (wide.min(), wide.max()) if wide.size else (0.0, 1.0)
    return np.linspace(low - 0.5, high + 0.5, bins + 1) if low == high else np.linspace(low, high, bins + 1)


def bins_of(x: Array, edges: Array) -> NDArray[np.int64]:
    """The bin of each element; -1 below the edges, and their number above them or for NaN.

    The last edge belongs to the last bin. Where edges coincide, a number equal to them is in the bin above.
    """
    wide = x.astype(np.float64)
    found = np.searchsorted(edges[:-1], wide, "right") - 1
    return np.where((wide > edges[-1]) | np.isnan(wide), len(edges) - 1, found)


def histogram(x: Array, edges: Array) -> NDArray[np.int64]:
    """How many elements lie in each bin."""
    return np.bincount(bins_of(x.ravel(), edges) + 1, minlength=len(edges) + 1)[1 : len(edges)].astype(np.int64)


def histogram2d(x: Array, y: Array, x_edges: Array, y_edges: Array) -> NDArray[np.int64]:
    """How many pairs of elements lie in each pair of bins."""
    of_x, of_y = bins_of(x.ravel(), x_edges), bins_of(y.ravel(), y_edges)
    counts = np.zeros((len(x_edges) + 1, len(y_edges) + 1), np.int64)
    np.add.at(counts, (of_x + 1, of_y + 1), 1)
    return counts[1:-1, 1:-1]


def distribution_entropy(p: Array) -> float:
    """The sum of p ln(1 / p), in nats; terms of 0 are 0. The kernels are within 1e-15, relative and absolute."""
    positive = p[p > 0].astype(np.float64)
    return float(-(positive * np.log(positive)).sum())


def divergence(p: Array, q: Array) -> float:
    """The sum of p ln(p / q) in nats: 0 where p is 0, infinite where q alone is."""
    there = p > 0
    p, q = p[there].astype(np.float64), q[there].astype(np.float64)
    return float("inf") if (q == 0).any() else max(0.0, float((p * np.log(p / q)).sum()))


def entropy(x: Array, edges: Array) -> float:
    """Of the shares of the bins among all that is counted; 0 where nothing is."""
    counts = histogram(x, edges)
    return distribution_entropy(counts / counts.sum()) if counts.any() else 0.0


def mutual_information(x: Array, y: Array, bins: int, kind: str = "uniform") -> float:
    """Of two variables, in nats. Where y is of integers, each is a class; where it is floating, it has bins of its own."""
    of_x = bins_of(x, bin_edges(x, bins, kind))
    of_y = np.unique(y, return_inverse=True)[1] if y.dtype.kind in "iub" else bins_of(y, bin_edges(y, bins, kind))
    joint = np.array([[((of_x == i) & (of_y == j)).sum() for j in np.unique(of_y)] for i in np.unique(of_x)])
    if not joint.size:
        return 0.0
    share = joint / joint.sum()
    return divergence(share, share.sum(axis=0) * share.sum(axis=1, keepdims=True))


def mask_units(w: Array, scores: Array, sparsity: float, axis: int = 0) -> NDArray[np.bool_]:
    """False for the ``round_half_even(sparsity * units)`` units along ``axis`` that score lowest, the first of those that
    tie."""
    keep = np.ones(len(scores), np.bool_)
    keep[np.argsort(scores, kind="stable")[: round(sparsity * len(scores))]] = False
    mask: NDArray[np.bool_] = np.empty(w.shape, np.bool_)
    np.moveaxis(mask, axis, -1)[...] = keep
    return mask


# --- matmul --------------------------------------------------------------------------------------------------------


def matmul_bitmask(x: Array, t: Any) -> Array:
    """``x @ W.T`` in float64, rounded to x's dtype at the end. t is a BitmaskTensor of two dimensions.

    W has the values of t in the places of its bits, row by row, and +0.0 in all others. These take part: 0 * inf is NaN,
    as in any dense product. The kernels accumulate in float32 (float64 for float64 values), in a fixed order, within
    ``n * u / (1 - n * u)`` of ``|x| @ |W|.T`` before that rounding, ``n = 67 + ceil(cols / 1024)``.
    """
    rows, cols = t.shape
    w = np.zeros((rows, cols), np.float64)
    w[unpack_mask(t.bits, cols)] = t.values.astype(np.float64)
    with np.errstate(all="ignore"):
        product: Array = x.astype(np.float64) @ w.T
        return product.astype(x.dtype)
