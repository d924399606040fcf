"""Refusals of the criteria of prune."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from refusals import F16, F64, Row, codes, floats, overlap_of

ARGUMENTS_OF_PRUNE: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("prune_mean", "w", lambda a: tersor.prune_mean(a, 0.5)),
    ("mask_mean", "out", lambda a: tersor.mask_mean(floats(3, 16), 0.5, out=a)),
    ("prune_scores", "w", lambda a: tersor.prune_scores(a, floats(3, 16), 0.5)),
    ("prune_scores", "scores", lambda a: tersor.prune_scores(floats(3, 16), a, 0.5)),
    ("mask_scores", "scores", lambda a: tersor.mask_scores(a, 0.5)),
    ("prune_taylor", "gradient", lambda a: tersor.prune_taylor(floats(3, 16), a, 0.5)),
    ("mask_wanda", "norm", lambda a: tersor.mask_wanda(floats(3, 16), a, 0.5)),
    ("prune_random", "w", lambda a: tersor.prune_random(a, 0.5, seed=1)),
    ("prune_nm", "w", lambda a: tersor.prune_nm(a, 2, 4)),
    ("mask_nm", "w", lambda a: tersor.mask_nm(a, 2, 4)),
    ("prune_nm transposable", "w", lambda a: tersor.prune_nm(a, 2, 4, transposable=True)),
    ("prune_blocks", "w", lambda a: tersor.prune_blocks(a, (2, 2), 0.5)),
    ("prune_blocks", "out", lambda a: tersor.prune_blocks(floats(3, 16), (2, 2), 0.5, out=a)),
]

# fmt: off
REFUSALS_OF_PRUNE = [
    Row("int8 scores", TypeError, "scores", r"must be float32", lambda: tersor.mask_scores(codes(4), 0.5)),
    Row("int8 weights by given scores", TypeError, "w", r"must be float32",
        lambda: tersor.prune_scores(codes(4), floats(4), 0.5)),
    Row("scores of two dtypes", TypeError, "scores[1]", r"must be float32, as scores\[0\] is",
        lambda: tersor.mask_scores([floats(4), floats(4, dtype=F64)], 0.5, scope="global")),
    Row("a gradient of another dtype", TypeError, "gradient", r"must be float16 or float32",
        lambda: tersor.prune_taylor(floats(4, dtype=F16), floats(4, dtype=F64), 0.5)),
    Row("norms of another dtype", TypeError, "norm", r"must be float64",
        lambda: tersor.prune_wanda(floats(4, dtype=F64), floats(4), 0.5)),
    Row("int8 weights to prune at random", TypeError, "w", r"must be float32",
        lambda: tersor.prune_random(codes(4), 0.5, seed=1)),
    Row("int8 weights for 2:4", TypeError, "w", r"must be float32", lambda: tersor.prune_nm(codes(4), 2, 4)),
    Row("int8 weights for blocks", TypeError, "w", r"must be float32", lambda: tersor.mask_blocks(codes(4, 4), (2, 2), 0.5)),
    Row("int8 weights by their mean", TypeError, "w", r"must be float32", lambda: tersor.prune_mean(codes(4), 1.0)),
    Row("float out for a mask of 2:4", TypeError, "out", r"must be bool",
        lambda: tersor.mask_nm(floats(4), 2, 4, out=floats(4))),
    Row("scores of another shape", ValueError, "scores", r"must have the shape of w, \(4,\)",
        lambda: tersor.prune_scores(floats(4), floats(5), 0.5)),
    Row("fewer scores than layers", ValueError, "scores[0]", r"one array for each of w, 2",
        lambda: tersor.prune_scores([floats(4), floats(4)], [floats(4)], 0.5, scope="global")),
    Row("a gradient of another shape", ValueError, "gradient", r"must have the shape of w",
        lambda: tersor.prune_taylor(floats(3, 4), floats(4), 0.5)),
    Row("fewer gradients than layers", ValueError, "gradient[0]", r"one array for each of w, 2",
        lambda: tersor.prune_taylor([floats(4), floats(4)], [floats(4)], 0.5, scope="global")),
    Row("norms of another length", ValueError, "norm", r"does not broadcast to the shape of w, \(3, 4\)",
        lambda: tersor.prune_wanda(floats(3, 4), floats(3), 0.5)),
    Row("blocks of a vector", ValueError, "w", r"rows and columns", lambda: tersor.prune_blocks(floats(4), (2, 2), 0.5)),
    Row("both ways of a vector", ValueError, "w", r"rows and columns",
        lambda: tersor.prune_nm(floats(4), 2, 4, transposable=True)),
    Row("2:4 of a number", np.exceptions.AxisError, "axis", r"out of bounds", lambda: tersor.prune_nm(floats(), 2, 4)),
    Row("a negative factor", ValueError, "factor", r">= 0", lambda: tersor.prune_mean(floats(4), -1)),
    Row("a factor that is no number", TypeError, "factor", r"must be a number", lambda: tersor.mask_mean(floats(4), "1")),
    Row("a mean that is not finite", ValueError, "w", r"replace NaN", lambda: tersor.prune_mean(floats(4) * np.inf, 1.0)),
    Row("a negative seed", ValueError, "seed", r"\[0, 2\*\*64\)", lambda: tersor.prune_random(floats(4), 0.5, seed=-1)),
    Row("a seed of 65 bits", ValueError, "seed", r"\[0, 2\*\*64\)", lambda: tersor.mask_random(floats(4), 0.5, seed=2**64)),
    Row("a seed that is no integer", TypeError, "seed", r"integer", lambda: tersor.prune_random(floats(4), 0.5, seed=1.5)),
    Row("4:4", ValueError, "m", r"1 <= n < m <= 32", lambda: tersor.prune_nm(floats(8), 4, 4)),
    Row("0:4", ValueError, "n", r"1 <= n < m <= 32", lambda: tersor.mask_nm(floats(8), 0, 4)),
    Row("2:64", ValueError, "m", r"1 <= n < m <= 32", lambda: tersor.prune_nm(floats(8), 2, 64)),
    Row("half of two", TypeError, "n", r"integer", lambda: tersor.prune_nm(floats(8), 0.5, 2)),
    Row("4:8 both ways", ValueError, "transposable", r"2:4", lambda: tersor.prune_nm(floats(8, 8), 4, 8, transposable=True)),
    Row("both ways along an axis", ValueError, "transposable", r"last axis",
        lambda: tersor.prune_nm(floats(8, 8), 2, 4, axis=0, transposable=True)),
    Row("blocks of no rows", ValueError, "block", r"at least 1", lambda: tersor.prune_blocks(floats(8, 8), (0, 4), 0.5)),
    Row("a block of one number", TypeError, "block", r"two integers", lambda: tersor.prune_blocks(floats(8, 8), 4, 0.5)),
    Row("a block of three", TypeError, "block", r"two integers", lambda: tersor.mask_blocks(floats(8, 8), (1, 2, 3), 0.5)),
    Row("an unknown norm", ValueError, "norm", r"'l1', 'l2' or 'max'",
        lambda: tersor.prune_blocks(floats(8, 8), (2, 2), 0.5, norm="l0")),
    Row("blocks in percent", ValueError, "sparsity", r"\[0, 1\]", lambda: tersor.prune_blocks(floats(8, 8), (2, 2), 50)),
    Row("a final sparsity in percent", ValueError, "final", r"\[0, 1\]",
        lambda: tersor.cubic_sparsity(0, begin=0, end=9, final=80)),
    Row("an initial sparsity that is none", TypeError, "initial", r"\[0, 1\]",
        lambda: tersor.cubic_sparsity(0, begin=0, end=9, final=0.8, initial="none")),
    Row("an end before its beginning", ValueError, "end", r"after begin",
        lambda: tersor.cubic_sparsity(0, begin=9, end=9, final=0.8)),
    Row("out on the scores", ValueError, "out", r"separate memory",
        lambda: (lambda s: tersor.prune_scores(floats(8), s, 0.5, out=s))(floats(8))),
    Row("out on the gradient", ValueError, "out", r"separate memory",
        lambda: (lambda g: tersor.prune_taylor(floats(8), g, 0.5, out=g))(floats(8))),
    Row("out on another layer's scores", ValueError, "out[1]", r"separate memory",
        lambda: (lambda s: tersor.prune_scores(
            [floats(8)] * 2, [s, floats(8)], 0.5, scope="global", out=[floats(8), s]))(floats(8))),
    Row("shifted out of prune_nm", ValueError, "out", r"very same array.*separate",
        overlap_of(lambda a, b: tersor.prune_nm(a, 2, 4, out=b), floats)),
]
# fmt: on
