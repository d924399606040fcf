"""matmul: products with compressed weights, equal to the specification where sums are exact, else within the bound."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import pytest
import tersor
from conftest import matmul_roundings
from everywhere import OverlapRefused, SameBitsEverywhere
from inputs import as_bitmask
from layouts import FLOATS, Array, assert_same_bits, at_offset, canonical_nan, each_layout, round_once, spec, ulp
from operations import case_name, cases
from tersor import BitmaskTensor

DType = np.dtype[Any]

# Columns around words of bits, their groups of 16, blocks of 1,024; rows around those that go side by side.
COLS = (1, 7, 15, 16, 17, 63, 64, 65, 127, 200, 1023, 1024, 1025, 2050)
ROWS = (1, 3, 8, 17, 33)
BATCHES = (1, 2, 3, 4, 5, 8, 9, 16, 17, 33)


@pytest.mark.parametrize("operation, dtype", cases("matmul"), ids=case_name)
class TestMatmulEverywhere(SameBitsEverywhere, OverlapRefused):
    pass


def sparse_integers(shape: Any, dtype: DType, density: float = 0.5, seed: int = 0) -> Array:
    """From -3 to 3: sums of a thousand products of such are exact in every arithmetic."""
    generator = np.random.default_rng(seed)
    values = generator.integers(1, 4, shape) * generator.choice([-1, 1], shape)
    return np.where(generator.random(shape) < density, values, 0).astype(dtype)


def sparse_normals(shape: Any, dtype: DType, density: float = 0.5, seed: int = 0) -> Array:
    """Of magnitudes that differ by 2**8, so that the order of a sum shows."""
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(shape) * 2.0 ** generator.integers(-5, 4, shape)
    return np.where(generator.random(shape) < density, values, 0).astype(dtype)


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_exact_sums(density: float, dtype: DType, each_level: Any) -> None:
    for index, cols in enumerate(COLS):
        rows, batch = ROWS[index % len(ROWS)], BATCHES[index % len(BATCHES)]
        w, x = sparse_integers((rows, cols), dtype, density), sparse_integers((batch, cols), dtype, 0.9, seed=1)
        expected = spec.matmul_bitmask(x, as_bitmask(w))
        for setting in each_level:
            assert_same_bits(tersor.matmul_bitmask(x, as_bitmask(w)), expected, f"{rows} x {cols}, {batch} rows, {setting}")


@pytest.mark.parametrize("batch", BATCHES)
def test_exact_sums_of_each_batch(batch: int, dtype: DType, each_level: Any) -> None:
    for rows in ROWS:
        w, x = sparse_integers((rows, 150), dtype), sparse_integers((batch, 150), dtype, seed=1)
        expected = spec.matmul_bitmask(x, as_bitmask(w))
        for setting in each_level:
            assert_same_bits(tersor.matmul_bitmask(x, as_bitmask(w)), expected, f"{rows} rows, {setting}")


def exact_product(x: Array, w: Array) -> Array:
    """In more digits than the arithmetic has; 64 bits of mantissa for float64, whose own error the test allows for."""
    wide = np.longdouble if w.dtype == np.float64 else np.float64
    return x.astype(wide) @ w.astype(wide).T


@pytest.mark.parametrize("cols", [5, 100, 1024, 11008])
def test_error_bound(cols: int, dtype: DType, each_level: Any) -> None:
    """|error| <= gamma * sum |x||w|, gamma = n u / (1 - n u), and half an ULP of the result's dtype on top where that is
    narrower. The reference's own error is below a hundredth of that: cols * 2**-53 against n * 2**-24, or * 2**-64 against
    n * 2**-53."""
    w, x = sparse_normals((9, cols), dtype), sparse_normals((3, cols), dtype, 1.0, seed=1)
    unit = 2.0**-53 if dtype == np.float64 else 2.0**-24
    n = matmul_roundings(cols)
    exact = exact_product(x, w)
    bound = 1.01 * n * unit / (1 - n * unit) * exact_product(np.abs(x), np.abs(w))
    if dtype.itemsize == 2:
        bound = bound + 0.5 * ulp((np.abs(exact) + bound).astype(np.float64), dtype)
    for setting in each_level:
        y = tersor.matmul_bitmask(x, as_bitmask(w))
        assert np.isfinite(y).all()
        assert (np.abs(y.astype(exact.dtype) - exact) <= bound).all(), setting


def sums_in_order(x: list[int], w: list[int], rounded: Any) -> Any:
    """The documented order on integers, which Python adds exactly; `rounded` rounds one once."""
    total = [0] * 16
    for begin in range(0, len(x), 1024):
        lanes = [0] * 16
        for i in range(begin, min(begin + 1024, len(x))):
            lanes[i % 16] = rounded(lanes[i % 16] + x[i] * w[i])
        total = [rounded(a + b) for a, b in zip(total, lanes, strict=True)]
    while len(total) > 1:
        half = len(total) // 2
        total = [rounded(a + b) for a, b in zip(total[:half], total[half:], strict=True)]
    return total[0]


@pytest.mark.parametrize("bits, name", [(14, "float32"), (40, "float64")])
def test_order_of_sums(bits: int, name: str, each_level: Any) -> None:
    """Fused, lane by lane, block by block, then down the tree: to the bit. Integers of 14 bits have sums within the 53 of
    float64, so that one rounding to float32 is left; Python itself rounds integers to float64 once."""
    dtype = FLOATS[name]
    generator = np.random.default_rng(3)
    w, x = (generator.integers(-(2**bits), 2**bits, (n, 2500)) * (generator.random((n, 2500)) < 0.6) for n in (5, 2))

    def rounded(number: int) -> int:
        return int(float(number)) if name == "float64" else int(np.float32(float(number)))

    expected = np.array([[sums_in_order(a.tolist(), b.tolist(), rounded) for b in w] for a in x]).astype(np.float64)
    assert (expected != x.astype(np.float64) @ w.T.astype(np.float64)).any(), "the order does not show"
    for setting in each_level:
        y = tersor.matmul_bitmask(x.astype(dtype), as_bitmask(w.astype(dtype)))
        assert_same_bits(y, expected.astype(dtype), setting)


def test_a_row_does_not_depend_on_its_neighbours(dtype: DType, settings: Any) -> None:
    w, x = as_bitmask(sparse_normals((210, 1500), dtype)), sparse_normals((19, 1500), dtype, 1.0, seed=1)
    alone = np.concatenate([tersor.matmul_bitmask(row[None], w) for row in x])
    for setting in settings:
        for batch in (1, 2, 3, 4, 7, 8, 12, 16, 19):
            assert_same_bits(tersor.matmul_bitmask(x[:batch], w), alone[:batch], f"{batch} rows, {setting}")


def test_large(settings: Any) -> None:
    """Many chunks for each thread; exact sums tell every row from every other."""
    dtype = FLOATS["float32"]
    w, x = sparse_integers((1003, 2100), dtype, 0.3), sparse_integers((2, 2100), dtype, seed=1)
    t, expected = as_bitmask(w), x @ w.T
    for setting in settings:
        assert_same_bits(tersor.matmul_bitmask(x, t), expected, setting)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
def test_float32_rows(name: str, each_level: Any) -> None:
    """x and the result in float32, whatever the weight is in. float64 sums are rounded once, at the end."""
    dtype = FLOATS[name]
    w, x = sparse_normals((19, 777), dtype), sparse_normals((3, 777), np.dtype(np.float32), 1.0, seed=1)
    arithmetic = np.dtype(np.float64 if name == "float64" else np.float32)
    in_arithmetic = tersor.matmul_bitmask(x.astype(arithmetic), as_bitmask(w.astype(arithmetic)))
    for setting in each_level:
        y = tersor.matmul_bitmask(x, as_bitmask(w))
        assert y.dtype == np.float32
        assert_same_bits(y, in_arithmetic.astype(np.float32), setting)


def test_narrow_results_are_rounded_once(half_dtype: DType, each_level: Any) -> None:
    w, x = sparse_normals((19, 777), half_dtype), sparse_normals((3, 777), half_dtype, 1.0, seed=1)
    sums = tersor.matmul_bitmask(x.astype(np.float32), as_bitmask(w.astype(np.float32)))
    for setting in each_level:
        y = tersor.matmul_bitmask(x, as_bitmask(w))
        assert_same_bits(y, round_once(sums.astype(np.float64), half_dtype), setting)


def test_infinity_and_nan(dtype: DType, each_level: Any) -> None:
    """Entries that are not stored are +0.0: they make NaN of what is not finite."""
    w = np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0], [np.inf, 0, 0], [np.nan, 0, 1], [np.inf, -np.inf, 0]], dtype)
    kept = ~(w == 0)
    t = BitmaskTensor(w[kept], spec.pack_mask(kept), (np.cumsum(kept.sum(1)) - kept.sum(1)).astype(np.int64), w.shape)
    x = np.array([[1, 1, 1], [np.inf, 1, 1], [1, np.nan, 1], [0, 1, 1], [-np.inf, -np.inf, 2], [-0.0, -0.0, -0.0]], dtype)
    expected = canonical_nan(spec.matmul_bitmask(x, t))
    assert np.isnan(expected.astype(np.float64)).any() and np.isinf(expected.astype(np.float64)).any()
    for setting in each_level:
        for batch in (1, 6):
            assert_same_bits(tersor.matmul_bitmask(x[:batch], t), expected[:batch], setting)


def test_overflow(each_level: Any) -> None:
    dtype = FLOATS["float16"]
    w, x = np.full((2, 40), 60_000, dtype), np.array([[1.0] * 40, [0.01] * 40], dtype)
    for setting in each_level:
        assert np.isinf(tersor.matmul_bitmask(x, as_bitmask(w))[0]).all(), setting
        assert np.isfinite(tersor.matmul_bitmask(x, as_bitmask(w))[1]).all(), setting


# --- shapes, layouts, frameworks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, cols, leading", [(0, 5, (3,)), (4, 0, (3,)), (4, 5, (0,)), (0, 0, ()), (3, 5, (2, 0, 4))])
def test_nothing_to_multiply(rows: int, cols: int, leading: Any, dtype: DType) -> None:
    t = as_bitmask(np.ones((rows, cols), dtype))
    expected = np.zeros((*leading, rows), dtype)
    assert_same_bits(tersor.matmul_bitmask(np.ones((*leading, cols), dtype), t), expected)


def test_leading_axes_and_layouts(dtype: DType, each_level: Any) -> None:
    """Rows of x are numbered in C order whatever their strides, across blocks of 16; so are those of out."""
    x, w = sparse_integers((3, 2, 7, 90), dtype), sparse_integers((13, 90), dtype, seed=1)
    t = as_bitmask(w)
    expected = spec.matmul_bitmask(x.reshape(42, 90), t).reshape(3, 2, 7, 13)
    for name, arranged in each_layout(x):
        for out_name, out in each_layout(np.full_like(expected, 1)):
            for setting in each_level:
                out[...] = 1
                assert tersor.matmul_bitmask(arranged, t, out=out) is out
                assert_same_bits(out, expected, f"{name} to {out_name}, {setting}")


def test_one_row_alone(dtype: DType) -> None:
    x, w = sparse_integers((90,), dtype), sparse_integers((13, 90), dtype, seed=1)
    assert_same_bits(tersor.matmul_bitmask(x, as_bitmask(w)), spec.matmul_bitmask(x, as_bitmask(w)))


def test_parts_at_any_byte(dtype: DType, each_level: Any) -> None:
    w, x = sparse_integers((20, 300), dtype), sparse_integers((2, 300), dtype, seed=1)
    t = as_bitmask(w)
    expected = spec.matmul_bitmask(x, t)
    for offset in range(0, 64, 3):
        moved = BitmaskTensor(
            at_offset(t.values, offset), at_offset(t.bits, offset + 1), at_offset(t.row_offsets, offset + 5), t.shape
        )
        for setting in each_level:
            assert_same_bits(tersor.matmul_bitmask(x, moved), expected, f"offset {offset}, {setting}")


def test_padding_is_not_read(each_level: Any) -> None:
    for cols in (1, 9, 63, 65, 71):
        w, x = sparse_integers((11, cols), np.dtype(np.float32)), np.ones((2, cols), np.float32)
        t = as_bitmask(w)
        t.bits[:, -1] |= np.uint8((0xFF << (cols - 1) % 8 + 1) & 0xFF)
        for setting in each_level:
            assert_same_bits(tersor.matmul_bitmask(x, t), x @ w.T, f"{cols} columns, {setting}")


def test_frameworks_agree(framework: Any, dtype: DType) -> None:
    w, x = sparse_integers((11, 77), dtype), sparse_integers((5, 77), dtype, seed=1)
    t = as_bitmask(w)
    parts = BitmaskTensor(*map(framework.array, (t.values, t.bits, t.row_offsets)), t.shape)
    assert_same_bits(framework.numpy(tersor.matmul_bitmask(framework.array(x), parts)), spec.matmul_bitmask(x, t))


# --- weights whose parts disagree ------------------------------------------------------------------------------------


def before_a_guard(array: Array) -> Array:
    """A copy that ends where memory ends: reading on is a segmentation fault."""
    page = mmap.PAGESIZE
    size = -(-max(array.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, size + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(page), 0) == 0
    copy = np.ndarray(array.shape, array.dtype, memory, size - array.nbytes)
    copy[...] = array
    return copy


@pytest.mark.parametrize("cols", [1, 16, 70, 1100])
def test_nothing_is_read_beyond_the_parts(cols: int, dtype: DType, each_level: Any) -> None:
    for density in (0.0, 0.5, 1.0):
        t = as_bitmask(sparse_integers((25, cols), dtype, density))
        guarded = BitmaskTensor(*map(before_a_guard, (t.values, t.bits, t.row_offsets)), t.shape)
        for batch in (1, 3, 8, 13):
            x = sparse_integers((batch, cols), dtype, seed=1)
            expected = spec.matmul_bitmask(x, t)
            for setting in each_level:
                assert_same_bits(tersor.matmul_bitmask(before_a_guard(x), guarded), expected, f"{batch} rows, {setting}")


@pytest.mark.parametrize("wrong", [0, 7, 8, 30, 31])
@pytest.mark.parametrize("byte", [0x00, 0xFF])
def test_bits_that_ask_for_other_values(byte: int, wrong: int, settings: Any) -> None:
    """The first such row is named, whichever thread finds which; and what is not there is not read."""
    w = sparse_integers((32, 900), np.dtype(np.float32), 0.5)
    t = as_bitmask(w)
    values, bits = before_a_guard(t.values), t.bits.copy()
    bits[wrong:] = byte
    for setting in settings:
        for batch in (1, 9, 17):
            with pytest.raises(ValueError, match=rf"t\.bits and t\.row_offsets disagree .* row {wrong};"):
                tersor.matmul_bitmask(np.ones((batch, 900), np.float32), BitmaskTensor(values, bits, t.row_offsets, t.shape))
                pytest.fail(setting)


def test_first_of_many_wrong_rows(settings: Any) -> None:
    t = as_bitmask(sparse_integers((3000, 500), np.dtype(np.float32), 0.5))
    bits = t.bits.copy()
    bits[[2990, 1703, 611, 2048]] = 0xFF
    for _ in settings:
        with pytest.raises(ValueError, match=r"row 611;"):
            tersor.matmul_bitmask(np.ones((1, 500), np.float32), BitmaskTensor(t.values, bits, t.row_offsets, t.shape))


@pytest.mark.parametrize("place, offset", [(0, 1), (0, -1), (3, 0), (5, 2**62), (5, -(2**63)), (9, 10**9)])
def test_offsets_out_of_order(place: int, offset: int, each_level: Any) -> None:
    t = as_bitmask(sparse_integers((10, 100), np.dtype(np.float32)))
    offsets = t.row_offsets.copy()
    offsets[place] = offset
    out = np.full((2, 10), 7, np.float32)
    for _ in each_level:
        with pytest.raises(ValueError, match=r"t\.row_offsets must begin with 0, never decrease"):
            tersor.matmul_bitmask(np.ones((2, 100), np.float32), BitmaskTensor(t.values, t.bits, offsets, t.shape), out=out)
        assert (out == 7).all()
