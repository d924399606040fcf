"""structured: scores of units, which of them stay, and arrays without the others."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tersor
from everywhere import OverlapRefused, SameBitsEverywhere
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS, Array, assert_same_bits, random_values, spec, special_values
from operations import case_name, cases
from test_errors import NO_ARRAYS, Row, check, codes, floats, ids, mask, octets, read_only

try:
    import torch
except ImportError:
    torch = None

DType = np.dtype[Any]
CRITERIA = ("l1", "l2", "max", "taylor")
# Units in one block and in several, stretches in one and in several, units shorter and longer than the lanes.
SHAPES: list[tuple[int, ...]] = [
    (7, 33),
    (3, 5, 17),
    (12, 3, 3, 3),
    (300, 40),
    (257, 2, 9),
    (4, 6, 4200),
    (130, 6, 700),
    (1, 9001),
    (2, 2, 17000),
    (64, 1),
]


def numbers(shape: Any, dtype: DType, seed: int = 0) -> Array:
    return random_values(shape, dtype, seed, np.array([], dtype))


def every_grouping(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Each axis with units of one entry, of two or three, and of the whole axis."""
    return sorted({(axis, size) for axis, n in enumerate(shape) for size in (1, 2, 3, n) if n % size == 0})


@pytest.mark.parametrize("operation, dtype", cases("structured"), ids=case_name)
class TestStructuredEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


# --- score_units -----------------------------------------------------------------------------------------------------


def gradient_for(criterion: str, w: Array) -> Array | None:
    return numbers(w.shape, w.dtype, 1) if criterion == "taylor" else None


class TestScoreUnits:
    @pytest.mark.parametrize("criterion", CRITERIA)
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_axes_and_groups(self, shape: tuple[int, ...], criterion: str, dtype: DType, each_level: Any) -> None:
        w = numbers(shape, dtype)
        gradient = gradient_for(criterion, w)
        for axis, size in every_grouping(shape):
            expected = spec.score_units(w, criterion, axis, size, gradient)
            for setting in each_level:
                scores = tersor.score_units(w, criterion, axis=axis, group_size=size, gradient=gradient)
                assert_same_bits(scores, expected, f"axis {axis}, units of {size}, {setting}")

    @pytest.mark.parametrize("criterion", CRITERIA)
    @pytest.mark.parametrize("shape", [(300, 6, 9), (6, 2, 3000)], ids=str)
    def test_layouts_of_axes_and_groups(self, shape: tuple[int, ...], criterion: str, settings: Any) -> None:
        w = numbers(shape, np.dtype(np.float32))
        gradient = gradient_for(criterion, w)
        names = list(LAYOUTS)
        for axis, size in every_grouping(shape):
            expected = spec.score_units(w, criterion, axis, size, gradient)
            for place, (name, arrange) in enumerate(LAYOUTS.items()):
                beside = None if gradient is None else LAYOUTS[names[place - 3]](gradient)
                arranged = arrange(w)
                for setting in settings:
                    scores = tersor.score_units(arranged, criterion, axis=axis, group_size=size, gradient=beside)
                    assert_same_bits(scores, expected, f"{name}, axis {axis}, units of {size}, {setting}")

    @pytest.mark.parametrize("shape, axis", [((3, 40_000), 0), ((5000, 4), 1), ((600, 3, 50), 1)], ids=str)
    def test_error_is_within_the_bound(self, shape: tuple[int, ...], axis: int, dtype: DType, each_level: Any) -> None:
        """The docstring's bound on l1 and l2, against exact sums; l2 is compared by its square, whose bound is twice as
        wide, plus two roundings: the root's and the reference's."""
        w = numbers(shape, dtype) * numbers(shape, dtype, 3) ** 3
        moved = np.moveaxis(w.astype(np.float64), axis, 0).reshape(shape[axis], -1)
        blocks = math.ceil(math.prod(shape[:axis]) / 128) * math.ceil(math.prod(shape[axis + 1 :]) / 2048)
        bound = (168 + blocks) * 2.0**-53
        for _ in each_level:
            for unit, l1, l2 in zip(
                moved, tersor.score_units(w, "l1", axis=axis), tersor.score_units(w, "l2", axis=axis), strict=True
            ):
                exact = math.fsum(np.abs(unit))
                assert abs(l1 - exact) <= bound * exact
                # Squares split in halves of 26 bits, so that each part is exact.
                high = (unit.astype(np.float32) if dtype == np.float64 else unit).astype(np.float64)
                low = unit - high
                square = math.fsum(np.concatenate([high * high, 2 * high * low, low * low]))
                assert abs(l2 * l2 - square) <= (2 * bound + 2.0**-51) * square

    def test_taylor_is_the_square_of_the_sum(self) -> None:
        """Not the sum of squares: terms of a unit cancel."""
        w = np.array([[1.0, 2.0], [1.0, 2.0]], np.float32)
        gradient = np.array([[2.0, -1.0], [2.0, 1.0]], np.float32)
        assert tersor.score_units(w, "taylor", gradient=gradient).tolist() == [0.0, 16.0]

    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("criterion", CRITERIA)
    def test_special_values(self, criterion: str, axis: int, dtype: DType, each_level: Any) -> None:
        """NaN of any sign and payload, infinities and their products with 0 and with each other."""
        values = special_values(dtype)
        w = np.resize(values, (3, values.size, 5)).astype(dtype)
        gradient = np.resize(values[::-1], w.shape).astype(dtype) if criterion == "taylor" else None
        expected = spec.score_units(w, criterion, axis, 1, gradient)
        for setting in each_level:
            assert_same_bits(tersor.score_units(w, criterion, axis=axis, gradient=gradient), expected, setting)

    @pytest.mark.parametrize("criterion", ["l1", "l2", "max"])
    @pytest.mark.parametrize("place", [0, 63, 64, 2047, 2048, 4999])
    def test_a_nan_makes_its_unit_nan(self, place: int, criterion: str, each_level: Any) -> None:
        w = np.ones((3, 5000), np.float32)
        w[1, place] = -np.nan
        for _ in each_level:
            assert np.isnan(tersor.score_units(w, criterion)).tolist() == [False, True, False]
            assert np.isnan(tersor.score_units(w.T, criterion, axis=1)).tolist() == [False, True, False]

    @pytest.mark.parametrize("criterion", CRITERIA)
    @pytest.mark.parametrize(
        "shape, axis", [((0, 3), 0), ((3, 0), 0), ((3, 0), 1), ((0, 3), 1), ((2, 0, 4), 2), ((0,), 0)], ids=str
    )
    def test_without_entries(self, shape: tuple[int, ...], axis: int, criterion: str) -> None:
        w = np.ones(shape, np.float32)
        gradient = w if criterion == "taylor" else None
        assert_same_bits(tersor.score_units(w, criterion, axis=axis, gradient=gradient), np.zeros(shape[axis]))

    def test_large(self, settings: Any) -> None:
        """Many chunks, shared by the threads, along each axis."""
        w = numbers((1031, 4111), np.dtype(np.float32))
        for axis in (0, 1):
            expected = spec.score_units(w, "l2", axis)
            for setting in settings:
                assert_same_bits(tersor.score_units(w, "l2", axis=axis), expected, f"axis {axis}, {setting}")


# --- score_units_by_loss ---------------------------------------------------------------------------------------------


class TestScoreUnitsByLoss:
    def test_terms_are_added(self) -> None:
        scores = tersor.score_units_by_loss(4, [lambda i: i, lambda i: np.float32(10 * i), lambda i: 0.5])
        assert_same_bits(scores, np.array([0.5, 11.5, 22.5, 33.5]))

    def test_one_term(self) -> None:
        assert_same_bits(tersor.score_units_by_loss(3, lambda i: -i), np.array([0.0, -1.0, -2.0]))
        assert tersor.score_units_by_loss(0, lambda i: i).shape == (0,)

    def test_the_unit_that_is_not_needed_scores_lowest(self) -> None:
        """Leaving out what a layer does not use costs nothing; the others cost what they gave."""
        w, x = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, -3.0]]), np.eye(3)
        target = x @ w.T

        def loss(unit: int) -> float:
            keep = np.delete(np.arange(3), unit)
            smaller_w, smaller_x = tersor.remove_units([w, x], keep, axis=[1, 1])
            return float(((smaller_x @ smaller_w.T - target) ** 2).sum())

        assert tersor.score_units_by_loss(3, loss).tolist() == [4.0, 0.0, 10.0]

    def test_progress(self) -> None:
        seen: list[tuple[int, int]] = []
        tersor.score_units_by_loss(3, lambda i: i, progress=lambda done, units: seen.append((done, units)))
        assert seen == [(1, 3), (2, 3), (3, 3)]

    def test_errors_of_a_loss_pass(self) -> None:
        with pytest.raises(ZeroDivisionError):
            tersor.score_units_by_loss(2, lambda i: 1 / i)


# --- select_units ----------------------------------------------------------------------------------------------------


def scores_with_ties(size: int, dtype: DType, seed: int) -> Array:
    values = np.array([-np.inf, -2.0, -0.0, 0.0, 0.5, 0.5, 1.0, np.inf, np.nan, -np.nan]).astype(dtype)
    return np.random.default_rng(seed).choice(values, size)


class TestSelectUnits:
    @pytest.mark.parametrize("multiple_of", [1, 2, 8, 1000])
    @pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.75, 0.95])
    @pytest.mark.parametrize("size", [11, 64, 1001])
    def test_like_a_stable_sort(self, size: int, sparsity: float, multiple_of: int, dtype: DType) -> None:
        for seed in range(4):
            for scores in (scores_with_ties(size, dtype, seed), numbers((size,), dtype, seed)):
                expected = spec.select_units(scores, sparsity, multiple_of)
                for arrange in LAYOUTS.values():
                    assert_same_bits(tersor.select_units(arrange(scores), sparsity, multiple_of=multiple_of), expected)

    def test_ties_go_by_index(self) -> None:
        assert tersor.select_units(np.ones(6), 0.5).tolist() == [3, 4, 5]
        assert tersor.select_units(np.array([0.0, -0.0, 0.0, -0.0]), 0.5).tolist() == [2, 3]

    def test_nan_stays(self) -> None:
        scores = np.array([np.nan, 1.0, np.inf, -np.nan])
        assert tersor.select_units(scores, 0.5).tolist() == [0, 3]
        assert tersor.select_units(scores, 0.75).tolist() == [3]

    @given(st.integers(1, 400), st.floats(0, 1), st.integers(1, 64))
    def test_how_many_stay(self, size: int, sparsity: float, multiple_of: int) -> None:
        kept = size - round(sparsity * size)
        if kept == 0:
            with pytest.raises(ValueError, match="at least one must stay"):
                tersor.select_units(np.arange(float(size)), sparsity, multiple_of=multiple_of)
            return
        keep = tersor.select_units(np.arange(float(size)), sparsity, multiple_of=multiple_of)
        assert len(keep) == size or (len(keep) % multiple_of == 0 and kept <= len(keep) < kept + multiple_of)
        assert keep.tolist() == list(range(size - len(keep), size))

    def test_no_units(self) -> None:
        assert_same_bits(tersor.select_units(np.zeros(0), 0.5), np.zeros(0, np.int64))

    @pytest.mark.skipif(torch is None, reason="torch is not installed")
    def test_torch(self) -> None:
        keep = tersor.select_units(torch.tensor([3.0, 1.0, 2.0]), 0.4)
        assert keep.dtype == torch.int64 and keep.tolist() == [0, 2]


# --- remove_units ----------------------------------------------------------------------------------------------------


def kept(units: int, seed: int = 0) -> Array:
    generator = np.random.default_rng(seed)
    return np.sort(generator.permutation(units)[: max(1, units // 2)])


class TestRemoveUnits:
    @pytest.mark.parametrize("shape", [*SHAPES, (4, 3, 40_000), (2000, 70), (3, 70_001)], ids=str)
    def test_axes_and_groups(self, shape: tuple[int, ...], dtype: DType, settings: Any) -> None:
        w = random_values(shape, dtype)
        for axis, size in every_grouping(shape):
            keep = kept(shape[axis] // size, axis)
            expected = spec.remove_units(w, keep, axis, size)
            for setting in settings:
                smaller = tersor.remove_units(w, keep, axis=axis, group_size=size)
                assert_same_bits(smaller, expected, f"axis {axis}, units of {size}, {setting}")
                assert smaller.flags.c_contiguous and smaller.flags.writeable

    @pytest.mark.parametrize("shape", [(20, 6, 9), (6, 4, 301), (70_000,), (3, 50_000)], ids=str)
    def test_layouts(self, shape: tuple[int, ...], dtype: DType, each_level: Any) -> None:
        w = random_values(shape, dtype)
        for axis, size in every_grouping(shape):
            keep = kept(shape[axis] // size, axis)
            expected = spec.remove_units(w, keep, axis, size)
            for name, arrange in LAYOUTS.items():
                assert_same_bits(tersor.remove_units(arrange(w), keep, axis=axis, group_size=size), expected, name)

    @pytest.mark.parametrize("make", [codes, octets, mask], ids=["int8", "uint8", "bool"])
    def test_other_dtypes(self, make: Callable[..., Array]) -> None:
        w = make(6, 5) * np.arange(6, dtype=np.uint8)[:, None].astype(make(1).dtype)
        for axis in (0, 1):
            assert_same_bits(tersor.remove_units(w, [1, 4], axis=axis), w.take([1, 4], axis))

    def test_every_choice_of_units(self) -> None:
        w = np.arange(24, dtype=np.float32).reshape(4, 6)
        for chosen in range(1, 64):
            keep = [unit for unit in range(6) if chosen >> unit & 1]
            assert_same_bits(tersor.remove_units(w, keep, axis=1), w[:, keep])
            assert_same_bits(tersor.remove_units(w.reshape(6, 4), keep), w.reshape(6, 4)[keep])

    @pytest.mark.parametrize("shape, axis", [((0, 3), 1), ((3, 0), 0), ((4, 2, 0), 1)], ids=str)
    def test_without_entries(self, shape: tuple[int, ...], axis: int) -> None:
        w = np.ones(shape, np.float32)
        assert_same_bits(tersor.remove_units(w, [1], axis=axis), w.take([1], axis))

    def test_a_list_gives_a_list(self) -> None:
        w, bias = floats(4, 3), np.arange(4, dtype=np.float64)
        results = tersor.remove_units((w, bias), np.array([0, 3], np.uint8))
        assert isinstance(results, list)
        assert_same_bits(results[0], w[[0, 3]])
        assert_same_bits(results[1], bias[[0, 3]])

    @pytest.mark.skipif(torch is None, reason="torch is not installed")
    def test_torch(self) -> None:
        w = torch.arange(12.0, dtype=torch.bfloat16).reshape(4, 3)
        keep = tersor.select_units(tersor.score_units(w), 0.5)
        smaller = tersor.remove_units(w, keep)
        assert type(smaller) is torch.Tensor and smaller.dtype == torch.bfloat16
        assert torch.equal(smaller, w[2:])
        assert torch.equal(tersor.remove_units([w.t(), w], keep, axis=[1, 0])[0], w.t()[:, 2:])


# --- networks: small ones whose sums are exact, so that the order of additions does not matter -------------------------


def whole_numbers(*shape: int, seed: int) -> Array:
    """Sums of products of a few hundred of them are exact in float32."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def convolve(x: Array, w: Array) -> Array:
    """3 x 3 with padding: (batch, in, height, width) to (batch, out, height, width)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    return np.asarray(np.einsum("bihwkl,oikl->bohw", windows, w), np.float32)


class TestNetworks:
    """The smaller network gives exactly what the larger one gives with the outputs of the removed units at zero."""

    def test_two_linear_layers(self) -> None:
        w1, b1, w2 = whole_numbers(24, 10, seed=1), whole_numbers(24, seed=2), whole_numbers(5, 24, seed=3)
        x = whole_numbers(7, 10, seed=4)
        keep = tersor.select_units(tersor.score_units(w1, "l2"), 0.375)
        assert len(keep) == 15
        hidden = np.maximum(x @ w1.T + b1, 0)
        hidden[:, np.delete(np.arange(24), keep)] = 0
        w1, b1, smaller_w2 = tersor.remove_units([w1, b1, w2], keep, axis=[0, 0, 1])
        assert_same_bits(np.maximum(x @ w1.T + b1, 0) @ smaller_w2.T, hidden @ w2.T)

    def test_convolution_batch_norm_flatten_linear(self) -> None:
        w1, w2 = whole_numbers(12, 3, 3, 3, seed=1), whole_numbers(4, 12 * 20, seed=2)
        x = whole_numbers(2, 3, 4, 5, seed=3)
        scale, shift, mean = whole_numbers(12, seed=4) / 8, whole_numbers(12, seed=5), whole_numbers(12, seed=6)
        keep = tersor.select_units(tersor.score_units(w1), 0.5, multiple_of=4)
        assert len(keep) == 8

        def forward(w1: Array, scale: Array, shift: Array, mean: Array, w2: Array, gone: Any = ()) -> Array:
            normalized = (convolve(x, w1) - mean[:, None, None]) * scale[:, None, None] + shift[:, None, None]
            activated = np.maximum(normalized, 0)
            activated[:, gone] = 0
            return np.asarray(activated.reshape(2, -1) @ w2.T)

        smaller = tersor.remove_units([w1, scale, shift, mean, w2], keep, axis=[0, 0, 0, 0, 1], group_size=[1, 1, 1, 1, 20])
        assert smaller[4].shape == (4, 8 * 20)
        gone = np.delete(np.arange(12), keep)
        assert_same_bits(forward(*smaller), forward(w1, scale, shift, mean, w2, gone))

    def test_attention_heads(self) -> None:
        """Rows of the three projections and columns of the last one, a head at a time. Uniform attention keeps it exact:
        each position takes the mean of four."""
        heads, size, width = 6, 4, 10
        v, last = whole_numbers(heads * size, width, seed=1), whole_numbers(width, heads * size, seed=2)
        x = whole_numbers(4, width, seed=3)
        scores = tersor.score_units(v, "l1", group_size=size)
        assert scores.shape == (heads,)
        keep = tersor.select_units(scores, 0.5)
        mixed = np.broadcast_to((x @ v.T).mean(0), (4, heads * size)).reshape(4, heads, size).copy()
        mixed[:, np.delete(np.arange(heads), keep)] = 0
        smaller_v, smaller_last = tersor.remove_units([v, last], keep, axis=[0, 1], group_size=size)
        smaller = np.broadcast_to((x @ smaller_v.T).mean(0), (4, 3 * size))
        assert_same_bits(smaller @ smaller_last.T, mixed.reshape(4, -1) @ last.T)


# --- refusals ----------------------------------------------------------------------------------------------------------

ARRAY_ARGUMENTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("w", lambda a: tersor.score_units(a)),
    ("gradient", lambda a: tersor.score_units(floats(3, 16), "taylor", gradient=a)),
    ("out", lambda a: tersor.score_units(floats(3, 16), out=a)),
    ("scores", lambda a: tersor.select_units(a, 0.5)),
    ("w", lambda a: tersor.remove_units(a, [0])),
]


@pytest.mark.parametrize("what, remedy, make", NO_ARRAYS, ids=[row[0].replace(" ", "_") for row in NO_ARRAYS])
@pytest.mark.parametrize("argument, call", ARRAY_ARGUMENTS, ids=[str(i) for i in range(len(ARRAY_ARGUMENTS))])
def test_no_array(argument: str, call: Callable[[Any], Any], what: str, remedy: str, make: Callable[[], Any]) -> None:
    check(Row(what, TypeError, argument, remedy, lambda: call(make())))


# fmt: off
REFUSALS = [
    Row("int8 weights to score", TypeError, "w", r"must be float32", lambda: tersor.score_units(codes(4))),
    Row("float32 out for scores", TypeError, "out", r"must be float64",
        lambda: tersor.score_units(floats(4, 3), out=floats(4))),
    Row("scores of another length", ValueError, "out", r"must be \(4,\)",
        lambda: tersor.score_units(floats(4, 3), out=floats(3, dtype=np.float64))),
    Row("scores with an axis more", ValueError, "out", r"must be \(4,\)",
        lambda: tersor.score_units(floats(4, 3), out=floats(4, 1, dtype=np.float64))),
    Row("read-only scores", ValueError, "out", r"read-only",
        lambda: tersor.score_units(floats(4, 3), out=read_only(floats(4, dtype=np.float64)))),
    Row("scores on the weights", ValueError, "out", r"separate memory",
        lambda: (lambda w: tersor.score_units(w, out=w[:, 0]))(floats(4, 2, dtype=np.float64))),
    Row("scores on the gradient", ValueError, "out", r"separate memory",
        lambda: (lambda g: tersor.score_units(floats(8, dtype=np.float64), "taylor", gradient=g, out=g))(
            floats(8, dtype=np.float64))),
    Row("an unknown criterion", ValueError, "criterion", r"'l1', 'l2', 'max' or 'taylor'",
        lambda: tersor.score_units(floats(4), "l3")),
    Row("a criterion that is no name", ValueError, "criterion", r"'l1'", lambda: tersor.score_units(floats(4), 2)),
    Row("no gradient", ValueError, "gradient", r"needs the gradient", lambda: tersor.score_units(floats(4), "taylor")),
    Row("a gradient without use", ValueError, "gradient", r"leave it out",
        lambda: tersor.score_units(floats(4), "l1", gradient=floats(4))),
    Row("gradient of another shape", ValueError, "gradient", r"must have the shape of w",
        lambda: tersor.score_units(floats(4), "taylor", gradient=floats(3))),
    Row("gradient of another dtype", TypeError, "gradient", r"must be float32, as w is",
        lambda: tersor.score_units(floats(4), "taylor", gradient=floats(4, dtype=np.float64))),
    Row("axis of units too large", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.score_units(floats(4, 3), axis=2)),
    Row("axis of units with out", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.score_units(floats(4, 3), axis=2, out=floats(4, dtype=np.float64))),
    Row("axis of units of a number", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.score_units(floats())),
    Row("axis of units that is no integer", TypeError, "axis", r"integer", lambda: tersor.score_units(floats(4), axis=0.0)),
    Row("a group that does not divide", ValueError, "group_size", r"w has 10 entries along axis 0.*divisor",
        lambda: tersor.score_units(floats(10, 3), group_size=4)),
    Row("a group of none", ValueError, "group_size", r"at least 1", lambda: tersor.score_units(floats(4), group_size=0)),
    Row("a group that is no integer", TypeError, "group_size", r"integer",
        lambda: tersor.score_units(floats(4), group_size=2.0)),
    Row("int8 scores", TypeError, "scores", r"must be float32", lambda: tersor.select_units(codes(4), 0.5)),
    Row("a matrix of scores", ValueError, "scores", r"one dimension", lambda: tersor.select_units(floats(4, 3), 0.5)),
    Row("all units", ValueError, "sparsity", r"at least one must stay.*lower", lambda: tersor.select_units(floats(4), 1)),
    Row("sparsity of units in percent", ValueError, "sparsity", r"\[0, 1\]", lambda: tersor.select_units(floats(4), 50)),
    Row("sparsity of units that is no number", TypeError, "sparsity", r"number",
        lambda: tersor.select_units(floats(4), "half")),
    Row("a multiple of 0", ValueError, "multiple_of", r"at least 1",
        lambda: tersor.select_units(floats(4), 0.5, multiple_of=0)),
    Row("a multiple that is no integer", TypeError, "multiple_of", r"integer",
        lambda: tersor.select_units(floats(4), 0.5, multiple_of=2.0)),
    Row("no unit kept", ValueError, "keep", r"at least one", lambda: tersor.remove_units(floats(4), np.zeros(0, np.int64))),
    Row("a mask for keep", TypeError, "keep", r"flatnonzero", lambda: tersor.remove_units(floats(4), mask(4))),
    Row("float indexes", TypeError, "keep", r"integers", lambda: tersor.remove_units(floats(4), [0.0, 1.0])),
    Row("a matrix of indexes", ValueError, "keep", r"list", lambda: tersor.remove_units(floats(4), [[0, 1]])),
    Row("an index beyond the units", ValueError, "keep", r"\[0, 4\)", lambda: tersor.remove_units(floats(4), [0, 4])),
    Row("a negative index", ValueError, "keep", r"\[0, 4\)", lambda: tersor.remove_units(floats(4), [-1, 0])),
    Row("an index twice", ValueError, "keep", r"ascend.*sort", lambda: tersor.remove_units(floats(4), [1, 1])),
    Row("indexes out of order", ValueError, "keep", r"ascend.*sort", lambda: tersor.remove_units(floats(4), [2, 1])),
    Row("arrays of other units", ValueError, "w[1]", r"has 24 units.*keep is for 4.*group_size",
        lambda: tersor.remove_units([floats(4, 3), floats(2, 24)], [0], axis=[0, 1])),
    Row("a removal group that does not divide", ValueError, "group_size", r"divisor",
        lambda: tersor.remove_units(floats(10), [0], group_size=4)),
    Row("fewer axes than arrays", ValueError, "axis", r"one for each", lambda: tersor.remove_units(
        [floats(4), floats(4)], [0], axis=[0])),
    Row("more groups than arrays", ValueError, "group_size", r"one for each", lambda: tersor.remove_units(
        floats(4), [0], group_size=[1, 1])),
    Row("no arrays to remove from", ValueError, "w", r"at least one", lambda: tersor.remove_units([], [0])),
    Row("removal axis too large", np.exceptions.AxisError, "axis", r"out of bounds",
        lambda: tersor.remove_units(floats(4), [0], axis=1)),
    Row("a negative number of units", ValueError, "units", r"at least 0", lambda: tersor.score_units_by_loss(-1, abs)),
    Row("no losses", ValueError, "losses", r"at least one", lambda: tersor.score_units_by_loss(3, [])),
    Row("a loss that is no callable", TypeError, "losses", r"callable.*entry 1",
        lambda: tersor.score_units_by_loss(3, [abs, 2.0])),
    Row("a loss that is NaN", ValueError, "losses", r"term 0 gave nan for unit 2.*finite",
        lambda: tersor.score_units_by_loss(3, lambda i: float("nan") if i == 2 else 0.0)),
    Row("a loss that is infinite", ValueError, "losses", r"term 1 gave inf for unit 0.*finite",
        lambda: tersor.score_units_by_loss(3, [abs, lambda i: float("inf")])),
    Row("a loss that is no number", TypeError, "losses", r"term 0 gave 'much' for unit 0.*number",
        lambda: tersor.score_units_by_loss(3, lambda i: "much")),
]
# fmt: on


@pytest.mark.parametrize("row", REFUSALS, ids=ids)
def test_message(row: Row) -> None:
    check(row)


def test_units_that_are_no_integer() -> None:
    with pytest.raises(TypeError, match=re.escape("integer")):
        tersor.score_units_by_loss(2.0, abs)  # type: ignore[arg-type]
