"""information: counts against NumPy and the specification, to the last one; nats against mpmath, SciPy and scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tersor
from everywhere import OverlapRefused, SameBitsEverywhere
from hypothesis import given
from hypothesis import strategies as st
from layouts import (
    FLOATS,
    LAYOUTS,
    SHAPES,
    Array,
    assert_same_bits,
    every_value,
    finite_special_values,
    random_values,
    spec,
    special_values,
)
from operations import EVEN_EDGES, UNEVEN_EDGES, case_name, cases

DType = np.dtype[Any]
NO_SPECIAL: Array = np.array([], np.float32)


@pytest.mark.parametrize("operation, dtype", cases("information"), ids=case_name)
class TestInformationEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


def normal(shape: Any, dtype: DType, seed: int = 0) -> Array:
    return random_values(shape, dtype, seed, NO_SPECIAL.astype(dtype))


def wide(x: Array) -> Array:
    with np.errstate(invalid="ignore"):  # signalling NaN
        return x.astype(np.float64)


EDGES = {
    "even": EVEN_EDGES,
    "uneven": UNEVEN_EDGES,
    "one bin": np.array([-1.0, 1.0]),
    "nothing but one number": np.array([0.5, 0.5]),
    "all infinite": np.array([-np.inf, np.inf]),
    "beyond float32": np.array([-1e300, -1e40, 0.0, 1e39, 1e300]),
    "subnormal": np.arange(9) * 5e-324,
    "subnormal in float32": np.arange(9) * 1e-45,
    "far from zero": 1e6 + np.arange(100) * 2.0**-20,
    "one far away": np.array([-1e30, *np.linspace(-1, 1, 300), 1e30]),
    "logarithmic": np.geomspace(1e-6, 1e6, 400),
    "many": np.linspace(-3, 3, 70_001),
}


# --- counts ----------------------------------------------------------------------------------------------------------


class TestHistogram:
    @pytest.mark.parametrize("name", EDGES)
    def test_given_edges(self, name: str, dtype: DType, each_level: Any) -> None:
        edges = EDGES[name]
        x = random_values(20_011, dtype, 1)
        with np.errstate(over="ignore"):
            x[:500] = edges[np.arange(500) % len(edges)].astype(dtype)  # on the edges, or as near as the dtype comes
            x[500:1000] = np.nextafter(x[:500].astype(np.float32), np.float32(np.inf)).astype(dtype)
        numbers = wide(x)
        expected = np.histogram(numbers[~np.isnan(numbers)], edges)[0]
        for setting in each_level:
            counts, given_edges = tersor.histogram(x, edges)
            assert_same_bits(counts, expected, setting)
            assert_same_bits(given_edges, edges)

    @pytest.mark.parametrize("name", ["float16", "bfloat16"])
    @pytest.mark.parametrize("edges", ["even", "uneven", "logarithmic", "subnormal in float32", "beyond float32"])
    def test_every_16_bit_value(self, name: str, edges: str, each_level: Any) -> None:
        x = every_value(FLOATS[name])
        expected = spec.histogram(x, EDGES[edges])
        for setting in each_level:
            assert_same_bits(tersor.histogram(x, EDGES[edges])[0], expected, setting)

    @pytest.mark.parametrize("bins", [1, 2, 10, 255, 256, 5000])
    def test_range_of_the_data(self, bins: int, dtype: DType, each_level: Any) -> None:
        x = normal(30_001, dtype, bins)
        expected, edges = np.histogram(wide(x), bins)
        for setting in each_level:
            counts, found = tersor.histogram(x, bins)
            assert_same_bits(found, edges, setting)
            assert_same_bits(counts, np.histogram(wide(x), edges)[0], setting)
            assert_same_bits(counts, expected, setting)

    def test_given_range(self, dtype: DType) -> None:
        x = random_values(10_000, dtype, 3)
        numbers = wide(x)
        for low, high in ((-1, 1), (0.1, 0.7), (2, 2), (-1e6, 1e6), (-0.0, 1e-7)):
            counts, edges = tersor.histogram(x, 30, range=(low, high))
            expected, wanted = np.histogram(numbers[~np.isnan(numbers)], 30, range=(low, high))
            assert_same_bits(edges, wanted)
            assert_same_bits(counts, expected)

    @pytest.mark.parametrize("bins", [1, 3, 16, 100])
    def test_quantiles(self, bins: int, dtype: DType, each_level: Any) -> None:
        for size in (1, 2, 17, 5001, 70_001):
            x = normal(size, dtype, size)
            wanted = np.maximum.accumulate(np.quantile(wide(x), np.arange(bins + 1) / bins))
            for setting in each_level:
                counts, edges = tersor.histogram(x, bins, kind="quantile")
                assert_same_bits(edges, wanted + 0.0, f"{size}, {setting}")
                assert_same_bits(counts, spec.histogram(x, wanted), f"{size}, {setting}")
                assert counts.sum() == size

    def test_quantiles_that_coincide_leave_empty_bins(self) -> None:
        counts, edges = tersor.histogram(np.array([0, 0, 0, 0, 0, 0, 1, 2], np.float32), 4, kind="quantile")
        assert edges.tolist() == [0, 0, 0, 0.25, 2]
        assert counts.tolist() == [0, 0, 6, 2]
        counts, edges = tersor.histogram(np.full(5, 3.0), 2, kind="quantile")
        assert edges.tolist() == [3, 3, 3] and counts.tolist() == [0, 5]

    def test_all_equal(self, dtype: DType) -> None:
        for value in (0.0, -0.0, 1.5, -3.0):
            x = np.full(100, value, dtype)
            counts, edges = tersor.histogram(x, 4)
            expected, wanted = np.histogram(wide(x), 4)
            assert_same_bits(counts, expected)
            assert_same_bits(edges, wanted)

    def test_nothing(self, dtype: DType) -> None:
        for kind in ("uniform", "quantile"):
            counts, edges = tersor.histogram(np.empty((3, 0), dtype), 2, kind=kind)
            assert counts.tolist() == [0, 0] and edges.tolist() == [0, 0.5, 1]

    def test_a_range_of_one_ulp(self) -> None:
        """NumPy refuses bins that have no width; here they are empty."""
        x = np.array([1, np.nextafter(1, 2)] * 5)
        counts, edges = tersor.histogram(x, 16)
        assert_same_bits(counts, spec.histogram(x, edges))
        assert counts.sum() == 10 and (np.diff(edges) >= 0).all()

    def test_great_numbers(self) -> None:
        x = np.array([-1.7e308, 0.0, 1.7e308]) / 2
        counts, edges = tersor.histogram(x, 3)
        assert counts.tolist() == [1, 1, 1] and np.isfinite(edges).all()

    def test_many_bins_in_threads(self, settings: Any) -> None:
        """Tables are many, merged in any order, and larger than the interleaved ones."""
        x = normal(3_000_017, FLOATS["float32"])
        for bins in (3, 2046, 2047, 100_000):
            edges = np.linspace(-4, 4, bins + 1)
            expected = np.histogram(x, edges)[0]
            for setting in settings:
                assert_same_bits(tersor.histogram(x, edges)[0], expected, f"{bins}, {setting}")

    def test_all_in_one_bin(self, settings: Any) -> None:
        x = np.zeros(1_000_003, np.float32)
        for setting in settings:
            assert tersor.histogram(x, [-1, 0, 1])[0].tolist() == [0, 1_000_003], setting

    @given(data=st.data())
    def test_any_edges(self, data: st.DataObject) -> None:
        dtype = FLOATS[data.draw(st.sampled_from(list(FLOATS)))]
        edges = np.sort(np.array(data.draw(st.lists(st.floats(allow_nan=False), min_size=2, max_size=40))))
        seed = data.draw(st.integers(0, 999))
        patterns = np.random.default_rng(seed).integers(0, 256, 400 * dtype.itemsize, np.uint8)
        with np.errstate(all="ignore"):
            near = np.nextafter(edges, np.random.default_rng(seed).choice([-np.inf, np.inf], edges.size))
            x = np.concatenate([patterns.view(dtype), edges.astype(dtype), near.astype(dtype), special_values(dtype)])
        assert_same_bits(tersor.histogram(x, edges)[0], spec.histogram(x, edges))


class TestHistogram2d:
    def test_like_numpy(self, dtype: DType, settings: Any) -> None:
        x, y = normal((300, 401), dtype, 1), normal((300, 401), FLOATS["float64"], 2)
        expected, x_edges, y_edges = np.histogram2d(wide(x).ravel(), y.ravel(), (5, 9))
        for setting in settings:
            counts, x_found, y_found = tersor.histogram2d(x, y, (5, 9))
            assert_same_bits(x_found, x_edges)
            assert_same_bits(y_found, y_edges)
            assert_same_bits(counts, expected.astype(np.int64), setting)

    def test_edges_ranges_and_quantiles(self, each_level: Any) -> None:
        x, y = random_values(5000, FLOATS["float32"], 1), random_values(5000, FLOATS["float16"], 2)
        for setting in each_level:
            counts = tersor.histogram2d(x, y, (UNEVEN_EDGES, EVEN_EDGES))[0]
            assert_same_bits(counts, spec.histogram2d(x, y, UNEVEN_EDGES, EVEN_EDGES), setting)
            counts, x_edges, y_edges = tersor.histogram2d(x, y, 7, range=((-1, 1), (0, 2)))
            assert x_edges.tolist() == np.linspace(-1, 1, 8).tolist()
            assert_same_bits(counts, spec.histogram2d(x, y, x_edges, y_edges), setting)
        x, y = normal(5000, FLOATS["float32"], 1), normal(5000, FLOATS["float16"], 2)
        counts, x_edges, y_edges = tersor.histogram2d(x, y, 7, kind="quantile")
        assert_same_bits(y_edges, spec.bin_edges(y, 7, "quantile"))
        assert_same_bits(counts, spec.histogram2d(x, y, x_edges, y_edges))
        counts = tersor.histogram2d(x, y, (3, [-1.0, 0.0, 1.0]), range=((0, 1), None))[0]
        assert_same_bits(counts, spec.histogram2d(x, y, np.linspace(0, 1, 4), np.array([-1.0, 0.0, 1.0])))

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_shapes_and_layouts(self, shape: Any) -> None:
        x, y = random_values(shape, FLOATS["float32"], 1), random_values(shape, FLOATS["float64"], 2)
        expected = spec.histogram2d(x, y, EVEN_EDGES, EVEN_EDGES)
        for first, second in zip(LAYOUTS, [*LAYOUTS][3:] + [*LAYOUTS][:3], strict=True):
            counts = tersor.histogram2d(LAYOUTS[first](x), LAYOUTS[second](y), (EVEN_EDGES, EVEN_EDGES))[0]
            assert_same_bits(counts, expected, f"{first}, {second}")


# --- pruning ---------------------------------------------------------------------------------------------------------


def layer(dtype: DType, units: int = 23) -> tuple[Array, Array, Array]:
    w = random_values((units, 37), dtype, 1)
    labels = np.random.default_rng(1).integers(0, 4, 400)
    noise = np.linspace(0.05, 5, units)[np.random.default_rng(2).permutation(units)]
    activations = (labels[:, None] + noise * normal((400, units), FLOATS["float64"], 3)).astype(dtype)
    return w, activations, labels


class TestPruneInformation:
    @pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.77, 1.0])
    @pytest.mark.parametrize("kind", ["uniform", "quantile"])
    def test_labels(self, sparsity: float, kind: str, dtype: DType, each_level: Any) -> None:
        w, activations, labels = layer(dtype)
        exact = np.array([spec.mutual_information(column, labels, 6, kind) for column in activations.T])
        assert np.diff(np.sort(exact)).min() > 1e-10, "no ties, whose order rounding could change"
        expected = spec.mask_units(w, exact, sparsity)
        assert (~expected[:, 0]).sum() == round(sparsity * 23)
        for setting in each_level:
            options = {"bins": 6, "kind": kind}
            mask = tersor.mask_information(w, activations, sparsity, labels, **options)
            assert_same_bits(mask, expected, setting)
            packed = tersor.mask_information(w, activations, sparsity, labels, packed=True, **options)
            assert_same_bits(packed, spec.pack_mask(expected), setting)
            pruned = tersor.prune_information(w, activations, sparsity, labels, **options)
            assert_same_bits(pruned, spec.apply_mask(w, expected), setting)

    def test_another_activation(self, dtype: DType, settings: Any) -> None:
        w, activations, labels = layer(dtype)
        target = labels + 0.2 * normal(400, FLOATS["float32"], 7)
        exact = np.array([spec.mutual_information(column, target, 5) for column in activations.T])
        for setting in settings:
            mask = tersor.mask_information(w, activations, 0.4, target, bins=5)
            assert_same_bits(mask, spec.mask_units(w, exact, 0.4), setting)

    def test_entropy_without_a_target(self, dtype: DType) -> None:
        w, activations, _ = layer(dtype)
        scores = tersor.entropy(activations, 16, axis=0)
        exact = [spec.entropy(column, spec.bin_edges(column, 16)) for column in activations.T]
        np.testing.assert_allclose(scores, exact, rtol=1e-12, atol=1e-13)
        assert_same_bits(tersor.mask_information(w, activations, 0.3), spec.mask_units(w, np.array(exact), 0.3))

    @pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
    def test_axes_and_layouts(self, axis: int, dtype: DType, settings: Any) -> None:
        w = random_values((6, 9, 20), dtype, 1)
        units = w.shape[axis]
        _, activations, labels = layer(dtype, units)
        scores = tersor.mutual_information(activations, labels, 8)
        mask = spec.mask_units(w, scores, 0.5, axis)
        for name, arrange in LAYOUTS.items():
            for setting in settings:
                options = {"bins": 8, "axis": axis}
                context = f"{name}, {setting}"
                arrays = arrange(w), arrange(activations), 0.5, arrange(labels)
                out = arrange(np.ones_like(w))
                assert tersor.prune_information(*arrays, out=out, **options) is out
                assert_same_bits(out, spec.apply_mask(w, mask), context)
                out = arrange(np.ones_like(mask))
                tersor.mask_information(*arrays, out=out, **options)
                assert_same_bits(out, mask, context)
                assert_same_bits(tersor.mask_information(*arrays, packed=True, **options), spec.pack_mask(mask), context)
                in_place = arrange(w)
                tersor.prune_information(in_place, *arrays[1:], out=in_place, **options)
                assert_same_bits(in_place, spec.apply_mask(w, mask), context)

    def test_ties_go_by_index(self) -> None:
        w = np.ones((6, 2), np.float32)
        activations = np.tile(np.array([[0.0], [1.0], [2.0]], np.float32), (1, 6))
        mask = tersor.mask_information(w, activations, 0.5, np.array([0, 1, 2]))
        assert mask[:, 0].tolist() == [False] * 3 + [True] * 3
        assert tersor.mask_information(w, np.ones((0, 6), np.float32), 1 / 6)[:, 0].tolist() == [False] + [True] * 5

    def test_what_is_kept_is_kept_bit_for_bit(self, dtype: DType) -> None:
        w = np.tile(special_values(dtype), (2, 1))
        activations = np.array([[0.0, 0.0], [0.0, 1.0]], np.float32)
        assert_same_bits(tersor.prune_information(w, activations, 0.5)[1], w[1])
        assert_same_bits(tersor.prune_information(w, activations, 0.5)[0], np.zeros_like(w[0]))

    def test_rounds_half_to_even(self) -> None:
        activations = normal((50, 5), FLOATS["float32"])
        for sparsity, gone in ((0.5, 2), (0.1, 0), (0.3, 2), (0.7, 4), (0.9, 4)):
            assert (~tersor.mask_information(np.ones((5, 1), np.float32), activations, sparsity)).sum() == gone

    def test_no_units(self) -> None:
        assert tersor.prune_information(np.ones((0, 3), np.float32), np.ones((4, 0), np.float32), 0.5).shape == (0, 3)

    def test_torch(self) -> None:
        torch = pytest.importorskip("torch")
        w, activations, labels = layer(FLOATS["float32"])
        mask = tersor.mask_information(torch.from_numpy(w), torch.from_numpy(activations), 0.5, torch.from_numpy(labels))
        assert mask.dtype == torch.bool
        assert_same_bits(mask, tersor.mask_information(w, activations, 0.5, labels))
        counts, edges = tersor.histogram(torch.from_numpy(activations), 9)
        assert (counts.dtype, edges.dtype) == (torch.int64, torch.float64)
        assert_same_bits(counts, tersor.histogram(activations, 9)[0])
        found = tersor.mutual_information(torch.from_numpy(activations), torch.from_numpy(labels), 9)
        assert_same_bits(found, tersor.mutual_information(activations, labels, 9))


def test_finite_special_values_have_a_range(dtype: DType) -> None:
    """From the least to the greatest number of a narrow dtype."""
    x = finite_special_values(dtype)
    if dtype == np.float64:
        x = x / 2  # twice the greatest number is no width
    counts, edges = tersor.histogram(x, 50)
    assert_same_bits(edges, spec.bin_edges(x, 50))
    assert_same_bits(counts, spec.histogram(x, edges))
