"""compress: n of every m entries, against tersor.reference, compressed-tensors 0.12.2 and torch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tersor
from layouts import FLOATS, Array, assert_same_bits, each_layout, random_values, spec, special_values

Settings = Any
FLOAT_TYPES = [np.dtype(dtype) for dtype in FLOATS.values()]
CUTLASS_TYPES = [dtype for dtype in FLOAT_TYPES if dtype != np.float64]
SHAPES = [(5, 8), (3, 4), (7, 60), (2, 3, 132), (64, 256), (8,), (0, 8), (3, 0)]


def values_of(shape: tuple[int, ...], dtype: Any, seed: int) -> Array:
    w = random_values(shape, dtype, seed, special_values(dtype))
    with np.errstate(invalid="ignore"):
        return np.where(w == 0, dtype.type(1), w).astype(dtype)


def pattern_values(shape: tuple[int, ...], dtype: Any, n: int, m: int, seed: int = 0) -> Array:
    """0 to n nonzeros in every group, zeros of both signs."""
    rng = np.random.default_rng(seed)
    groups = -(-shape[-1] // m)
    order = np.argsort(rng.random((*shape[:-1], groups, m)), axis=-1)
    kept = order < rng.integers(0, n + 1, (*shape[:-1], groups, 1))
    kept = kept.reshape(*shape[:-1], groups * m)[..., : shape[-1]]
    zeros = np.where(rng.random(shape) < 0.5, 0.0, -0.0).astype(dtype)
    return np.where(kept, values_of(shape, np.dtype(dtype), seed), zeros).astype(dtype)


def same_numbers(a: Array, b: Array) -> bool:
    """But for the sign of zeros, which are not all stored."""
    with np.errstate(invalid="ignore"):
        return np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True)


@pytest.mark.parametrize("dtype", FLOAT_TYPES, ids=str)
class TestBitmaskLayout:
    def test_shapes(self, dtype: Any, settings: Settings) -> None:
        for shape in SHAPES:
            w = pattern_values(shape, dtype, 2, 4)
            values, bits = spec.compress_24(w)
            dense = spec.decompress_24(values, bits)
            for setting in settings:
                ours = tersor.compress_24(w)
                assert_same_bits(ours[0], values, f"{shape}, {setting}")
                assert_same_bits(ours[1], bits, f"{shape}, {setting}")
                assert_same_bits(tersor.decompress_24(*ours), dense, f"{shape}, {setting}")
            assert same_numbers(dense, w)

    def test_layouts(self, dtype: Any, each_level: Settings) -> None:
        w = pattern_values((40, 60, 72), dtype, 2, 4)
        expected = spec.compress_24(w)
        dense = spec.decompress_24(*expected)
        for name, arranged in each_layout(w):
            for setting in each_level:
                for part, wanted in zip(tersor.compress_24(arranged), expected, strict=True):
                    assert_same_bits(part, wanted, f"{name}, {setting}")
        for name, out in each_layout(np.ones_like(w)):
            if out.flags.writeable:
                assert_same_bits(tersor.decompress_24(*expected, out=out), dense, name)


def every_group() -> Array:
    """All groups of four with at most two nonzeros, distinct ones, eight to a row in every order of neighbours."""
    groups = [g for g in itertools.product((0, 1), repeat=4) if sum(g) <= 2]
    pairs = np.array([a + b for a in groups for b in groups])
    return np.tile(pairs * np.arange(1, 9), (1, 4))


@pytest.mark.parametrize("layout", ["bitmask", "cutlass"])
def test_every_group(layout: str, each_level: Settings) -> None:
    w = every_group()
    w = np.concatenate([w, np.zeros((-len(w) % 32, w.shape[1]))])
    for dtype in (np.float16, np.float64) if layout == "bitmask" else (np.float16,):
        for setting in each_level:
            parts = tersor.compress_24(w.astype(dtype), layout=layout)
            for ours, wanted in zip(parts, spec.compress_24(w.astype(dtype), layout), strict=True):
                assert_same_bits(ours, wanted, setting)
            assert np.array_equal(tersor.decompress_24(*parts, layout=layout), w), setting


@pytest.mark.parametrize("layout", ["bitmask", "cutlass"])
@pytest.mark.parametrize("overfull", [g for g in itertools.product((0, 1), repeat=4) if sum(g) > 2], ids=str)
def test_groups_with_too_many(overfull: tuple[int, ...], layout: str, settings: Settings) -> None:
    w = pattern_values((64, 256), np.dtype(np.float16), 2, 4)
    w[40, 96:100] = overfull
    w[50] = 1
    for setting in settings:
        with pytest.raises(ValueError, match=r"w is not 2:4: w\[40, 96:100\].*prune_nm\(w, 2, 4\)"):
            tersor.compress_24(w, layout=layout)
        assert setting


def test_pairs_with_two(settings: Settings) -> None:
    w = pattern_values((32, 64), np.dtype(np.float32), 1, 2)
    w[31, 62:] = 1
    for setting in settings:
        with pytest.raises(ValueError, match=r"w is not 1:2: w\[31, 62:64\] has more than 1 nonzero entry"):
            tersor.compress_24(w, layout="cutlass")
        assert setting


@pytest.mark.parametrize("dtype", CUTLASS_TYPES, ids=str)
@pytest.mark.parametrize("shape", [(32, 32), (64, 96), (96, 32), (32, 288), (0, 32), (32, 0), (128, 1024)], ids=str)
def test_cutlass_layout(dtype: Any, shape: tuple[int, int], settings: Settings) -> None:
    w = pattern_values(shape, dtype, *((1, 2) if dtype == np.float32 else (2, 4)))
    expected = spec.compress_24(w, "cutlass")
    dense = spec.decompress_24(*expected, "cutlass")
    assert same_numbers(dense, w)
    for setting in settings:
        parts = tersor.compress_24(w, layout="cutlass")
        for ours, wanted in zip(parts, expected, strict=True):
            assert_same_bits(ours, wanted, setting)
        assert_same_bits(tersor.decompress_24(*parts, layout="cutlass"), dense, setting)


@pytest.mark.parametrize("code", range(16))
def test_codes_that_name_no_two_places(code: int, each_level: Settings) -> None:
    values, metadata = tersor.compress_24(np.zeros((32, 64), np.float16), layout="cutlass")
    metadata.reshape(-1).view(np.uint16)[70] &= 0xFF0F
    metadata.reshape(-1).view(np.uint16)[70] |= code << 4
    valid = (code & 3) < (code >> 2)
    for setting in each_level:
        if valid:
            assert not tersor.decompress_24(values, metadata, layout="cutlass").any(), setting
        else:
            with pytest.raises(ValueError, match=r"metadata.*row \d+.*compress the array again"):
                tersor.decompress_24(values, metadata, layout="cutlass")


def test_bits_of_another_count_are_found(each_level: Settings) -> None:
    values, bits = tersor.compress_24(pattern_values((20, 72), np.dtype(np.float32), 2, 4))
    bits[13, 8] ^= 16
    for setting in each_level:
        with pytest.raises(ValueError, match=r"metadata.*row 13\b"):
            tersor.decompress_24(values, bits)
        assert setting


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_torch_has_these_bytes(name: str) -> None:
    """Numbers alone: torch writes NaN of its own. It moves float32 as pairs of float16, and sets a bit where one of these
    looks like a signaling NaN: not here, where the lower halves are 0."""
    torch = pytest.importorskip("torch")
    conversions = pytest.importorskip("torch.sparse._semi_structured_conversions")
    torch.manual_seed(0)
    w = torch.randn(96, 224).to(torch.bfloat16).to(getattr(torch, name))
    w[3, ::2] = torch.inf
    w[torch.rand(96, 224) < 0.3] = -0.0
    w = tersor.prune_nm(w, *((1, 2) if name == "float32" else (2, 4)))
    theirs = conversions.sparse_semi_structured_from_dense_cutlass(w)
    ours = tersor.compress_24(w, layout="cutlass")
    for part, wanted in zip(ours, theirs, strict=True):
        assert part.dtype == wanted.dtype
        assert torch.equal(part.view(torch.uint8), wanted.view(torch.uint8))
    restored = conversions.sparse_semi_structured_to_dense_cutlass(*ours)
    assert torch.equal(tersor.decompress_24(*ours, layout="cutlass").view(torch.uint8), restored.view(torch.uint8))


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_compressed_tensors_has_these_bytes(name: str) -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("compressed_tensors.compressors.sparse_compressors.sparse_24_bitmask")
    w = torch.randn(67, 204, dtype=getattr(torch, name))
    w = w * package.get_24_bytemasks(w) * (torch.rand(67, 204) < 0.8)
    w[3, :4] = torch.tensor([0, torch.nan, 0, torch.inf])
    theirs = package.Sparse24BitMaskTensor.from_dense(w)
    values, bits = tersor.compress_24(w)
    assert torch.equal(values.view(torch.uint8), theirs.compressed.view(torch.uint8))
    assert torch.equal(bits, theirs.bitmask)
    assert torch.equal(tersor.decompress_24(values, bits).view(torch.uint8), theirs.decompress().view(torch.uint8))


# --- n of m ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOAT_TYPES, ids=str)
@pytest.mark.parametrize("n, m", [(1, 2), (2, 4), (1, 3), (4, 8), (3, 7), (5, 16), (31, 32), (1, 32), (16, 17)])
def test_nm(dtype: Any, n: int, m: int, settings: Settings) -> None:
    for shape in ((3, m), (5, 4 * m + 1), (2, 3, 7 * m - 1), (1, 3), (70, 999), (m - 1,), (0, m), (2, 0)):
        w = pattern_values(shape, dtype, n, m)
        expected = spec.compress_nm(w, n, m)
        dense = spec.decompress_nm(*expected, n, m, shape[-1])
        for setting in settings:
            ours = tersor.compress_nm(w, n, m)
            for part, wanted in zip(ours, expected, strict=True):
                assert_same_bits(part, wanted, f"{shape}, {setting}")
            assert_same_bits(tersor.decompress_nm(*ours, n, m, shape[-1]), dense, f"{shape}, {setting}")
        assert same_numbers(dense, w)


@pytest.mark.parametrize("m", [2, 3, 4, 8])
def test_every_group_of_m(m: int, each_level: Settings) -> None:
    """All patterns, each of which is n:m for its own count of nonzeros and all above."""
    patterns = (np.arange(1 << m)[:, None] >> np.arange(m) & 1) * np.arange(1, m + 1)
    for n in range(1, m):
        fitting = patterns[(patterns != 0).sum(axis=1) <= n].astype(np.float32)
        for w in (fitting, fitting.reshape(1, -1)):
            for setting in each_level:
                ours = tersor.compress_nm(w, n, m)
                for part, wanted in zip(ours, spec.compress_nm(w, n, m), strict=True):
                    assert_same_bits(part, wanted, f"{n}:{m}, {setting}")
                assert_same_bits(tersor.decompress_nm(*ours, n, m, w.shape[-1]), w, f"{n}:{m}, {setting}")
        for row in patterns[(patterns != 0).sum(axis=1) > n].astype(np.float32):
            with pytest.raises(ValueError, match=rf"w is not {n}:{m}"):
                tersor.compress_nm(row, n, m)


def test_what_pruning_keeps_is_stored(each_level: Settings) -> None:
    w = values_of((30, 203), np.dtype(np.float32), 4)
    for n, m in ((2, 4), (5, 9)):
        for setting in each_level:
            pruned = tersor.prune_nm(w, n, m)
            assert_same_bits(tersor.decompress_nm(*tersor.compress_nm(pruned, n, m), n, m, 203), pruned, setting)


@pytest.mark.parametrize("places", [[2, 1], [1, 1], [0, 3]], ids=str)
def test_places_that_do_not_ascend_or_are_not_there(places: list[int]) -> None:
    values, indices = np.float32([[1, 2]]), np.uint8([[places[0] | places[1] << 2]])
    with pytest.raises(ValueError, match=r"indices.*row 0"):
        tersor.decompress_nm(values, indices, 2, 3, 3)


def test_outputs_of_the_caller_s(each_level: Settings) -> None:
    w = pattern_values((32, 64), np.dtype(np.float16), 2, 4)
    for setting in each_level:
        for layout in ("bitmask", "cutlass"):
            expected = spec.compress_24(w, layout)
            out = tuple(np.full_like(part, 1) for part in expected)
            assert all(a is b for a, b in zip(tersor.compress_24(w, layout=layout, out=out), out, strict=True))
            for part, wanted in zip(out, expected, strict=True):
                assert_same_bits(part, wanted, setting)
        expected = spec.compress_nm(w, 2, 4)
        out = tuple(np.full_like(part, 1) for part in expected)
        assert all(a is b for a, b in zip(tersor.compress_nm(w, 2, 4, out=out), out, strict=True))
        for part, wanted in zip(out, expected, strict=True):
            assert_same_bits(part, wanted, setting)


def test_frameworks_agree(framework: Any) -> None:
    w = pattern_values((32, 64), np.dtype(np.float16), 2, 4)
    for layout in ("bitmask", "cutlass"):
        parts = tersor.compress_24(framework.array(w), layout=layout)
        for part, wanted in zip(parts, spec.compress_24(w, layout), strict=True):
            assert_same_bits(framework.numpy(part), wanted)
        dense = spec.decompress_24(*spec.compress_24(w, layout), layout)
        assert_same_bits(framework.numpy(tersor.decompress_24(*parts, layout=layout)), dense)
    for part, wanted in zip(tersor.compress_nm(framework.array(w), 2, 4), spec.compress_nm(w, 2, 4), strict=True):
        assert_same_bits(framework.numpy(part), wanted)
