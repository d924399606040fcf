"""Every refusal of information, one row each; what is no array stands in test_errors.py."""

from __future__ import annotations

import numpy as np
import pytest
import tersor
from refusals import F16, F32, F64, Row, codes, floats, mask, octets, overlap_of, read_only
from test_errors import check, ids

# fmt: off
DTYPES = [
    Row("int8 numbers to bin", TypeError, "x", r"must be float32", lambda: tersor.histogram(codes(4), 2)),
    Row("uint8 numbers to bin in pairs", TypeError, "y", r"must be float32",
        lambda: tersor.histogram2d(floats(4), octets(4), 2)),
    Row("int64 numbers to bin", TypeError, "x", r"convert", lambda: tersor.histogram(np.arange(4), 2)),
    Row("int64 weights", TypeError, "w", r"astype", lambda: tersor.prune_threshold(np.arange(4), 2)),
    Row("int64 to count", TypeError, "w", r"astype", lambda: tersor.count_nonzero(np.arange(4))),
    Row("bool numbers for an entropy", TypeError, "x", r"must be float32", lambda: tersor.entropy(mask(4), 2)),
    Row("int64 variable", TypeError, "x", r"convert", lambda: tersor.mutual_information(np.arange(4), np.arange(4), 2)),
    Row("int8 variable", TypeError, "x", r"must be float32", lambda: tersor.mutual_information(codes(4), codes(4), 2)),
    Row("int32 labels", TypeError, "y", r"must be int64",
        lambda: tersor.mutual_information(floats(4), np.arange(4, dtype=np.int32), 2)),
    Row("a list of labels", TypeError, "y", r"numpy\.asarray",
        lambda: tersor.mutual_information(floats(4), [0, 1, 0, 1], 2)),
    Row("int32 target", TypeError, "target", r"must be int64",
        lambda: tersor.mask_information(floats(2, 3), floats(4, 2), 0.5, np.arange(4, dtype=np.int32))),
    Row("int8 probabilities", TypeError, "p", r"must be float32", lambda: tersor.divergence(codes(1), floats(1))),
    Row("bool probabilities", TypeError, "q", r"must be float32", lambda: tersor.divergence(floats(1), mask(1))),
    Row("int8 weights to prune by information", TypeError, "w", r"must be float32",
        lambda: tersor.prune_information(codes(2, 3), floats(4, 2), 0.5)),
    Row("int8 activations", TypeError, "activations", r"must be float32",
        lambda: tersor.prune_information(floats(2, 3), codes(4, 2), 0.5)),
    Row("float64 out for pruning by information", TypeError, "out", r"must be float32, as w is",
        lambda: tersor.prune_information(floats(2, 3), floats(4, 2), 0.5, out=floats(2, 3, dtype=F64))),
    Row("float out for a mask of units", TypeError, "out", r"must be bool",
        lambda: tersor.mask_information(floats(2, 3), floats(4, 2), 0.5, out=floats(2, 3))),
    Row("bool out for packed bits of units", TypeError, "out", r"must be uint8",
        lambda: tersor.mask_information(floats(2, 3), floats(4, 2), 0.5, packed=True, out=mask(2, 3))),
    Row("float64 out for counts", TypeError, "out", r"must be int64",
        lambda: tersor.histogram(floats(4), 2, out=floats(2, dtype=F64))),
    Row("float32 out for nats", TypeError, "out", r"must be float64",
        lambda: tersor.mutual_information(floats(4, 2), floats(4), 2, out=floats(2))),
    Row("complex edges", TypeError, "bins", r"real numbers", lambda: tersor.histogram(floats(4), [0, 1j])),
]
# fmt: on

# fmt: off
SHAPES = [
    Row("pairs of two shapes", ValueError, "y", r"must have the shape of x",
        lambda: tersor.histogram2d(floats(4), floats(5), 2)),
    Row("edges of two dimensions", ValueError, "bins", r"at least two numbers",
        lambda: tersor.histogram(floats(4), floats(2, 2))),
    Row("one edge", ValueError, "bins", r"at least two numbers", lambda: tersor.histogram(floats(4), [1.0])),
    Row("too few labels", ValueError, "y", r"must be \(4,\)",
        lambda: tersor.mutual_information(floats(4, 2), np.arange(3), 2)),
    Row("labels of two dimensions", ValueError, "y", r"must be \(4,\)",
        lambda: tersor.mutual_information(floats(4, 2), np.ones((4, 2), np.int64), 2)),
    Row("a number against labels", ValueError, "x", r"at least one dimension",
        lambda: tersor.mutual_information(floats(), floats(1), 2)),
    Row("too few targets", ValueError, "target", r"must be \(4,\)",
        lambda: tersor.mask_information(floats(2, 3), floats(4, 2), 0.5, np.arange(3))),
    Row("activations of other units", ValueError, "activations", r"must be \(samples, 3\)",
        lambda: tersor.mask_information(floats(3, 2), floats(4, 2), 0.5)),
    Row("activations of units of another axis", ValueError, "activations", r"must be \(samples, 3\)",
        lambda: tersor.mask_information(floats(2, 3), floats(4, 2), 0.5, axis=1)),
    Row("activations of one sample, without its axis", ValueError, "activations", r"must be \(samples, 3\)",
        lambda: tersor.prune_information(floats(3, 2), floats(3), 0.5)),
    Row("out of another shape, by information", ValueError, "out", r"must have the shape of w",
        lambda: tersor.prune_information(floats(2, 3), floats(4, 2), 0.5, out=floats(3, 2))),
    Row("weights of no dimension, by information", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.prune_information(floats(), floats(4, 2), 0.5)),
    Row("counts of other bins", ValueError, "out", r"must have shape \(2,\)",
        lambda: tersor.histogram(floats(4), 2, out=np.zeros(3, np.int64))),
    Row("nats of other columns", ValueError, "out", r"must be \(2,\)",
        lambda: tersor.mutual_information(floats(4, 2), floats(4), 2, out=floats(4, dtype=F64))),
    Row("nats of other rows", ValueError, "out", r"must be \(4,\)",
        lambda: tersor.entropy(floats(4, 2), 2, axis=1, out=floats(2, dtype=F64))),
    Row("out for one number", ValueError, "out", r"along an axis",
        lambda: tersor.entropy(floats(4, 2), 2, out=floats(dtype=F64))),
    Row("axis of units too large", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.mask_information(floats(2, 3), floats(4, 2), 0.5, axis=2)),
    Row("axis of an entropy too large", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.entropy(floats(3, 16), 4, axis=2)),
    Row("distributions of two shapes", ValueError, "q", r"must have the shape of p",
        lambda: tersor.divergence(floats(4) / 4, floats(2) / 2)),
]
# fmt: on

# fmt: off
VALUES = [
    Row("no bins", ValueError, "bins", r"\[1, 1048576\]", lambda: tersor.histogram(floats(4), 0)),
    Row("two million bins", ValueError, "bins", r"\[1, 1048576\]", lambda: tersor.entropy(floats(4), 2**21)),
    Row("too many pairs of bins", ValueError, "bins", r"at most 4194304; take fewer",
        lambda: tersor.histogram2d(floats(4), floats(4), 3000)),
    Row("half a bin", TypeError, "bins", r"integer or an array of edges", lambda: tersor.histogram(floats(4), 2.5)),
    Row("bins by name", TypeError, "bins", r"integer or an array of edges", lambda: tersor.histogram(floats(4), "auto")),
    Row("three numbers of bins", TypeError, "bins", r"pair", lambda: tersor.histogram2d(floats(4), floats(4), (1, 2, 3))),
    Row("edges that decrease", ValueError, "bins", r"sort", lambda: tersor.histogram(floats(4), [0.0, 2.0, 1.0])),
    Row("NaN among the edges", ValueError, "bins", r"NaN",
        lambda: tersor.mutual_information(floats(4), floats(4), [0.0, np.nan])),
    Row("an unknown kind", ValueError, "kind", r"'uniform' or 'quantile'",
        lambda: tersor.histogram(floats(4), 2, kind="even")),
    Row("an unknown kind of unit bins", ValueError, "kind", r"'uniform' or 'quantile'",
        lambda: tersor.mask_information(floats(2, 3), floats(4, 2), 0.5, kind=None)),
    Row("a range that decreases", ValueError, "range", r"not decrease",
        lambda: tersor.histogram(floats(4), 2, range=(1, 0))),
    Row("an infinite range", ValueError, "range", r"finite", lambda: tersor.entropy(floats(4), 2, range=(0, np.inf))),
    Row("a range of NaN", ValueError, "range", r"finite", lambda: tersor.histogram(floats(4), 2, range=(np.nan, 1))),
    Row("a range wider than float64", ValueError, "range", r"scale it down",
        lambda: tersor.histogram(floats(4), 2, range=(-1.7e308, 1.7e308))),
    Row("data wider than float64", ValueError, "x", r"scale it down",
        lambda: tersor.histogram(np.array([-1.7e308, 1.7e308]), 2)),
    Row("a range of one number", TypeError, "range", r"pair", lambda: tersor.histogram(floats(4), 2, range=1)),
    Row("a range of words", TypeError, "range", r"pair", lambda: tersor.histogram(floats(4), 2, range=("a", "b"))),
    Row("one range for two", TypeError, "range", r"pair",
        lambda: tersor.histogram2d(floats(4), floats(4), 2, range=(0, 1))),
    Row("a range beside edges", ValueError, "range", r"number of bins",
        lambda: tersor.histogram(floats(4), [0, 1], range=(0, 1))),
    Row("a range beside quantiles", ValueError, "range", r"kind='uniform'",
        lambda: tersor.histogram(floats(4), 2, range=(0, 1), kind="quantile")),
    Row("NaN without a range", ValueError, "x", r"edges or a range",
        lambda: tersor.histogram(np.array([1.0, np.nan]), 2)),
    Row("an infinity without a range", ValueError, "x", r"edges or a range",
        lambda: tersor.histogram(np.array([1.0, -np.inf], F32), 2, kind="quantile")),
    Row("NaN in a pair", ValueError, "y", r"edges or a range",
        lambda: tersor.histogram2d(floats(2), np.array([1.0, np.nan], F16), 2)),
    Row("NaN in a column", ValueError, "x", r"edges or a range",
        lambda: tersor.mutual_information(np.array([[1.0, 1.0], [1.0, np.nan]]), np.arange(2), 2)),
    Row("NaN in a variable", ValueError, "y", r"edges or a range",
        lambda: tersor.mutual_information(floats(2), np.array([1.0, np.nan]), 2)),
    Row("NaN among activations", ValueError, "activations", r"edges or a range",
        lambda: tersor.prune_information(floats(2, 2), np.array([[1.0, 1.0], [1.0, np.nan]]), 0.5)),
    Row("an infinite target", ValueError, "target", r"edges or a range",
        lambda: tersor.mask_information(floats(2, 2), floats(2, 2), 0.5, np.array([1.0, np.inf]))),
    Row("a share of units in percent", ValueError, "sparsity", r"\[0, 1\]",
        lambda: tersor.mask_information(floats(2, 2), floats(2, 2), 50)),
    Row("a share of units that is no number", TypeError, "sparsity", r"must be a number",
        lambda: tersor.prune_information(floats(2, 2), floats(2, 2), None)),
    Row("axis of units that is no integer", TypeError, "axis", r"integer",
        lambda: tersor.prune_information(floats(2, 2), floats(2, 2), 0.5, axis=0.0)),
    Row("axis of an entropy that is no integer", TypeError, "axis", r"integer",
        lambda: tersor.entropy(floats(2, 2), 2, axis=0.5)),
    Row("a negative probability", ValueError, "p", r"at least 0",
        lambda: tersor.divergence(np.array([1.5, -0.5]), np.array([0.5, 0.5]))),
    Row("a negative probability after it", ValueError, "q", r"at least 0",
        lambda: tersor.divergence(np.array([0.5, 0.5]), np.array([1.5, -0.5]))),
    Row("NaN for a probability", ValueError, "q", r"finite",
        lambda: tersor.divergence(np.array([0.5, 0.5]), np.array([0.5, np.nan]))),
    Row("an infinite probability", ValueError, "p", r"finite",
        lambda: tersor.distribution_entropy(np.array([np.inf, 0.5]))),
    Row("counts for probabilities", ValueError, "p", r"divide it by its sum",
        lambda: tersor.distribution_entropy(np.array([3.0, 1.0]))),
    Row("a sum off by 2e-6", ValueError, "q", r"divide it by its sum",
        lambda: tersor.divergence(np.array([0.5, 0.5]), np.array([0.5, 0.500002]))),
    Row("no probabilities", ValueError, "p", r"sums to 0", lambda: tersor.distribution_entropy(floats(0))),
]
# fmt: on

# fmt: off
MEMORY = [
    Row("activations written to", ValueError, "activations", r"separate memory",
        lambda: (lambda a: tersor.prune_information(floats(4, 4), a, 0.5, out=a))(floats(4, 4))),
    Row("target written to", ValueError, "target", r"separate memory",
        lambda: (lambda a: tersor.prune_information(floats(4, 4), floats(4, 4), 0.5, a[0], out=a))(floats(4, 4))),
    Row("shifted out of prune_information", ValueError, "out", r"very same array.*separate",
        overlap_of(lambda a, b: tersor.prune_information(a[:, None], floats(2, 16), 0.5, out=b[:, None]), floats)),
    Row("mask of units on the weights", ValueError, "out", r"separate memory",
        lambda: (lambda w: tersor.mask_information(w, floats(2, 4), 0.5, out=w.view(bool)[:, :4]))(floats(4, 4))),
    Row("read-only out of prune_information", ValueError, "out", r"read-only",
        lambda: tersor.prune_information(floats(4, 4), floats(2, 4), 0.5, out=read_only(floats(4, 4)))),
]
# fmt: on


@pytest.mark.parametrize("row", [*DTYPES, *SHAPES, *VALUES, *MEMORY], ids=ids)
def test_message(row: Row) -> None:
    check(row)


def test_nothing_is_written_before_a_refusal() -> None:
    out = np.full((3, 16), 7, F32)
    for call in (
        lambda: tersor.prune_information(floats(3, 16), np.full((2, 3), np.nan, F32), 0.5, out=out),
        lambda: tersor.prune_information(floats(3, 16), floats(2, 3), 0.5, np.array([0, np.inf]), out=out),
        lambda: tersor.prune_information(floats(3, 16), floats(2, 3), 1.5, out=out),
    ):
        with pytest.raises(ValueError):
            call()
        assert (out == 7).all()
