"""prune: thresholds and masks."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tersor
from everywhere import InPlace, OverlapRefused, SameBitsEverywhere
from layouts import (
    FLOATS,
    LAYOUTS,
    ROW_SIZES,
    assert_same_bits,
    bits,
    canonical_nan,
    each_layout,
    every_value,
    is_nan,
    large_size,
    random_values,
    spec,
    special_values,
    unsigned,
)
from operations import case_name, cases

DType = np.dtype[Any]
THRESHOLDS = [
    0.0,
    1e-45,
    2.0**-24,
    6e-5,
    1e-38,
    0.25,
    0.5,
    1.0,
    1.0001,
    3.5,
    65504.0,
    65520.0,
    1e5,
    3.4e38,
    1e300,
    np.inf,
]


@pytest.mark.parametrize("operation, dtype", cases("prune"), ids=case_name)
class TestPruneEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


@pytest.mark.parametrize("operation, dtype", cases("prune", in_place=True), ids=case_name)
class TestPruneInPlace(InPlace):
    pass


@pytest.mark.parametrize("eps", THRESHOLDS)
def test_every_half_value(half_dtype: DType, eps: float, each_level: Any) -> None:
    w = every_value(half_dtype)
    pruned, mask = spec.prune_threshold(w, eps), spec.mask_threshold(w, eps)
    for setting in each_level:
        assert_same_bits(tersor.prune_threshold(w, eps), pruned, setting)
        assert_same_bits(tersor.mask_threshold(w, eps), mask, setting)
        assert_same_bits(tersor.mask_threshold(w, eps, packed=True), spec.pack_mask(mask), setting)


@pytest.mark.parametrize("eps", THRESHOLDS)
def test_special_values(dtype: DType, eps: float, each_level: Any) -> None:
    w = special_values(dtype)
    for setting in each_level:
        assert_same_bits(tersor.prune_threshold(w, eps), spec.prune_threshold(w, eps), setting)
        assert_same_bits(tersor.mask_threshold(w, eps), spec.mask_threshold(w, eps), setting)


def test_threshold_between_neighbours(dtype: DType, each_level: Any) -> None:
    """eps is itself an entry, or one step of the dtype away from it: the entry stays where |w| >= eps, to the last
    bit."""
    values = random_values(300, dtype, seed=3, special=np.array([], dtype))
    for value in np.abs(values[:40]):
        for step in (-1, 0, 1):
            eps = float((bits(value).astype(np.int64) + step).astype(unsigned(dtype)).view(dtype))
            for setting in each_level:
                assert_same_bits(tersor.prune_threshold(values, eps), spec.prune_threshold(values, eps), f"{eps}, {setting}")


@pytest.mark.parametrize(
    "name, eps, rounded",
    [
        # A little above the middle of 1 and its successor: by way of another dtype it would first round down to the
        # middle, then to 1.
        ("float16", 1 + 2**-11 + 2**-40, 1 + 2**-10),
        ("bfloat16", 1 + 2**-8 + 2**-40, 1 + 2**-7),
        ("float32", 1 + 2**-24 + 2**-50, 1 + 2**-23),
        # The middle itself, to even, and the middle of the two least subnormals.
        ("float16", 1 + 2**-11, 1.0),
        ("bfloat16", 1 + 3 * 2**-8, 1 + 2**-6),
        ("float16", 1.5 * 2**-24, 2**-23),
        ("float16", 2**-25, 0.0),
    ],
)
def test_threshold_is_rounded_once(name: str, eps: float, rounded: float) -> None:
    one_step_around = np.array([rounded], FLOATS[name])
    pattern = bits(one_step_around)[0]
    w = np.array([max(0, int(pattern) - 1), pattern, pattern + 1], bits(one_step_around).dtype).view(FLOATS[name])
    expected = np.array([bool(value >= rounded) for value in w])
    assert_same_bits(tersor.mask_threshold(w, eps), expected)


@pytest.mark.parametrize("eps", [np.float32(0.5), np.float64(0.5), 1, np.array(0.5), True])
def test_threshold_of_any_number_type(eps: Any) -> None:
    w = random_values(100, FLOATS["float32"])
    assert_same_bits(tersor.prune_threshold(w, eps), spec.prune_threshold(w, float(eps)))


def test_negative_zero_threshold() -> None:
    """-0.0 is not below 0."""
    w = special_values(FLOATS["float32"])
    assert_same_bits(tersor.prune_threshold(w, -0.0), spec.prune_threshold(w, 0.0))


def test_nan_keeps_sign_and_payload(dtype: DType) -> None:
    special = special_values(dtype)
    nan = special[is_nan(special)]
    assert len(set(bits(nan))) >= 8
    assert_same_bits(tersor.prune_threshold(nan, 0.5), nan)
    assert_same_bits(tersor.apply_mask(nan, np.ones(nan.shape, bool)), nan)
    assert not np.array_equal(bits(nan), bits(canonical_nan(nan)))


def test_apply_mask_ignores_padding_bits(dtype: DType, each_level: Any) -> None:
    for cols in ROW_SIZES:
        w = random_values((3, cols), dtype)
        mask = np.random.default_rng(1).random((3, cols)) < 0.5
        packed = spec.pack_mask(mask)
        if cols % 8:
            packed[:, -1] |= np.uint8(0xFF << (cols % 8) & 0xFF)
        for setting in each_level:
            assert_same_bits(tersor.apply_mask(w, packed), spec.apply_mask(w, mask), f"{cols} columns, {setting}")


def test_mask_bytes_other_than_one(each_level: Any) -> None:
    """A bool array made by a view may hold any byte; each but 0 is True, as NumPy reads it."""
    raw = np.arange(256, dtype=np.uint8)
    w = np.arange(1, 257, dtype=np.float32)
    for setting in each_level:
        assert_same_bits(tersor.apply_mask(w, raw.view(np.bool_)), np.where(raw != 0, w, np.float32(0)), setting)
        assert_same_bits(tersor.pack_mask(raw.view(np.bool_)), np.packbits(raw != 0, bitorder="little"), setting)


def test_prune_by_mask_is_prune_by_threshold(dtype: DType) -> None:
    w = random_values((17, 333), dtype)
    for packed in (False, True):
        masked = tersor.apply_mask(w, tersor.mask_threshold(w, 0.7, packed=packed))
        assert_same_bits(masked, tersor.prune_threshold(w, 0.7))


class TestCounts:
    def test_sizes(self, dtype: DType, each_level: Any) -> None:
        for size in [
            *ROW_SIZES,
            4 * 16 * 32767 - 1,
            4 * 16 * 32767 + 5,
        ]:  # the 16-bit counters are emptied every 32,767 steps
            w = random_values(size, dtype)
            for setting in each_level:
                assert tersor.count_nonzero(w) == spec.count_nonzero(w), f"{size} columns, {setting}"

    def test_large(self, dtype: DType, settings: Any) -> None:
        w = random_values(large_size(dtype.itemsize), dtype)
        for setting in settings:
            assert tersor.count_nonzero(w) == spec.count_nonzero(w), setting
            assert tersor.sparsity(w) == spec.sparsity(w), setting

    def test_all_nonzero(self, dtype: DType, each_level: Any) -> None:
        """Every counter at its greatest value."""
        w = np.ones((2, 4 * 16 * 32767 + 1000), dtype)
        for setting in each_level:
            assert tersor.count_nonzero(w) == w.size, setting

    @pytest.mark.parametrize("name", ["int8", "uint8", "bool"])
    def test_bytes(self, name: str, each_level: Any) -> None:
        w = np.random.default_rng(0).integers(0, 2, 4 * 16 * 127 * 3 + 55).astype(name)
        for values in (w, np.ones_like(w), np.zeros_like(w), w[::-3]):
            for setting in each_level:
                assert tersor.count_nonzero(values) == np.count_nonzero(values), setting

    def test_layouts(self, dtype: DType, settings: Any) -> None:
        w = random_values((13, 7, 901), dtype)
        for name, arranged in each_layout(w):
            for setting in settings:
                assert tersor.count_nonzero(arranged) == spec.count_nonzero(w), f"{name}, {setting}"

    def test_zeros_of_both_signs_and_nan(self, dtype: DType) -> None:
        least = np.array([1], unsigned(dtype)).view(dtype)
        assert tersor.count_nonzero(np.concatenate([np.array([0.0, -0.0, np.nan], dtype), least, -least])) == 3

    def test_types_of_the_results(self) -> None:
        w = np.array([[0.0, 1.0], [0.0, 2.0]], np.float32)
        assert type(tersor.count_nonzero(w)) is int
        assert type(tersor.sparsity(w)) is float
        assert tersor.sparsity(w) == 0.5

    @pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5)])
    def test_empty(self, shape: tuple[int, ...]) -> None:
        assert tersor.count_nonzero(np.zeros(shape, np.float32)) == 0
        assert tersor.sparsity(np.zeros(shape, np.float32)) == 0.0

    def test_broadcast(self) -> None:
        assert tersor.count_nonzero(np.broadcast_to(np.array([[1.0], [0.0]], np.float32), (2, 1000))) == 1000


def test_frameworks_agree(framework: Any, dtype: DType) -> None:
    w = random_values((5, 77), dtype)
    mask = spec.mask_threshold(w, 0.5)
    array = framework.array
    assert_same_bits(framework.numpy(tersor.prune_threshold(array(w), 0.5)), spec.prune_threshold(w, 0.5))
    assert_same_bits(framework.numpy(tersor.mask_threshold(array(w), 0.5)), mask)
    assert_same_bits(framework.numpy(tersor.mask_threshold(array(w), 0.5, packed=True)), spec.pack_mask(mask))
    assert_same_bits(framework.numpy(tersor.apply_mask(array(w), array(mask))), spec.apply_mask(w, mask))
    assert_same_bits(framework.numpy(tersor.apply_mask(array(w), array(spec.pack_mask(mask)))), spec.apply_mask(w, mask))
    assert tersor.count_nonzero(array(w)) == spec.count_nonzero(w)


@pytest.mark.parametrize("eps", [-1e-300, -1.0, -np.inf, np.nan])
def test_bad_threshold(eps: float) -> None:
    w = np.ones(4, np.float32)
    for call in (tersor.prune_threshold, tersor.mask_threshold):
        with pytest.raises(ValueError, match=re.compile(r"\beps\b.*>= 0")):
            call(w, eps)


def test_layout_table_is_what_it_says() -> None:
    """The layouts that every test leans on differ in memory, not in value."""
    w = random_values((4, 6, 10), FLOATS["float32"])
    strides = {arrange(w).strides for arrange in LAYOUTS.values()}
    assert len(strides) >= 7
    for name, arranged in each_layout(w):
        assert_same_bits(arranged, w, name)


# --- exact magnitude pruning -----------------------------------------------------------------------------------------


def with_ties(shape: Any, dtype: DType, seed: int = 0) -> Any:
    """Seven magnitudes, both signs."""
    return np.random.default_rng(seed).integers(-6, 7, shape).astype(dtype)


class TestMagnitude:
    @pytest.mark.parametrize("sparsity", [0.0, 1e-6, 0.25, 0.5, 0.75, 0.999999, 1.0])
    def test_ties_go_by_index(self, sparsity: float, dtype: DType, settings: Any) -> None:
        w = with_ties((300, 1001), dtype)
        expected = spec.mask_magnitude(w, sparsity)
        packed, pruned = spec.pack_mask(expected), spec.apply_mask(w, expected)
        assert (~expected).sum() == round(sparsity * w.size)
        for setting in settings:
            assert_same_bits(tersor.mask_magnitude(w, sparsity), expected, setting)
            assert_same_bits(tersor.mask_magnitude(w, sparsity, packed=True), packed, setting)
            assert_same_bits(tersor.prune_magnitude(w, sparsity), pruned, setting)

    def test_every_count(self, each_level: Any) -> None:
        """The cut falls on every bit of a byte, in rows that end within one."""
        w = with_ties((3, 13), np.dtype(np.float32))
        for setting in each_level:
            for count in range(w.size + 1):
                expected = spec.mask_magnitude(w, count / w.size)
                assert_same_bits(tersor.mask_magnitude(w, count / w.size), expected, f"{count}, {setting}")
                got = tersor.mask_magnitude(w, count / w.size, packed=True)
                assert_same_bits(got, spec.pack_mask(expected), f"{count} packed, {setting}")

    @pytest.mark.parametrize("value", [0.0, -0.0, 1.5, np.inf, np.nan])
    def test_all_equal(self, value: float, dtype: DType, settings: Any) -> None:
        w = np.full(1_000_003, value, dtype)
        expected = np.ones(w.size, bool)
        expected[: round(0.3 * w.size)] = False
        for setting in settings:
            assert_same_bits(tersor.mask_magnitude(w, 0.3), expected, setting)

    def test_ties_among_distinct_values(self, settings: Any) -> None:
        """The tie lies among the keys that the selection has collected: its places come from there."""
        w = np.random.default_rng(3).permutation(np.arange(1, 1_000_001, dtype=np.float32))
        w[[5, 70_000, 999_999, 400_000]] = 500_000
        place = np.flatnonzero(w == 500_000)
        below = int((w < 500_000).sum())
        for setting in settings:
            for ties in range(1, place.size + 1):
                mask = tersor.mask_magnitude(w, (below + ties) / w.size)
                assert not mask[place[:ties]].any() and mask[place[ties:]].all(), f"{ties} of {place.size}, {setting}"

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_columns(self, layout: str, dtype: DType, each_level: Any) -> None:
        for shape in ((65, 33), (3, 17, 70), (1, 9), (5, 0), (0, 5)):
            w = LAYOUTS[layout](with_ties(shape, dtype))
            expected = spec.mask_magnitude(w, 0.4, -2)
            for setting in each_level:
                assert_same_bits(tersor.prune_magnitude(w, 0.4, scope="column"), spec.apply_mask(w, expected), setting)
                assert_same_bits(tersor.mask_magnitude(w, 0.4, scope="column"), expected, setting)
                got = tersor.mask_magnitude(w, 0.4, scope="column", packed=True)
                assert_same_bits(got, spec.pack_mask(expected), setting)

    def test_over_a_model(self, dtype: DType, settings: Any) -> None:
        layers = [with_ties(shape, dtype, i) for i, shape in enumerate([(100, 700), (3,), (0, 4), (), (20, 5, 900)])]
        joined = np.concatenate([layer.ravel() for layer in layers])
        flat = spec.mask_magnitude(joined, 0.55)
        expected = [part.reshape(layer.shape) for part, layer in zip(split_like(flat, layers), layers, strict=True)]
        for setting in settings:
            masks = tersor.mask_magnitude(layers, 0.55, scope="global")
            pruned = tersor.prune_magnitude(layers, 0.55, scope="global")
            assert isinstance(masks, list) and isinstance(pruned, list)
            in_place = [layer.copy() for layer in layers]
            assert tersor.prune_magnitude(in_place, 0.55, scope="global", out=in_place) is in_place
            for i, layer in enumerate(layers):
                assert_same_bits(masks[i], expected[i], f"layer {i}, {setting}")
                assert_same_bits(pruned[i], spec.apply_mask(layer, expected[i]), f"layer {i}, {setting}")
                assert_same_bits(in_place[i], pruned[i], f"layer {i} in place, {setting}")

    def test_outputs_may_not_lie_on_another_layer(self) -> None:
        layers = [with_ties((10,), np.dtype(np.float32), i) for i in range(2)]
        with pytest.raises(ValueError, match=re.escape("out[0] overlaps w[1]")):
            tersor.prune_magnitude(layers, 0.5, scope="global", out=layers[::-1])

    def test_torch_model(self) -> None:
        torch = pytest.importorskip("torch")
        layers = [torch.tensor([[1.0, -5.0], [0.25, 3.0]]), torch.tensor([2.0, -0.5])]
        first, second = tersor.prune_magnitude(layers, 0.5, scope="global")
        assert torch.equal(first, torch.tensor([[0.0, -5.0], [0.0, 3.0]]))
        assert torch.equal(second, torch.tensor([2.0, 0.0]))


def split_like(flat: Any, layers: list[Any]) -> list[Any]:
    return np.split(flat, np.cumsum([layer.size for layer in layers])[:-1])
