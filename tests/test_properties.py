"""Properties on arrays that hypothesis makes: any shape, stride, byte offset, dtype and bit pattern.

TERSOR_HYPOTHESIS_PROFILE=nightly tries many more, and new ones each night (conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tersor
from conftest import LEVELS, QUANTIZE_STEP_TOLERANCE, TOLERANCE
from hypothesis import assume, given, note
from hypothesis import strategies as st
from layouts import FLOATS, Array, assert_same_bits, bits, canonical_nan, is_nan, spec, special_values, unsigned
from tersor import _core

# --- strategies ------------------------------------------------------------------------------------------------------


@st.composite
def views(draw: Any, dtype: np.dtype[Any], values: Any, least_ndim: int = 0, most_ndim: int = 5) -> Array:
    """An array whose axes are cut from larger ones, walked backwards or in steps, permuted, and start at any byte."""
    shape = draw(st.lists(st.integers(0, 9) | st.sampled_from([1, 16, 17, 33, 65]), min_size=least_ndim, max_size=most_ndim))
    assume(np.prod(shape, dtype=np.int64) <= 20_000)
    steps = [draw(st.sampled_from([1, 1, 1, -1, 2, -3])) for _ in shape]
    order = draw(st.permutations(range(len(shape))))
    offset = draw(st.integers(0, 70))
    sizes = [shape[axis] * abs(steps[axis]) for axis in order]
    memory = np.zeros(int(np.prod(sizes, dtype=np.int64)) * dtype.itemsize + 80, np.uint8)
    dense = np.ndarray(sizes, dtype, memory, offset)
    view = dense.transpose(np.argsort(order)) if shape else dense
    view = view[tuple(slice(None, None, step) for step in steps)] if shape else view
    assert view.shape == tuple(shape)
    view[...] = values(draw, view.shape, dtype)
    return view


def any_bits(draw: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Random patterns, modest numbers and special values, in a mixture that the example chooses."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    patterns = generator.integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    sources = [
        np.ascontiguousarray(patterns).view(dtype).reshape(shape),
        generator.standard_normal(shape).astype(np.float64).astype(dtype),
        generator.choice(special_values(dtype), shape),
    ]
    weights = draw(st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0.9, 0.1), (0.3, 0.4, 0.3)]))
    return np.choose(generator.choice(3, shape, p=weights), [source.view(unsigned(dtype)) for source in sources]).view(dtype)


def numbers(draw: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return (generator.standard_normal(shape) * draw(st.sampled_from([1e-3, 1.0, 30.0, 1e3]))).astype(dtype)


def integers(low: int, high: int) -> Any:
    def values(draw: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(low, high, shape).astype(dtype)

    return values


float_dtypes = st.sampled_from(list(FLOATS.values()))
float_views = float_dtypes.flatmap(lambda dtype: views(dtype, any_bits))
float_rows = float_dtypes.flatmap(lambda dtype: views(dtype, any_bits, least_ndim=1))
masks = views(np.dtype(bool), integers(0, 2), least_ndim=1)
nibbles = views(np.dtype(np.int8), integers(-8, 8), least_ndim=1)
thresholds = st.floats(0, allow_nan=False) | st.sampled_from([0.0, 0.5, 1.0, 1e-40, 6e-8])


@pytest.fixture(autouse=True)
def levels_in_turn(request: pytest.FixtureRequest) -> None:
    """Each property is tried on one level; which, follows from its name. All levels agree: that is what the other
    files test."""
    _core.set_cpu_level(LEVELS[sum(map(ord, request.node.name)) % len(LEVELS)])


def is_rounded_by_way_of_float32(eps: float, dtype: np.dtype[Any]) -> bool:
    """ml_dtypes takes float64 to bfloat16 in two steps; test_prune.py pins the one step that tersor takes."""
    with np.errstate(over="ignore"):
        return bool(dtype == FLOATS["bfloat16"] and np.float64(np.float32(eps)) != eps)


# --- against the specification ---------------------------------------------------------------------------------------


@given(float_views, thresholds)
def test_prune_threshold(w: Array, eps: float) -> None:
    assume(not is_rounded_by_way_of_float32(eps, w.dtype))
    assert_same_bits(tersor.prune_threshold(w, eps), spec.prune_threshold(w, eps))
    assert_same_bits(tersor.mask_threshold(w, eps), spec.mask_threshold(w, eps))


@given(float_rows, thresholds)
def test_packed_mask_is_the_mask_packed(w: Array, eps: float) -> None:
    mask = tersor.mask_threshold(w, eps)
    packed = tersor.mask_threshold(w, eps, packed=True)
    assert_same_bits(packed, spec.pack_mask(mask))
    assert_same_bits(tersor.apply_mask(w, packed), spec.apply_mask(w, mask))
    assert_same_bits(tersor.apply_mask(w, mask), spec.apply_mask(w, mask))


@given(float_views)
def test_count_nonzero(w: Array) -> None:
    assert tersor.count_nonzero(w) == spec.count_nonzero(w)
    assert tersor.sparsity(w) == spec.sparsity(w)


@given(float_rows)
def test_compressed_and_back(w: Array) -> None:
    t = tersor.compress_bitmask(w)
    values, bit_rows, row_offsets = spec.compress_bitmask(w)
    assert_same_bits(t.values, values)
    assert_same_bits(t.bits, bit_rows)
    assert_same_bits(t.row_offsets, row_offsets)
    assert_same_bits(tersor.decompress_bitmask(t), spec.decompress_bitmask(values, bit_rows, w.shape))


@given(float_rows, st.data())
def test_pruned_to_a_pattern_compressed_and_back(w: Array, data: Any) -> None:
    m = data.draw(st.integers(2, 32))
    n = data.draw(st.integers(1, m - 1))
    pruned = tersor.prune_nm(w, n, m)
    parts = tersor.compress_nm(pruned, n, m)
    for part, expected in zip(parts, spec.compress_nm(pruned, n, m), strict=True):
        assert_same_bits(part, expected)
    dense = tersor.decompress_nm(*parts, n, m, w.shape[-1])
    assert_same_bits(dense, spec.decompress_nm(*parts, n, m, w.shape[-1]))
    assert tersor.count_nonzero(dense) == tersor.count_nonzero(pruned)


@given(float_views, st.integers(0, 52))
def test_round_fixed(w: Array, fraction_bits: int) -> None:
    assert_same_bits(tersor.round_fixed(w, fraction_bits), canonical_nan(spec.round_fixed(w, fraction_bits)))


@given(float_rows, st.data())
def test_quantize_int8(w: Array, data: Any) -> None:
    axis = data.draw(st.integers(-w.ndim, w.ndim - 1))
    expected_q, expected_scale = spec.quantize_int8(w, axis)
    q, scale = tersor.quantize_int8(w, axis=axis)
    assert_same_bits(q, expected_q)
    assert_same_bits(scale, expected_scale)


@given(
    views(np.dtype(np.int8), integers(-128, 128), least_ndim=1),
    st.sampled_from([np.float32, np.float64]),
    float_dtypes,
    st.data(),
)
def test_dequantize_int8(q: Array, scale_dtype: Any, dtype: np.dtype[Any], data: Any) -> None:
    assume(scale_dtype == np.float32 or dtype.itemsize >= 4)  # float64 to 16 bits: pinned in test_quantize.py
    ones = data.draw(st.sets(st.integers(0, q.ndim - 1), min_size=1))
    shape = tuple(1 if axis in ones else n for axis, n in enumerate(q.shape))
    scale = any_bits(data.draw, shape, np.dtype(scale_dtype))
    assert_same_bits(tersor.dequantize_int8(q, scale, dtype=dtype), canonical_nan(spec.dequantize_int8(q, scale, dtype)))


@given(float_rows, st.floats(0, allow_nan=False) | st.sampled_from([0.0, 1.0, np.inf]), st.data())
def test_softmax(x: Array, temperature: float, data: Any) -> None:
    """Against float64, so float64 itself is left to test_softmax.py's wider reference."""
    assume(x.dtype != np.float64)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    temperature = 0.0 if temperature < 2.0**-100 else temperature
    with np.errstate(invalid="ignore"):  # signalling NaN
        exact = spec.softmax(x.astype(np.float64), temperature, axis)
    result = tersor.softmax(x, temperature, axis=axis)
    np.testing.assert_array_equal(is_nan(result), np.isnan(exact))
    finite = ~np.isnan(exact)
    error = np.abs(result[finite].astype(np.float64) - exact[finite])
    bound = TOLERANCE["softmax", x.dtype.name].bound(exact[finite], x.dtype)
    note(f"largest error / bound: {(error / bound).max(initial=0)}")
    assert (error <= bound).all()


# --- there and back, and once more -----------------------------------------------------------------------------------


@given(masks)
def test_masks_there_and_back(mask: Array) -> None:
    packed = tersor.pack_mask(mask)
    assert_same_bits(packed, spec.pack_mask(mask))
    assert_same_bits(tersor.unpack_mask(packed, mask.shape[-1]), np.array(mask))


@given(nibbles)
def test_nibbles_there_and_back(q: Array) -> None:
    packed = tersor.pack_int4(q)
    assert_same_bits(packed, spec.pack_int4(q))
    assert_same_bits(tersor.unpack_int4(packed, q.shape[-1]), np.array(q))


@given(views(np.dtype(np.int8), integers(-128, 128), least_ndim=1))
def test_pack_int4_refuses_exactly_what_does_not_fit(q: Array) -> None:
    if q.size and (q.min() < -8 or q.max() > 7):
        with pytest.raises(ValueError, match="outside"):
            tersor.pack_int4(q)
    else:
        assert_same_bits(tersor.pack_int4(q), spec.pack_int4(q))


@given(float_views, thresholds)
def test_pruning_again_changes_nothing(w: Array, eps: float) -> None:
    once = tersor.prune_threshold(w, eps)
    assert_same_bits(tersor.prune_threshold(once, eps), once)
    assert tersor.count_nonzero(once) <= tersor.count_nonzero(w)
    assert (bits(once) != bits(np.array(-0.0, w.dtype))).all()


@given(float_views, st.integers(0, 52))
def test_rounding_again_changes_nothing(w: Array, fraction_bits: int) -> None:
    once = tersor.round_fixed(w, fraction_bits)
    assert_same_bits(tersor.round_fixed(once, fraction_bits), once)


@given(float_dtypes.flatmap(lambda dtype: views(dtype, numbers, least_ndim=1)))
def test_quantizing_loses_at_most_half_a_step(w: Array) -> None:
    q, scale = tersor.quantize_int8(w)
    assume((scale >= np.finfo(scale.dtype).tiny * 128).all())  # below it the scale itself is coarse
    assert (np.abs(q) <= 127).all()
    error = np.abs(tersor.dequantize_int8(q, scale).astype(np.longdouble) - w.astype(np.longdouble))
    assert (error <= QUANTIZE_STEP_TOLERANCE[scale.dtype.name] * scale.astype(np.longdouble)).all()


@given(float_dtypes.flatmap(lambda dtype: views(dtype, numbers, least_ndim=2, most_ndim=2)), st.randoms())
def test_rows_of_softmax_are_independent(x: Array, random: Any) -> None:
    order = list(range(x.shape[0]))
    random.shuffle(order)
    assert_same_bits(tersor.softmax(x[order]), tersor.softmax(x)[order])


# --- outputs ---------------------------------------------------------------------------------------------------------


@given(float_dtypes.flatmap(lambda dtype: st.tuples(views(dtype, any_bits), st.data())))
def test_output_of_any_layout(pair: Any) -> None:
    w, data = pair
    order = data.draw(st.permutations(range(w.ndim)))
    out = (
        np.zeros([w.shape[axis] for axis in order], w.dtype).transpose(np.argsort(order))
        if w.ndim
        else np.zeros((), w.dtype)
    )
    out = out[tuple(slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in w.shape)] if w.ndim else out
    assert tersor.prune_threshold(w, 0.5, out=out) is out
    assert_same_bits(out, spec.prune_threshold(w, 0.5))


@given(float_views)
def test_in_place(w: Array) -> None:
    expected = canonical_nan(spec.round_fixed(w, 5))
    tersor.round_fixed(w, 5, out=w)
    assert_same_bits(w, expected)


@given(float_dtypes, st.integers(1, 40), st.integers(-3, 3), st.integers(-45, 45), st.sampled_from([1, 2, 3]))
def test_refused_exactly_where_memory_is_shared(
    dtype: np.dtype[Any], count: int, step: int, shift: int, own_step: int
) -> None:
    """Two walks over one buffer: a shared entry is a ValueError, unless out is w; without one the call works."""
    assume(step != 0)
    buffer = np.arange(600, dtype=np.float32).astype(dtype)
    w = buffer[300 : 300 + own_step * count : own_step]
    start = 300 + shift
    out = buffer[start : start + step * count : step]
    assert out.shape == w.shape
    same = out.ctypes.data == w.ctypes.data and (out.strides == w.strides or count == 1)
    if np.shares_memory(w, out) and not same:
        with pytest.raises(ValueError, match="overlap"):
            tersor.prune_threshold(w, 3.0, out=out)
        return
    expected = spec.prune_threshold(w.copy(), 3.0)
    try:
        tersor.prune_threshold(w, 3.0, out=out)
    except ValueError:
        # Allowed where strides interlock without meeting (core/view.h says which); never where the ranges are apart.
        assert np.may_share_memory(w, out) and step != own_step
        return
    assert_same_bits(out, expected)
