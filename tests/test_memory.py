"""Outputs too large for the cache, which go out by streaming stores; and what calls leave behind."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tersor
from conftest import LEVELS, needs_plain_build
from inputs import sparse_values, without_negative_zeros
from layouts import Array, assert_same_bits, at_offset, bits, spec, unsigned
from operations import Operation, case_name, cases
from tersor import _core

DType = np.dtype[Any]
MOST_BYTES = 1 << 29


def streaming_bytes() -> int:
    """More than half of the last-level cache, as the C library or the kernel tells it, whichever is more."""
    told = subprocess.run(["getconf", "LEVEL3_CACHE_SIZE"], capture_output=True, text=True, check=False).stdout.strip()
    return max(int(told) if told.isdigit() else 0, 32 << 20) // 2 + (1 << 20)


class Repeated:
    """A block of rows, repeated until the output is large. The inputs take the memory of one block."""

    def __init__(self, operation: Operation, dtype: DType, cols: int = 10_007) -> None:
        self.block_shape = (8, cols)
        self.dtype, self.operation = dtype, operation
        arrays = operation.make(self.block_shape, dtype)
        self.expected = operation.expected(arrays, self.block_shape, dtype)
        self.count = streaming_bytes() // self.expected[0].nbytes + 1
        self.shape = (self.count, *self.block_shape)
        self.arrays = [np.broadcast_to(array, (self.count, *array.shape)) for array in arrays]

    def outputs(self, offset: int) -> tuple[Array, ...]:
        return tuple(at_offset(np.broadcast_to(array, (self.count, *array.shape)), offset) for array in self.expected)

    def run_into(self, outputs: tuple[Array, ...]) -> None:
        for output in outputs:
            output.view(np.uint8)[...] = 0xEE
        self.operation.run(self.arrays, self.shape, self.dtype, out=outputs if len(outputs) > 1 else outputs[0])


@pytest.fixture(autouse=True)
def room_for_it() -> None:
    if streaming_bytes() > MOST_BYTES:
        pytest.skip(f"an output larger than this machine's cache would take {streaming_bytes() >> 20} MiB")


# What is much smaller than the inputs is not streamed: a number a unit or a row, a product with a few rows of weights.
STREAMED = [
    (operation, dtype)
    for operation, dtype in cases()
    if dtype.name in ("float32", "uint8")
    and not operation.whole
    and not {operation.family, operation.name} & {"structured", "matmul", "logsumexp"}
]


@pytest.mark.parametrize("count", [1, 3])
def test_sparse_arrays_that_are_compressed(count: int, each_level: Any) -> None:
    """Half of them zero: the values alone are too large for the cache. Blocks of them begin anywhere within a line."""
    tersor.set_num_threads(count)
    block = sparse_values((8, 10_007), np.float32)
    w = np.tile(block, (2 * streaming_bytes() // block.nbytes + 1, 1))
    values, dense = np.tile(block[block != 0], len(w) // 8), without_negative_zeros(w)
    for setting in each_level:
        t = tersor.compress_bitmask(w)
        assert_same_bits(t.values, values, setting)
        assert_same_bits(tersor.decompress_bitmask(t), dense, setting)


@pytest.mark.parametrize("cols", [10_008, 10_016])
def test_groups_that_are_compressed(cols: int, each_level: Any) -> None:
    """Their values alone are too large for the cache. Rows of them begin anywhere within a line, or each with one."""
    block = tersor.prune_nm(sparse_values((8, cols), np.float32, 0.1), 2, 4)
    repeats = 2 * streaming_bytes() // block.nbytes + 1
    values, packed = spec.compress_24(block)
    for setting in each_level:
        got = tersor.compress_24(np.tile(block, (repeats, 1)))
        assert_same_bits(got[0], np.tile(values, (repeats, 1)), setting)
        assert_same_bits(got[1], np.tile(packed, (repeats, 1)), setting)


@pytest.mark.parametrize(("operation", "dtype"), STREAMED, ids=case_name)
def test_same_bits_as_small_outputs(operation: Operation, dtype: DType) -> None:
    """Rows of an odd length start at every place within a cache line."""
    repeated = Repeated(operation, dtype)
    outputs = repeated.outputs(offset=repeated.expected[0].itemsize)
    for level in LEVELS:
        _core.set_cpu_level(level)
        repeated.run_into(outputs)
        for output, wanted in zip(outputs, repeated.expected, strict=True):
            wrong = output.view(unsigned(output.dtype)) != bits(wanted)
            assert not wrong.any(), f"{level}: first at {np.argwhere(wrong)[0]}"


def test_misaligned_outputs() -> None:
    """At an odd byte no store can be a streaming one."""
    operation, dtype = STREAMED[0]
    repeated = Repeated(operation, dtype)
    outputs = repeated.outputs(offset=1)
    for level in LEVELS:
        _core.set_cpu_level(level)
        repeated.run_into(outputs)
        assert (outputs[0].view(np.uint32) == bits(repeated.expected[0])).all(), level


def test_large_in_place() -> None:
    """In place the lines are in the cache already: ordinary stores."""
    count = streaming_bytes() // 4
    w = np.tile(np.array([0.1, -0.9, 0.0, 2.0, -0.2], np.float32), count // 5 + 1)
    tersor.prune_threshold(w, 0.5, out=w)
    assert (w.reshape(-1, 5) == np.array([0, -0.9, 0, 2, 0], np.float32)).all()


@needs_plain_build
def test_memory_of_outputs_is_given_back() -> None:
    """200 results of 4 MiB, each dropped at once."""
    code = (
        "import os, numpy as np, tersor\n"
        "def rss(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGESIZE') / 2**20\n"
        "w = np.ones(1 << 20, np.float32)\n"
        "for _ in range(20): tersor.prune_threshold(w, 0.5)\n"
        "before = rss()\n"
        "for _ in range(200):\n"
        "    tersor.prune_threshold(w, 0.5); tersor.softmax(w.reshape(64, -1)); tersor.quantize_int8(w)\n"
        "print(rss() - before)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 30
