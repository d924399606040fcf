"""What holds for every operation: the expected bits at each CPU level, thread count, size, shape, address and stride,
new output or old. The test file of a family subclasses this with its own operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from inputs import Shape
from layouts import (
    LAYOUTS,
    ROW_SIZES,
    SHAPES,
    Array,
    assert_same_bits,
    at_offset,
    chunk_sizes,
    large_size,
    layout_pairs,
)
from operations import Operation

DType = np.dtype[Any]


def assert_all_same_bits(results: Iterable[Any], expected: Iterable[Array], context: str) -> None:
    for result, wanted in zip(results, expected, strict=True):
        assert_same_bits(result, wanted, context)


def empty_outputs(expected: tuple[Array, ...], layout: str = "dense") -> tuple[Array, ...]:
    """Writable outputs of the right shapes and dtypes, filled with something else."""
    return tuple(LAYOUTS[layout](np.full_like(array, 1)) for array in expected)


def one_or_pair(outputs: tuple[Any, ...]) -> Any:
    return outputs if len(outputs) > 1 else outputs[0]


class SameBitsEverywhere:
    """Subclass with @pytest.mark.parametrize("operation, dtype", cases(family), ids=case_name)."""

    def test_row_sizes(self, operation: Operation, dtype: DType, each_level: Any) -> None:
        for size in ROW_SIZES:
            arrays = operation.make((size,), dtype)
            expected = operation.expected(arrays, (size,), dtype)
            for setting in each_level:
                assert_all_same_bits(operation.run(arrays, (size,), dtype), expected, f"{size} columns, {setting}")

    def test_shapes(self, operation: Operation, dtype: DType, each_level: Any) -> None:
        for shape in SHAPES:
            if len(shape) < operation.least_ndim:
                continue
            arrays = operation.make(shape, dtype)
            expected = operation.expected(arrays, shape, dtype)
            for setting in each_level:
                assert_all_same_bits(operation.run(arrays, shape, dtype), expected, f"shape {shape}, {setting}")

    def test_sizes_around_chunks(self, operation: Operation, dtype: DType, settings: Any) -> None:
        for size in chunk_sizes(operation.bytes_an_item(dtype)):
            for shape in ((size,), (3, size), (size // 100, 100)):
                arrays = operation.make(shape, dtype)
                expected = operation.expected(arrays, shape, dtype)
                for setting in settings:
                    assert_all_same_bits(operation.run(arrays, shape, dtype), expected, f"shape {shape}, {setting}")

    def test_large(self, operation: Operation, dtype: DType, settings: Any) -> None:
        size = large_size(operation.bytes_an_item(dtype))
        for shape in ((size,), (size // 999, 999)):
            arrays = operation.make(shape, dtype)
            expected = operation.expected(arrays, shape, dtype)
            for setting in settings:
                assert_all_same_bits(operation.run(arrays, shape, dtype), expected, f"shape {shape}, {setting}")

    def test_byte_offsets(self, operation: Operation, dtype: DType, each_level: Any) -> None:
        shape = (3, 201)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for offset in range(64):
            shifted = [at_offset(array, (offset + k) % 64) for k, array in enumerate(arrays)]
            outputs = tuple(at_offset(np.full_like(array, 1), (5 * offset + 1) % 64) for array in expected)
            for setting in each_level:
                operation.run(shifted, shape, dtype, out=one_or_pair(outputs))
                assert_all_same_bits(outputs, expected, f"offset {offset}, {setting}")

    @pytest.mark.parametrize("shape", [(4, 3, 701), (301, 97), (70_000,)], ids=str)
    def test_layouts(self, operation: Operation, dtype: DType, shape: Shape, settings: Any) -> None:
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for layout_in, layout_out in layout_pairs():
            arranged = [LAYOUTS[layout_in](array) for array in arrays]
            outputs = empty_outputs(expected, layout_out)
            for setting in settings:
                operation.run(arranged, shape, dtype, out=one_or_pair(outputs))
                assert_all_same_bits(outputs, expected, f"{layout_in} to {layout_out}, {setting}")

    def test_layouts_mixed_among_inputs(self, operation: Operation, dtype: DType, each_level: Any) -> None:
        shape = (6, 5, 67)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        names = list(LAYOUTS)
        for i in range(len(names)):
            arranged = [LAYOUTS[names[(i + k * 3) % len(names)]](array) for k, array in enumerate(arrays)]
            for setting in each_level:
                assert_all_same_bits(operation.run(arranged, shape, dtype), expected, f"layouts from {names[i]}, {setting}")

    def test_broadcast_inputs(self, operation: Operation, dtype: DType, each_level: Any) -> None:
        shape = (5, 4, 130)
        for axis in range(2):
            arrays = [np.broadcast_to(array.take([-1], axis), array.shape) for array in operation.make(shape, dtype)]
            expected = operation.expected(arrays, shape, dtype)
            for setting in each_level:
                assert_all_same_bits(operation.run(arrays, shape, dtype), expected, f"axis {axis} repeated, {setting}")

    def test_read_only_inputs(self, operation: Operation, dtype: DType) -> None:
        arrays = operation.make((3, 50), dtype)
        for array in arrays:
            array.setflags(write=False)
        assert_all_same_bits(operation.run(arrays, (3, 50), dtype), operation.expected(arrays, (3, 50), dtype), "read-only")

    def test_inputs_unchanged(self, operation: Operation, dtype: DType) -> None:
        arrays = operation.make((3, 50), dtype)
        before = [array.tobytes() for array in arrays]
        operation.run(arrays, (3, 50), dtype)
        assert [array.tobytes() for array in arrays] == before

    def test_out_is_returned(self, operation: Operation, dtype: DType) -> None:
        shape = (3, 50)
        arrays = operation.make(shape, dtype)
        outputs = empty_outputs(operation.expected(arrays, shape, dtype))
        results = operation.run(arrays, shape, dtype, out=one_or_pair(outputs))
        assert len(results) == len(outputs)
        assert all(result is out for result, out in zip(results, outputs, strict=True))

    def test_new_outputs_are_aligned(self, operation: Operation, dtype: DType) -> None:
        """JAX takes CPU memory without a copy only where it is aligned to 64 bytes. Below 16 KiB the alignment would
        cost more than the copy (python/tersor/_outputs.py)."""
        for size in (1, 7, 300, 16_384, 70_001):
            arrays = operation.make((size,), dtype)
            for result in operation.run(arrays, (size,), dtype):
                assert result.ctypes.data % 64 == 0 or result.nbytes < 16_384, f"{size} columns"
                assert result.flags.c_contiguous and result.flags.writeable


class OverlapRefused:
    """An output that lies on memory of an input, other than in place, is a ValueError: the input would change while it
    is read."""

    def test_overlap_is_refused(self, operation: Operation, dtype: DType) -> None:
        shape = (4, 64)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for place, array in enumerate(arrays):
            for which, wanted in enumerate(expected):
                for shift in (0, 1, array.itemsize, 16):
                    may_be_out = operation.in_place_of_any or (operation.in_place and place == 0)
                    if shift >= array.nbytes or (shift == 0 and may_be_out):
                        continue
                    overlapping, output = self._on_one_buffer(array, wanted, shift)
                    inputs = [overlapping if k == place else other for k, other in enumerate(arrays)]
                    outputs = list(empty_outputs(expected))
                    outputs[which] = output
                    before = overlapping.tobytes()
                    with pytest.raises(ValueError, match="overlap"):
                        operation.run(inputs, shape, dtype, out=one_or_pair(tuple(outputs)))
                    assert overlapping.tobytes() == before, "an input was written to"

    def test_output_that_overlaps_itself_is_refused(self, operation: Operation, dtype: DType) -> None:
        """Entries that share memory would be written by several threads, and the last one wins."""
        shape = (4, 64)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for which, wanted in enumerate(expected):
            if wanted.shape[0] == 1:
                continue
            outputs = list(empty_outputs(expected))
            strides = (0, *wanted.strides[1:])
            outputs[which] = np.lib.stride_tricks.as_strided(np.zeros_like(wanted), wanted.shape, strides)
            with pytest.raises(ValueError, match="overlap"):
                operation.run(arrays, shape, dtype, out=one_or_pair(tuple(outputs)))

    @staticmethod
    def _on_one_buffer(array: Array, wanted: Array, shift: int) -> tuple[Array, Array]:
        memory = np.zeros(array.nbytes + wanted.nbytes + 64, np.uint8)
        overlapping = np.ndarray(array.shape, array.dtype, memory)
        overlapping[...] = array
        return overlapping, np.ndarray(wanted.shape, wanted.dtype, memory, shift)


class InPlace:
    """For operations whose output may be their input. Subclass with cases(family, in_place=True)."""

    def test_in_place(self, operation: Operation, dtype: DType, settings: Any) -> None:
        shape = (40, 1001)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for name, arrange in LAYOUTS.items():
            for setting in settings:
                first = arrange(arrays[0])
                (result,) = operation.run([first, *arrays[1:]], shape, dtype, out=first)
                assert result is first
                assert_all_same_bits([first], expected, f"{name}, {setting}")

    def test_same_memory_in_another_order_is_refused(self, operation: Operation, dtype: DType) -> None:
        arrays = operation.make((8, 8), dtype)
        for out in (arrays[0][::-1], arrays[0][:, ::-1], arrays[0].T):
            with pytest.raises(ValueError, match="overlap"):
                operation.run(arrays, (8, 8), dtype, out=out)

    def test_interleaved_memory_is_accepted(self, operation: Operation, dtype: DType, each_level: Any) -> None:
        shape = (9, 65)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for setting in each_level:
            buffer = np.zeros((9, 130), dtype)
            buffer[:, ::2] = arrays[0]
            operation.run([buffer[:, ::2], *arrays[1:]], shape, dtype, out=buffer[:, 1::2])
            assert_all_same_bits([buffer[:, 1::2]], expected, setting)
            assert_same_bits(buffer[:, ::2], arrays[0], "an input was written to")
