"""Histograms, and what the columns of activations tell of labels."""

from __future__ import annotations

import functools

import numpy as np
import tersor
from tersor import reference

from bench.operands import WEIGHT_SCALE, aligned, weights
from bench.operation import LARGE, MEDIUM, SIZES, Array, Arrays, Call, Operation, Shape, Tolerance
from bench.peers import as_torch

BINS, RANGE = 256, (-4 * WEIGHT_SCALE, 4 * WEIGHT_SCALE)
UNIT_BINS, CLASSES = 16, 10


def alone(shape: Shape, dtype: str) -> Arrays:
    return Arrays({"w": weights(shape, dtype)})


def with_labels(shape: Shape, dtype: str) -> Arrays:
    labels = np.random.default_rng(20260101).integers(0, CLASSES, shape[0])
    return Arrays({"w": weights(shape, dtype), "labels": aligned(labels)})


# --- specification, NumPy and torch ----------------------------------------------------------------------------------


def expected_histogram(a: Arrays) -> tuple[Array, Array]:
    edges = np.linspace(*RANGE, BINS + 1)
    return reference.histogram(a.w, edges), edges


def expected_information(a: Arrays) -> tuple[Array]:
    return (np.array([reference.mutual_information(column, a.labels, UNIT_BINS) for column in a.w.T]),)


def numpy_information(a: Arrays) -> Call:
    def information() -> Array:
        low, high = a.w.min(axis=0), a.w.max(axis=0)
        cells = ((a.w - low) * (UNIT_BINS / (high - low))).astype(np.int32)
        np.minimum(cells, UNIT_BINS - 1, out=cells)
        cells += np.arange(a.w.shape[1], dtype=np.int32) * UNIT_BINS
        cells *= CLASSES
        cells += a.labels[:, None].astype(np.int32)
        size = a.w.shape[1] * UNIT_BINS * CLASSES
        share = np.bincount(cells.reshape(-1), minlength=size).reshape(-1, UNIT_BINS, CLASSES) / a.w.shape[0]
        independent = share.sum(axis=1, keepdims=True) * share.sum(axis=2, keepdims=True)
        terms = share * np.log(np.divide(share, independent, out=np.ones_like(share), where=share > 0))
        return np.asarray(terms.sum(axis=(1, 2)))

    return Call(information)


def torch_histc(a: Arrays) -> Call:
    import torch

    return Call(torch.histc, as_torch(a.w), BINS, *RANGE)


# --- the table -------------------------------------------------------------------------------------------------------

LARGER = {size: SIZES[size] for size in (MEDIUM, LARGE)}
OPERATIONS = [
    *(
        Operation(
            family="information",
            name="histogram",
            variant="256 bins",
            dtype=dtype,
            arrays=alone,
            sizes=LARGER,
            expected=expected_histogram,
            tersor=lambda a: Call(tersor.histogram, a.w, BINS, range=RANGE),
            # On some dtypes NumPy does not work; on float32 it and torch have edges of float32.
            numpy=lambda a: Call(functools.partial(np.histogram, bins=BINS, range=RANGE), a.w),
            peers={"torch histc": torch_histc} if dtype == "float32" else {},
            unchecked=frozenset({"numpy", "torch histc"}),
        )
        for dtype in ("float32", "float16", "float64")
    ),
    Operation(
        family="information",
        name="mutual_information",
        variant="16 bins, 10 classes",
        arrays=with_labels,
        sizes=LARGER,
        expected=expected_information,
        tersor=lambda a: Call(tersor.mutual_information, a.w, a.labels, UNIT_BINS),
        numpy=numpy_information,
        # Its bins are those of float32 arithmetic.
        unchecked=frozenset({"numpy"}),
        tolerance=Tolerance(relative=1e-12, absolute=1e-13),
    ),
]
