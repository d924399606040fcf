"""compress: sparse arrays as their nonzero entries, against tersor.reference, compressed-tensors 0.12.2 and scipy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tersor
from conftest import needs_plain_build
from inputs import sparse_values, without_negative_zeros
from layouts import FLOATS, SHAPES, Array, assert_same_bits, at_offset, each_layout, spec
from tersor import BitmaskTensor

Settings = Any
FLOAT_TYPES = [np.dtype(dtype) for dtype in FLOATS.values()]


def assert_compressed(t: BitmaskTensor, w: Array, context: str) -> None:
    values, bits, row_offsets = spec.compress_bitmask(w)
    assert t.shape == w.shape
    assert_same_bits(t.values, values, context)
    assert_same_bits(t.bits, bits, context)
    assert_same_bits(t.row_offsets, row_offsets, context)


@pytest.mark.parametrize("dtype", FLOAT_TYPES, ids=str)
class TestBitmask:
    def test_shapes(self, dtype: Any, each_level: Settings) -> None:
        for shape in (shape for shape in SHAPES if shape):
            w = sparse_values(shape, dtype)
            for setting in each_level:
                t = tersor.compress_bitmask(w)
                assert_compressed(t, w, f"{shape}, {setting}")
                dense = spec.decompress_bitmask(t.values, t.bits, shape)
                assert_same_bits(tersor.decompress_bitmask(t), dense, f"{shape}, {setting}")

    @pytest.mark.parametrize("cols", [1, 15, 16, 17, 63, 64, 65, 200])
    def test_row_sizes(self, dtype: Any, cols: int, each_level: Settings) -> None:
        for sparsity in (0.0, 0.5, 0.95, 1.0):
            w = sparse_values((9, cols), dtype, sparsity)
            for setting in each_level:
                t = tersor.compress_bitmask(w)
                assert_compressed(t, w, f"{sparsity}, {setting}")
                assert_same_bits(tersor.decompress_bitmask(t), without_negative_zeros(w), f"{sparsity}, {setting}")

    @pytest.mark.parametrize("shape", [(700_001,), (3, 300_007), (1009, 701)], ids=str)
    def test_many_chunks(self, dtype: Any, shape: tuple[int, ...], settings: Settings) -> None:
        """Rows that are cut, and blocks that wait for one another."""
        w = sparse_values(shape, dtype)
        expected = spec.compress_bitmask(w)
        dense = without_negative_zeros(w)
        out = np.empty_like(w)
        for setting in settings:
            t = tersor.compress_bitmask(w)
            for part, wanted in zip((t.values, t.bits, t.row_offsets), expected, strict=True):
                assert_same_bits(part, wanted, setting)
            assert_same_bits(tersor.decompress_bitmask(t, out=out), dense, setting)

    def test_layouts(self, dtype: Any, settings: Settings) -> None:
        w = sparse_values((6, 50, 701), dtype)
        expected, dense = spec.compress_bitmask(w), without_negative_zeros(w)
        for name, arranged in each_layout(w):
            for setting in settings:
                t = tersor.compress_bitmask(arranged)
                for part, wanted in zip((t.values, t.bits, t.row_offsets), expected, strict=True):
                    assert_same_bits(part, wanted, f"{name}, {setting}")
        t = tersor.compress_bitmask(w)
        for name, out in each_layout(np.ones_like(w)):
            if out.flags.writeable:
                for setting in settings:
                    assert_same_bits(tersor.decompress_bitmask(t, out=out), dense, f"to {name}, {setting}")


def test_every_pattern_of_16_columns(each_level: Settings) -> None:
    """All 65,536 masks a group of lanes can have, as rows, and at another place of a longer row."""
    mask = (np.arange(1 << 16)[:, None] >> np.arange(16) & 1).astype(bool)
    for dtype in FLOAT_TYPES:
        w = np.where(mask, np.arange(1, 17), 0).astype(dtype)
        for dense in (w, np.pad(w, ((0, 0), (5, 2)), constant_values=1)):
            for setting in each_level:
                t = tersor.compress_bitmask(dense)
                assert_compressed(t, dense, f"{dtype}, {setting}")
                assert_same_bits(tersor.decompress_bitmask(t), dense, f"{dtype}, {setting}")


def test_nothing_is_written_behind_the_values(each_level: Settings) -> None:
    """Blocks lie side by side in memory: each must end where the next begins, whatever order they end in."""
    for seed in range(5):
        w = sparse_values((257, 1031), np.float32, 0.9, seed)
        tersor.set_num_threads(7)
        for setting in each_level:
            assert_compressed(tersor.compress_bitmask(w), w, setting)


def test_values_in_memory_of_the_caller_s(settings: Settings) -> None:
    """Exactly enough room, more, and too little, which leaves the rest alone."""
    w = sparse_values((300, 1201), np.float32)
    nonzeros = int(np.count_nonzero(w))
    for setting in settings:
        for room in (nonzeros, w.size):
            out = np.full(room, 7, np.float32)
            t = tersor.compress_bitmask(w, out=out)
            assert np.shares_memory(t.values, out)
            assert_compressed(t, w, setting)
            assert (out[nonzeros:] == 7).all()
        memory = np.full(nonzeros + 63, 7, np.float32)
        with pytest.raises(ValueError, match=rf"out has room for {nonzeros - 1} values, but w has {nonzeros} nonzero"):
            tersor.compress_bitmask(w, out=memory[: nonzeros - 1])
        assert (memory[nonzeros - 1 :] == 7).all()


def test_what_it_takes() -> None:
    w = sparse_values((128, 512), np.float16, 0.75)
    t = tersor.compress_bitmask(w)
    nonzeros = int(np.count_nonzero(w))
    assert t.nbytes == 2 * nonzeros + 128 * 64 + 128 * 8
    assert t.nonzeros == nonzeros
    assert t.sparsity == tersor.sparsity(w)


def test_bits_that_disagree_are_found(settings: Settings) -> None:
    w = sparse_values((700, 901), np.float32)
    for row in (0, 350, 699):
        t = tersor.compress_bitmask(w)
        t.bits[row, 3] ^= 4
        for setting in settings:
            with pytest.raises(ValueError, match=rf"t\.bits.*row {row}\b"):
                tersor.decompress_bitmask(t)
            assert setting


def test_bits_of_a_long_row_that_disagree_are_found(settings: Settings) -> None:
    t = tersor.compress_bitmask(sparse_values((1, 900_001), np.float32))
    for place in (0, 60_000, -1):
        bits = t.bits.copy()
        bits[0, place] ^= 1
        for setting in settings:
            with pytest.raises(ValueError, match=r"t\.bits.*row 0\b"):
                tersor.decompress_bitmask(BitmaskTensor(t.values, bits, t.row_offsets, t.shape))
            assert setting


@needs_plain_build
def test_memory_is_used_for_what_is_stored_alone() -> None:
    """A tenth of 400 MB: the values' arrays ask for addresses, not for memory."""
    script = (
        "import numpy as np, resource, tersor\n"
        "w = np.zeros((1000, 100_000), np.float32); w[:, ::10] = 1\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "t = tersor.compress_bitmask(w)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, t.nbytes // 1024)"
    )
    environment = {**os.environ, "TERSOR_NUM_THREADS": "2"}
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    ).stdout
    peak, stored = map(int, output.split())
    assert peak < stored + 16 * 1024, f"{peak} KiB for {stored} KiB"


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_compressed_tensors_has_these_bytes(name: str) -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("compressed_tensors.compressors.sparse_compressors.sparse_bitmask")
    w = torch.randn(67, 203, dtype=getattr(torch, name)) * (torch.rand(67, 203) < 0.4)
    w[0, :5] = -0.0
    w[1, 2] = torch.nan
    theirs = package.BitmaskTensor.from_dense(w).dict("w")
    t = tersor.compress_bitmask(w)
    for ours, key in ((t.values, "w.compressed"), (t.bits, "w.bitmask"), (t.row_offsets, "w.row_offsets")):
        assert ours.dtype == theirs[key].dtype
        assert torch.equal(ours.contiguous().view(torch.uint8), theirs[key].contiguous().view(torch.uint8)), key
    assert list(t.shape) == theirs["w.shape"].tolist()
    restored = package.bitmask_decompress(t.values, t.bits, w.shape)
    assert torch.equal(tersor.decompress_bitmask(t).view(torch.uint8), restored.view(torch.uint8))


def test_frameworks_agree(framework: Any) -> None:
    w = sparse_values((5, 77), np.float32)
    t = tersor.compress_bitmask(framework.array(w))
    ours = BitmaskTensor(*(framework.numpy(part) for part in (t.values, t.bits, t.row_offsets)), t.shape)
    assert_compressed(ours, w, "")
    assert_same_bits(framework.numpy(tersor.decompress_bitmask(t)), without_negative_zeros(w))
    values, columns, pointers = tersor.bitmask_to_csr(t)
    again = tersor.bitmask_from_csr(values, columns, pointers, t.shape)
    assert_same_bits(framework.numpy(again.bits), ours.bits)


# --- compressed rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_compressed_rows_as_scipy_has_them(dtype: str, settings: Settings) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    for shape in ((301, 999), (1, 70_001), (70_001, 1), (0, 5), (5, 0)):
        w = sparse_values(shape, np.float32, 0.8)
        theirs = sparse.csr_array(w)
        t = tersor.compress_bitmask(w)
        for setting in settings:
            values, columns, pointers = tersor.bitmask_to_csr(t, dtype=dtype)
            assert values is t.values
            assert columns.dtype == pointers.dtype == dtype
            assert np.array_equal(columns, theirs.indices), setting
            assert np.array_equal(pointers, theirs.indptr), setting
            again = tersor.bitmask_from_csr(theirs.data, columns, pointers, shape)
            assert_compressed(again, w, setting)


def test_arrays_at_any_byte(each_level: Settings) -> None:
    w = sparse_values((40, 333), np.float64, 0.5)
    t = tersor.compress_bitmask(w)
    for offset in (1, 3, 7):
        shifted = BitmaskTensor(*(at_offset(part, offset) for part in (t.values, t.bits, t.row_offsets)), t.shape)
        parts = [at_offset(part, offset) for part in tersor.bitmask_to_csr(t, dtype="int32")]
        for setting in each_level:
            assert_same_bits(tersor.decompress_bitmask(shifted), without_negative_zeros(w), setting)
            assert_compressed(tersor.compress_bitmask(at_offset(w, offset), out=at_offset(t.values, offset)), w, setting)
            assert_compressed(tersor.bitmask_from_csr(*parts, t.shape), w, setting)


def test_zeros_of_compressed_rows_are_left_out(settings: Settings) -> None:
    w = sparse_values((200, 333), np.float64, 0.5)
    stored = np.random.default_rng(3).random(w.shape) < 0.7  # zeros among them
    w[~stored] = 0
    pointers = np.append(0, stored.sum(axis=1).cumsum())
    for setting in settings:
        t = tersor.bitmask_from_csr(w[stored], np.ascontiguousarray(np.nonzero(stored)[1]), pointers, w.shape)
        assert_compressed(t, w, setting)


@pytest.mark.parametrize("block", [(2, 3), (4, 4), (1, 8)], ids=str)
def test_block_rows_by_way_of_scipy(block: tuple[int, int]) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    w = np.kron(np.nan_to_num(sparse_values((20, 30), np.float32, 0.7), posinf=1, neginf=-1), np.ones(block, np.float32))
    w[0, :2] = [0, 5]  # a block with a zero
    t = tersor.compress_bitmask(w)
    values, columns, pointers = tersor.bitmask_to_csr(t, dtype="int32")
    blocks = sparse.csr_array((values, columns, pointers), t.shape).tobsr(blocksize=block)
    assert np.array_equal(blocks.toarray(), w)
    rows = blocks.tocsr()
    rows.sort_indices()
    again = tersor.bitmask_from_csr(rows.data, rows.indices, rows.indptr, rows.shape)
    assert_compressed(again, w, "")


@pytest.mark.filterwarnings("ignore:Sparse")
def test_torch_sparse_matrices() -> None:
    torch = pytest.importorskip("torch")
    w = torch.from_numpy(np.nan_to_num(sparse_values((12, 40), np.float32, 0.8), posinf=1, neginf=-1))
    t = tersor.compress_bitmask(w)
    values, columns, pointers = tersor.bitmask_to_csr(t)
    assert values.data_ptr() == t.values.data_ptr()
    matrix = torch.sparse_csr_tensor(pointers, columns, values, t.shape)
    assert torch.equal(matrix.to_dense(), w)
    theirs = w.to_sparse_csr()
    again = tersor.bitmask_from_csr(theirs.values(), theirs.col_indices(), theirs.crow_indices(), theirs.shape)
    assert torch.equal(again.bits, t.bits)
    assert torch.equal(again.row_offsets, t.row_offsets)
    blocks = matrix.to_sparse_bsr((4, 5))
    assert torch.equal(blocks.to_dense(), w)
    rows = blocks.to_sparse_coo().to_sparse_csr()
    again = tersor.bitmask_from_csr(rows.values(), rows.col_indices(), rows.crow_indices(), rows.shape)
    assert torch.equal(again.bits, t.bits)
    assert torch.equal(again.values, t.values)


# --- interruption and failure: no block waits for one that will not come -----------------------------------------------


def test_a_loop_that_fails_is_left(settings: Settings) -> None:
    """Every row is wrong, each found by another thread."""
    w = np.ones((4000, 400), np.float32)
    t = tersor.compress_bitmask(w)
    bits = np.zeros_like(t.bits)
    for setting in settings:
        with pytest.raises(ValueError, match="row 0"):
            tersor.decompress_bitmask(BitmaskTensor(t.values, bits, t.row_offsets, t.shape))
        assert setting


def test_calls_side_by_side(settings: Settings) -> None:
    """Several threads of the host, more than there are cores: blocks wait for blocks of their own call."""
    from concurrent.futures import ThreadPoolExecutor

    arrays = [sparse_values((500, 1203), np.float32, 0.5, seed) for seed in range(6)]
    for setting in itertools.islice(settings, 4):
        with ThreadPoolExecutor(6) as pool:
            for t, w in zip(pool.map(tersor.compress_bitmask, arrays), arrays, strict=True):
                assert_compressed(t, w, setting)
