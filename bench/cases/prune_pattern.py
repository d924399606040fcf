"""n of every m entries, and whole blocks.

Masks of n of m are bits, as tersor stores them; torch's peers give bools, for torch packs none.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tersor
from tersor import reference

from bench.cases.prune import with_bits_output, with_output
from bench.goals import Goal, floor
from bench.operands import as_bits, empty, magnitude_bits
from bench.operation import LARGE, MEDIUM, SIZES, SMALL, Array, Arrays, Call, MakeCall, Operation, Shape
from bench.peers import as_torch

# A mask of the entries that stay, each time in the same memory.
MakeMask = Callable[[Arrays], Callable[[], Any]]


# --- NumPy and torch: what they do with a mask ---------------------------------------------------------------------------


def numpy_prune(make_mask: MakeMask, a: Arrays) -> Call:
    mask = make_mask(a)
    return Call(lambda: np.multiply(as_bits(a.w), mask(), out=as_bits(a.out)))


def numpy_pack(make_mask: MakeMask, a: Arrays) -> Call:
    mask = make_mask(a)

    def pack() -> None:
        a.out[...] = np.packbits(mask(), axis=-1, bitorder="little")

    return Call(pack)


def torch_prune(make_mask: MakeMask, a: Arrays) -> Call:
    import torch

    w, out, mask = as_torch(a.w), as_torch(a.out), make_mask(a)
    return Call(lambda: torch.mul(w, mask(), out=out))


# --- n of m ----------------------------------------------------------------------------------------------------------


def numpy_nm(n: int, m: int) -> MakeMask:
    """Each entry of a group against each other one, all groups at once: several times faster than sorts of m entries."""

    def make(a: Arrays) -> Callable[[], Array]:
        bits = as_bits(a.w)
        magnitude = empty(bits.shape, bits.dtype)
        planes = empty((m, bits.size // m), bits.dtype)
        larger = empty((bits.size // m,), np.bool_)
        wins = empty(planes.shape, np.uint8)
        keep = empty(a.w.shape, np.bool_)

        def mask() -> Array:
            np.bitwise_and(bits, magnitude_bits(a.w.dtype), out=magnitude)
            planes[...] = magnitude.reshape(-1, m).T
            # The later of two that tie wins: each begins as the winner of all before it.
            wins[...] = np.arange(m, dtype=np.uint8)[:, None]
            for i, j in itertools.combinations(range(m), 2):
                np.greater(planes[i], planes[j], out=larger)
                np.add(wins[i], larger.view(np.uint8), out=wins[i])
                np.subtract(wins[j], larger.view(np.uint8), out=wins[j])
            np.greater_equal(wins.T, m - n, out=keep.reshape(-1, m))
            return keep

        return mask

    return make


def torch_nm(n: int, m: int) -> MakeMask:
    """What torch users write; llm-compressor does too."""

    def make(a: Arrays) -> Callable[[], Any]:
        import torch

        groups = as_torch(a.w).view(-1, m)

        def mask() -> Any:
            largest = groups.abs().topk(n, dim=1, sorted=False).indices
            return torch.zeros(groups.shape, dtype=torch.bool).scatter_(1, largest, True).view(a.w.shape)

        return mask

    return make


def compressed_tensors_mask(a: Arrays) -> Call:
    """The mask of its 2:4 compressor, packed."""
    from compressed_tensors.compressors.sparse_compressors.sparse_24_bitmask import get_24_bytemasks
    from compressed_tensors.utils import pack_bitmasks

    w = as_torch(a.w)
    return Call(lambda: pack_bitmasks(get_24_bytemasks(w)))


@functools.cache
def numba_nm(n: int, m: int) -> tuple[Any, Any]:
    """Loops over bytes of the mask and over groups; the compiler knows n and m."""
    from numba import njit, prange

    @njit(inline="always")
    def stays(bits: Array, first: int, i: int, magnitude: Any) -> bool:
        one, wins = bits[first + i] & magnitude, 0
        for j in range(m):
            other = bits[first + j] & magnitude
            wins += one >= other if j < i else one > other
        return wins >= m - n

    @njit(parallel=True)
    def mask(bits: Array, magnitude: Any, out: Array) -> None:
        for byte in prange(out.size):
            found = 0
            for first in range(0, 8, m):
                for i in range(m):
                    found |= stays(bits, 8 * byte + first, i, magnitude) << (first + i)
            out[byte] = found

    @njit(parallel=True)
    def prune(bits: Array, magnitude: Any, out: Array) -> None:
        for group in prange(bits.size // m):
            for i in range(m):
                out[m * group + i] = bits[m * group + i] if stays(bits, m * group, i, magnitude) else 0

    return mask, prune


@functools.cache
def numba_24() -> Any:
    """The mask of 2:4 with its six comparisons written out: LLVM finds vectors for these, and not for the loops."""
    from numba import njit, prange

    @njit(parallel=True)
    def mask(bits: Array, magnitude: Any, out: Array) -> None:
        for byte in prange(out.size):
            found = 0
            for half in range(2):
                first = 8 * byte + 4 * half
                a = np.int32(bits[first] & magnitude)
                b = np.int32(bits[first + 1] & magnitude)
                c = np.int32(bits[first + 2] & magnitude)
                d = np.int32(bits[first + 3] & magnitude)
                ab, ac, ad, bc, bd, cd = a > b, a > c, a > d, b > c, b > d, c > d
                kept = (ab & ac) | (ad & (ab | ac))
                kept |= ((bc & bd) | ((not ab) & (bc | bd))) << 1
                kept |= ((cd & (not (ac & bc))) | (not (ac | bc))) << 2
                kept |= (((not ad) & (not (bd & cd))) | (not (bd | cd))) << 3
                found |= kept << (4 * half)
            out[byte] = found

    return mask


def numba_mask(n: int, m: int, a: Arrays) -> Call:
    mask = numba_24() if (n, m) == (2, 4) else numba_nm(n, m)[0]
    return Call(mask, as_bits(a.w).reshape(-1), magnitude_bits(a.w.dtype), a.out.reshape(-1))


def numba_prune(n: int, m: int, a: Arrays) -> Call:
    return Call(numba_nm(n, m)[1], as_bits(a.w).reshape(-1), magnitude_bits(a.w.dtype), as_bits(a.out).reshape(-1))


# --- 2:4 along rows and along columns ----------------------------------------------------------------------------------

PAIRS = list(itertools.combinations(range(4), 2))
# NumPy and torch multiply by all patterns: so many blocks at a time stay in a cache.
BLOCKS_AT_ONCE = 1 << 14


@functools.cache
def patterns() -> tuple[Array, Array]:
    """The 90 ways to keep two entries of each row and column of four: as pairs of each row, and as 16 columns of 0 and 1."""
    rows = np.array([np.isin(np.arange(4), pair) for pair in PAIRS])
    # Later columns in earlier rows come first, as they do for tersor.
    pairs = np.array([way for way in itertools.product(range(5, -1, -1), repeat=4) if (rows[list(way)].sum(0) == 2).all()])
    return pairs.astype(np.int64), np.ascontiguousarray(rows[pairs].reshape(-1, 16))


def parts(a: Arrays) -> Iterator[slice]:
    """Rows of w, a few blocks at a time."""
    step = max(4, BLOCKS_AT_ONCE * 16 // a.w.shape[1] // 4 * 4)
    return (slice(first, first + step) for first in range(0, a.w.shape[0], step))


def blocks_of(part: Any) -> Any:
    """(rows, cols) as (rows / 4, cols / 4, 4, 4), of an array or a tensor."""
    return part.reshape(part.shape[0] // 4, 4, part.shape[1] // 4, 4).swapaxes(1, 2)


def numpy_transposable(a: Arrays) -> Callable[[], Array]:
    pattern, keep = patterns()[1], empty(a.w.shape, np.bool_)
    factors = np.ascontiguousarray(pattern.T, np.float32)

    def mask() -> Array:
        for part in parts(a):
            magnitude = blocks_of(np.abs(a.w[part]))
            best = (magnitude.reshape(-1, 16) @ factors).argmax(1)
            blocks_of(keep[part])[...] = pattern[best].reshape(magnitude.shape)
        return keep

    return mask


def torch_transposable(a: Arrays) -> Callable[[], Any]:
    """As NVIDIA's ASP does."""
    import torch

    pattern = torch.from_numpy(patterns()[1])
    factors, w, keep = pattern.T.float().contiguous(), as_torch(a.w), torch.empty(a.w.shape, dtype=torch.bool)

    def mask() -> Any:
        for part in parts(a):
            magnitude = blocks_of(w[part].abs())
            best = (magnitude.reshape(-1, 16) @ factors).argmax(1)
            blocks_of(keep[part]).copy_(pattern[best].view(magnitude.shape))
        return keep

    return mask


@functools.cache
def numba_transposable() -> Any:
    from numba import njit, prange

    ways = patterns()[0]
    first, second = np.array(PAIRS).T

    @njit(parallel=True)
    def prune(w: Array, out: Array) -> None:
        for down in prange(w.shape[0] // 4):
            sums = np.empty((4, 6), w.dtype)
            for right in range(0, w.shape[1], 4):
                for i in range(4):
                    for pair in range(6):
                        row = w[4 * down + i]
                        sums[i, pair] = abs(row[right + first[pair]]) + abs(row[right + second[pair]])
                best, most = 0, sums[0, 0] * 0 - 1
                for way in range(len(ways)):
                    total = sums[0, ways[way, 0]] + sums[1, ways[way, 1]] + sums[2, ways[way, 2]] + sums[3, ways[way, 3]]
                    if total > most:
                        best, most = way, total
                for i in range(4):
                    pair = ways[best, i]
                    for j in range(4):
                        keep = j == first[pair] or j == second[pair]
                        out[4 * down + i, right + j] = w[4 * down + i, right + j] if keep else 0

    return prune


# --- blocks ------------------------------------------------------------------------------------------------------------

SPARSITY = 0.5


def numpy_blocks(block: tuple[int, int], norm: str) -> MakeMask:
    def make(a: Arrays) -> Callable[[], Array]:
        (r, c), (rows, cols) = block, a.w.shape
        terms, keep = empty(a.w.shape, a.w.dtype), empty(a.w.shape, np.bool_)
        join = np.maximum if norm == "max" else np.add
        k = round(SPARSITY * (a.w.size // (r * c)))

        def mask() -> Array:
            (np.square if norm == "l2" else np.abs)(a.w, out=terms)
            # Sums of a short last axis are slow, those of its columns are not.
            of_rows = join.reduce(terms.reshape(rows // r, r, cols), axis=1) if r > 1 else terms
            norms = functools.reduce(join, (of_rows[:, first::c] for first in range(c)))
            threshold = np.partition(norms.reshape(-1), k - 1)[k - 1]
            keep.reshape(rows // r, r, cols // c, c)[...] = (norms > threshold)[:, None, :, None]
            return keep

        return mask

    return make


def torch_blocks(block: tuple[int, int], norm: str, a: Arrays) -> Call:
    import torch

    shape = (a.w.shape[0] // block[0], block[0], a.w.shape[1] // block[1], block[1])
    w, out = as_torch(a.w).view(shape), as_torch(a.out).view(shape)
    k = round(SPARSITY * shape[0] * shape[2])

    def prune() -> None:
        order = {"l1": 1, "l2": 2, "max": float("inf")}[norm]
        norms = torch.linalg.vector_norm(w, order, (1, 3), keepdim=True)
        torch.mul(w, norms > torch.kthvalue(norms.reshape(-1), k)[0], out=out)

    return Call(prune)


# --- the table -------------------------------------------------------------------------------------------------------

LARGER = {size: SIZES[size] for size in (MEDIUM, LARGE)}
# Blocks of rows and columns need both.
MATRICES: dict[str, Shape] = {SMALL: (32, 32), **LARGER}


def mask_nm_row(n: int, m: int, dtype: str, goal: Goal | None = None) -> Operation:
    peers: dict[str, MakeCall] = {"torch topk": lambda a: Call(torch_nm(n, m)(a)), "numba": lambda a: numba_mask(n, m, a)}
    if (n, m) == (2, 4):
        peers["compressed-tensors"] = compressed_tensors_mask
    return Operation(
        family="prune",
        name="mask_nm",
        variant=f"{n}:{m} packed",
        dtype=dtype,
        arrays=with_bits_output,
        expected=lambda a: (reference.pack_mask(reference.mask_nm(a.w, n, m)),),
        tersor=lambda a: Call(tersor.mask_nm, a.w, n, m, packed=True, out=a.out),
        numpy=lambda a: numpy_pack(numpy_nm(n, m), a),
        peers=peers,
        unchecked=frozenset({"torch topk", "compressed-tensors"}),
        goals={} if goal is None else {LARGE: goal},
    )


def prune_nm_row(n: int, m: int, dtype: str) -> Operation:
    return Operation(
        family="prune",
        name="prune_nm",
        variant=f"{n}:{m}",
        dtype=dtype,
        arrays=with_output,
        expected=lambda a: (reference.apply_mask(a.w, reference.mask_nm(a.w, n, m)),),
        tersor=lambda a: Call(tersor.prune_nm, a.w, n, m, out=a.out),
        numpy=lambda a: numpy_prune(numpy_nm(n, m), a),
        peers={
            "torch topk": lambda a: torch_prune(torch_nm(n, m), a),
            "numba": lambda a: numba_prune(n, m, a),
        },
        # Which of those that tie topk takes is not told.
        unchecked=frozenset({"torch topk"}),
    )


def blocks_row(block: tuple[int, int], norm: str) -> Operation:
    return Operation(
        family="prune",
        name="prune_blocks",
        variant=f"{block[0]} x {block[1]} {norm}",
        arrays=with_output,
        sizes=LARGER,
        expected=lambda a: (reference.apply_mask(a.w, reference.mask_blocks(a.w, block, SPARSITY, norm)),),
        tersor=lambda a: Call(tersor.prune_blocks, a.w, block, SPARSITY, norm=norm, out=a.out),
        numpy=lambda a: numpy_prune(numpy_blocks(block, norm), a),
        peers={"torch kthvalue": lambda a: torch_blocks(block, norm, a)},
        # Their sums are of float32, and all that tie at the threshold go.
        unchecked=frozenset({"numpy", "torch kthvalue"}),
        read_before=("w",),
        whole=True,
    )


OPERATIONS = [
    mask_nm_row(2, 4, "float32"),
    mask_nm_row(2, 4, "bfloat16", floor(1.2)),
    prune_nm_row(2, 4, "float32"),
    prune_nm_row(2, 4, "bfloat16"),
    mask_nm_row(4, 8, "float32"),
    mask_nm_row(4, 8, "bfloat16"),
    prune_nm_row(4, 8, "float32"),
    prune_nm_row(4, 8, "bfloat16"),
    Operation(
        family="prune",
        name="mask_nm",
        variant="2:4 transposable packed",
        arrays=with_bits_output,
        sizes=MATRICES,
        expected=lambda a: (reference.pack_mask(reference.mask_transposable(a.w)),),
        tersor=lambda a: Call(tersor.mask_nm, a.w, 2, 4, transposable=True, packed=True, out=a.out),
        numpy=lambda a: numpy_pack(numpy_transposable, a),
        peers={"torch": lambda a: Call(torch_transposable(a))},
        # A product adds up in another order.
        unchecked=frozenset({"numpy", "torch"}),
    ),
    Operation(
        family="prune",
        name="prune_nm",
        variant="2:4 transposable",
        arrays=with_output,
        sizes=MATRICES,
        expected=lambda a: (reference.apply_mask(a.w, reference.mask_transposable(a.w)),),
        tersor=lambda a: Call(tersor.prune_nm, a.w, 2, 4, transposable=True, out=a.out),
        numpy=lambda a: numpy_prune(numpy_transposable, a),
        peers={
            "torch": lambda a: torch_prune(torch_transposable, a),
            "numba": lambda a: Call(numba_transposable(), a.w, a.out),
        },
        unchecked=frozenset({"numpy", "torch"}),
    ),
    *(blocks_row(block, norm) for block in ((4, 4), (1, 4)) for norm in ("l1", "l2", "max")),
]
