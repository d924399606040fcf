"""Arrays of other frameworks: torch, DLPack producers old and new, and NumPy's own odd kinds."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from dlpack_capsules import READ_ONLY, HandMade, OldProducer, Producer, packed_bfloat16
from layouts import FLOATS, LAYOUTS, as_numpy, assert_same_bits, at_offset, random_values, spec
from operations import Operation, case_name, cases

torch = pytest.importorskip("torch", reason="torch is not installed")

DType = np.dtype[Any]
ROOT = Path(__file__).resolve().parent.parent


def to_torch(array: Any) -> Any:
    """torch over the same memory; it takes neither negative strides nor addresses that are no multiple of the item
    size."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


# --- torch -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation, dtype", cases(), ids=case_name)
class TestTorch:
    def test_same_bits_as_numpy(self, operation: Operation, dtype: DType) -> None:
        for shape in ((70_001,), (5, 7, 33)):
            arrays = operation.make(shape, dtype)
            expected = operation.expected(arrays, shape, dtype)
            results = operation.run([to_torch(array) for array in arrays], shape, dtype)
            for result, wanted in zip(results, expected, strict=True):
                assert type(result) is torch.Tensor
                assert_same_bits(result, wanted)

    def test_strided(self, operation: Operation, dtype: DType) -> None:
        shape = (6, 5, 67)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for name in (
            "column order",
            "every second",
            "every third of the first axis",
            "inside a larger array",
            "rotated axes",
        ):
            outputs = [to_torch(LAYOUTS[name](np.full_like(wanted, 1))) for wanted in expected]
            out = tuple(outputs) if len(outputs) > 1 else outputs[0]
            results = operation.run([to_torch(LAYOUTS[name](array)) for array in arrays], shape, dtype, out=out)
            for result, output, wanted in zip(results, outputs, expected, strict=True):
                assert result is output
                assert_same_bits(result, wanted, name)

    def test_expanded(self, operation: Operation, dtype: DType) -> None:
        shape = (4, 130)
        tensors = [to_torch(array[:1]).expand(array.shape) for array in operation.make(shape, dtype)]
        expected = operation.expected([as_numpy(tensor) for tensor in tensors], shape, dtype)
        for result, wanted in zip(operation.run(tensors, shape, dtype), expected, strict=True):
            assert_same_bits(result, wanted)

    def test_mixed_frameworks(self, operation: Operation, dtype: DType) -> None:
        """What counts is the memory: out may be of another framework than the input."""
        shape = (3, 70)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for inside, outside in ((to_torch, np.asarray), (np.asarray, to_torch)):
            outputs = [outside(np.full_like(wanted, 1)) for wanted in expected]
            operation.run(
                [inside(array) for array in arrays],
                shape,
                dtype,
                out=tuple(outputs) if len(outputs) > 1 else outputs[0],
            )
            for output, wanted in zip(outputs, expected, strict=True):
                assert_same_bits(output, wanted)

    def test_empty_tensors(self, operation: Operation, dtype: DType) -> None:
        """A tensor without elements has a null pointer."""
        for shape in ((0,), (3, 0), (0, 5)):
            arrays = operation.make(shape, dtype)
            for result, wanted in zip(
                operation.run([to_torch(a) for a in arrays], shape, dtype),
                operation.expected(arrays, shape, dtype),
                strict=True,
            ):
                assert_same_bits(result, wanted)


class TestTorchState:
    def test_parameter_outside_autograd(self) -> None:
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 40))
        with torch.no_grad():
            result = tersor.prune_threshold(parameter, 0.5)
        assert type(result) is torch.Tensor and not result.requires_grad
        assert_same_bits(result, spec.prune_threshold(parameter.detach().numpy(), 0.5))
        assert_same_bits(tersor.prune_threshold(parameter.detach(), 0.5), as_numpy(result))
        with torch.no_grad():
            assert tersor.prune_threshold(parameter, 0.5, out=parameter) is parameter
        assert_same_bits(parameter.detach(), as_numpy(result))

    def test_counts_of_a_parameter(self) -> None:
        parameter = torch.nn.Parameter(torch.eye(5))
        with torch.no_grad():
            assert tersor.count_nonzero(parameter) == 5
            assert tersor.sparsity(parameter) == 0.8

    def test_write_is_seen_by_autograd(self) -> None:
        """A tensor that a backward pass still needs may not change unseen."""
        weight, x = torch.randn(5, requires_grad=True), torch.randn(5)
        loss = (weight * x).sum()
        tersor.prune_threshold(torch.randn(5), 0.5, out=x)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()

    def test_reading_is_not_a_write(self) -> None:
        weight, x = torch.randn(5, requires_grad=True), torch.randn(5)
        loss = (weight * x).sum()
        tersor.prune_threshold(x, 0.5)
        loss.backward()

    def test_inference_mode(self) -> None:
        with torch.inference_mode():
            x = torch.randn(5, 70)
            expected = tersor.softmax(x.numpy())
            assert_same_bits(tersor.softmax(x), expected)
            assert_same_bits(tersor.softmax(x, out=torch.empty_like(x)), expected)

    def test_dtypes_of_results(self) -> None:
        w = torch.randn(3, 40, dtype=torch.bfloat16)
        q, scale = tersor.quantize_int8(w)
        assert (q.dtype, scale.dtype) == (torch.int8, torch.float32)
        assert tersor.mask_threshold(w, 0.5).dtype == torch.bool
        assert tersor.mask_threshold(w, 0.5, packed=True).dtype == torch.uint8
        assert tersor.softmax(w).dtype == torch.bfloat16
        assert tersor.dequantize_int8(q, scale).dtype == torch.float32
        for spelling in (torch.float16, "float16", np.float16):
            assert tersor.dequantize_int8(q, scale, dtype=spelling).dtype == torch.float16
        assert tersor.quantize_int8(w.double())[1].dtype == torch.float64

    def test_temperature_of_either_framework(self) -> None:
        x = torch.randn(4, 33)
        temperature = np.array([[0.5], [1], [2], [4]])
        expected = tersor.softmax(x.numpy(), temperature)
        for given in (
            temperature,
            torch.from_numpy(temperature),
            torch.from_numpy(temperature).float(),
            [[0.5], [1.0], [2.0], [4.0]],
        ):
            assert_same_bits(tersor.softmax(x, given), expected)
            assert_same_bits(tersor.softmax(x.numpy(), given), expected)
        assert_same_bits(tersor.softmax(x, torch.tensor(2.0)), tersor.softmax(x.numpy(), 2.0))

    def test_memory_order_is_kept(self) -> None:
        w = torch.randn(8, 3, 5, 5).to(memory_format=torch.channels_last)
        assert tersor.prune_threshold(w, 0.5).stride() == w.stride()
        column_order = np.asfortranarray(np.ones((4, 5), np.float32))
        assert tersor.prune_threshold(column_order, 0.5).strides == column_order.strides

    def test_bfloat16_of_torch_and_of_ml_dtypes(self) -> None:
        w = random_values((7, 130), FLOATS["bfloat16"])
        for call in (
            lambda a: tersor.prune_threshold(a, 0.3),
            lambda a: tersor.round_fixed(a, 3),
            tersor.softmax,
            lambda a: tersor.quantize_int8(a)[0],
            lambda a: tersor.quantize_int8(a)[1],
        ):
            assert_same_bits(call(to_torch(w)), call(w))


# --- DLPack ----------------------------------------------------------------------------------------------------------


PRODUCERS: list[Callable[[Any], Any]] = [Producer, OldProducer, HandMade, lambda array: HandMade(array, legacy=True)]
PRODUCER_NAMES = ["DLPack 1", "before DLPack 1", "by hand", "by hand, legacy"]


@pytest.mark.parametrize("producer", PRODUCERS, ids=PRODUCER_NAMES)
class TestDLPackInput:
    @pytest.mark.parametrize("operation, dtype", [(o, d) for o, d in cases() if d != FLOATS["bfloat16"]], ids=case_name)
    def test_values(self, producer: Callable[[Any], Any], operation: Operation, dtype: DType) -> None:
        shape = (3, 4, 70)
        arrays = operation.make(shape, dtype)
        expected = operation.expected(arrays, shape, dtype)
        for name in ("dense", "column order", "every second", "reversed"):
            outputs = [np.full_like(wanted, 1) for wanted in expected]
            inputs = [producer(LAYOUTS[name](array)) for array in arrays]
            operation.run(inputs, shape, dtype, out=tuple(outputs) if len(outputs) > 1 else outputs[0])
            for output, wanted in zip(outputs, expected, strict=True):
                assert_same_bits(output, wanted, name)

    def test_counts(self, producer: Callable[[Any], Any]) -> None:
        assert tersor.count_nonzero(producer(np.eye(30, dtype=np.float32))) == 30
        assert tersor.sparsity(producer(np.zeros(9, np.int8))) == 1.0

    def test_memory_is_let_go(self, producer: Callable[[Any], Any]) -> None:
        """After a call that succeeds and after one that fails."""
        memory = np.ones((5, 70), np.float32)
        before = sys.getrefcount(memory)
        for eps in (0.5, -1.0):
            given = producer(memory)
            try:
                tersor.prune_threshold(given, eps, out=np.empty_like(memory))
            except ValueError:
                assert eps < 0
            if isinstance(given, HandMade):
                assert given.released == 1
            del given
        gc.collect()
        assert sys.getrefcount(memory) == before

    def test_without_out_it_says_what_to_do(self, producer: Callable[[Any], Any]) -> None:
        """No one can make an array of a kind that has no namespace."""
        with pytest.raises(TypeError, match=r"\bw\b.*pass out="):
            tersor.prune_threshold(producer(np.ones(4, np.float32)), 0.5)


class TestDLPackOutput:
    def test_writable(self) -> None:
        for wrap in (Producer, HandMade):
            target = np.zeros((3, 70), np.float32)
            out = wrap(target)
            assert tersor.prune_threshold(np.ones((3, 70), np.float32), 0.5, out=out) is out
            assert (target == 1).all()

    def test_read_only(self) -> None:
        locked = np.zeros((3, 70), np.float32)
        locked.setflags(write=False)
        for out in (
            Producer(locked),
            HandMade(np.zeros((3, 70), np.float32), flags=READ_ONLY),
            HandMade(np.zeros((3, 70), np.float32), flags=2),
        ):
            with pytest.raises(ValueError, match="out is read-only"):
                tersor.prune_threshold(np.ones((3, 70), np.float32), 0.5, out=out)

    def test_legacy_capsules_are_never_written(self) -> None:
        """They cannot say that they are read-only, and JAX's are."""
        target = np.zeros((3, 70), np.float32)
        for out in (OldProducer(target), HandMade(target, legacy=True)):
            with pytest.raises(ValueError, match="out is read-only"):
                tersor.prune_threshold(np.ones((3, 70), np.float32), 0.5, out=out)
        assert not target.any()

    def test_overlap_is_found_across_frameworks(self) -> None:
        memory = np.ones(71, np.float32)
        with pytest.raises(ValueError, match="overlap"):
            tersor.prune_threshold(Producer(memory[1:]), 0.5, out=memory[:-1])
        tersor.prune_threshold(Producer(memory), 2.0, out=memory)
        assert not memory.any()


class TestDLPackFields:
    """One field at a time."""

    array = np.arange(1, 71, dtype=np.float32).reshape(7, 10)

    def test_no_strides_mean_c_order(self) -> None:
        assert_same_bits(
            tersor.prune_threshold(HandMade(self.array, strides=False), 30, out=np.empty((7, 10), np.float32)),
            spec.prune_threshold(self.array, 30),
        )

    def test_byte_offset_is_added(self) -> None:
        assert tersor.count_nonzero(HandMade(self.array, byte_offset=4096)) == 70

    def test_no_deleter(self) -> None:
        assert tersor.count_nonzero(HandMade(self.array, with_deleter=False)) == 70
        assert tersor.count_nonzero(HandMade(self.array, with_deleter=False, legacy=True)) == 70

    def test_null_with_elements(self) -> None:
        with pytest.raises(TypeError, match=r"\bw\b.*no memory"):
            tersor.count_nonzero(HandMade(self.array, null=True))

    def test_null_without_elements(self) -> None:
        assert tersor.count_nonzero(HandMade(self.array[:0], null=True)) == 0

    def test_bfloat16(self) -> None:
        w = random_values((5, 70), FLOATS["bfloat16"])
        out = np.empty_like(w)
        tersor.prune_threshold(packed_bfloat16(w), 0.5, out=out)
        assert_same_bits(out, spec.prune_threshold(w, 0.5))

    @pytest.mark.parametrize(
        "dtype",
        [(2, 32, 4), (0, 32, 1), (0, 4, 1), (5, 64, 1), (3, 64, 1), (2, 128, 1), (10, 8, 1), (6, 1, 1)],
        ids=str,
    )
    def test_dtypes_that_are_not_read(self, dtype: tuple[int, int, int]) -> None:
        """Vectors, int32, int4, complex, handles, float128, a float8, single bits."""
        given = HandMade(self.array, dtype=dtype)
        with pytest.raises(TypeError, match=r"\bw\b.*convert"):
            tersor.count_nonzero(given)
        assert given.released == 1

    @pytest.mark.parametrize("device", [4, 7, 8, 10, 14, 15, 99])
    def test_devices_that_are_not_reached(self, device: int) -> None:
        given = HandMade(self.array, device=device)
        with pytest.raises(TypeError, match=r"\bw\b.*device.*move it"):
            tersor.count_nonzero(given)
        assert given.released == 1

    def test_pinned_memory_is_the_host_s(self) -> None:
        assert tersor.count_nonzero(HandMade(self.array, device=3)) == 70

    def test_cuda_memory_meets_the_cuda_module(self) -> None:
        """Which is imported by the first such call of a process, and never before: hence a process of its own."""
        built = importlib.util.find_spec("tersor._cuda") is not None
        script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy, tersor
from dlpack_capsules import HandMade
assert "tersor._cuda" not in sys.modules
try:
    tersor.count_nonzero(HandMade(numpy.ones(3, numpy.float32), device=2))
except TypeError as error:
    print(error)
"""
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        expected = "count_nonzero has no CUDA kernel" if built else "this build of tersor has no CUDA kernels"
        assert expected in result.stdout, result.stderr

    def test_later_major_version(self) -> None:
        given = HandMade(self.array, version=2)
        with pytest.raises(TypeError, match=r"\bw\b.*DLPack 2"):
            tersor.count_nonzero(given)
        assert given.released == 1

    def test_no_capsule(self) -> None:
        class Wrong(Producer):
            def __dlpack__(self, **_: Any) -> Any:  # type: ignore[override]
                return 17

        with pytest.raises(TypeError, match=r"\bw\b.*capsule"):
            tersor.count_nonzero(Wrong(self.array))

    def test_capsule_of_the_used_name(self) -> None:
        class Twice(Producer):
            def __dlpack__(self, **_: Any) -> Any:  # type: ignore[override]
                capsule = self.array.__dlpack__()
                ctypes.pythonapi.PyCapsule_SetName(ctypes.py_object(capsule), b"used_dltensor")
                return capsule

        with pytest.raises(TypeError, match=r"\bw\b.*capsule"):
            tersor.count_nonzero(Twice(self.array))


def test_layout_is_that_of_torch_s_header() -> None:
    """The structs of csrc/bind/dlpack.h, which nobody else's compiler checks."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    header = Path(torch.__file__).parent / "include"
    if compiler is None or not (header / "ATen/dlpack.h").is_file():
        pytest.skip("no C++ compiler, or a torch without its headers")
    source = ROOT / "tests/cpp/dlpack_layout_test.cpp"
    # Only that one header: torch's own needs more than the compiler of this machine may know.
    command = [
        compiler,
        "-std=c++20",
        "-fsyntax-only",
        "-Wno-invalid-offsetof",
        f"-I{ROOT / 'csrc'}",
        f"-I{header}",
        str(source),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


# --- other frameworks ------------------------------------------------------------------------------------------------


class TestArrayApiStrict:
    def test_same_kind_out(self) -> None:
        xp = pytest.importorskip("array_api_strict", reason="array_api_strict is not installed")
        w = np.linspace(-2, 2, 210, dtype=np.float32).reshape(3, 70)
        given = xp.asarray(w)
        q, scale = tersor.quantize_int8(given)
        for result, expected in (
            (tersor.prune_threshold(given, 0.5), spec.prune_threshold(w, 0.5)),
            (tersor.softmax(given), tersor.softmax(w)),
            (tersor.mask_threshold(given, 0.5), spec.mask_threshold(w, 0.5)),
            (q, spec.quantize_int8(w)[0]),
            (tersor.dequantize_int8(q, scale), spec.dequantize_int8(*spec.quantize_int8(w))),
        ):
            assert type(result) is type(given)
            assert_same_bits(np.from_dlpack(result), expected)


class TestJax:
    def test_same_kind_out(self) -> None:
        jnp = pytest.importorskip("jax.numpy", reason="jax is not installed")
        w = np.linspace(-2, 2, 210, dtype=np.float32).reshape(3, 70)
        for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
            given = jnp.asarray(w.astype(dtype))
            result = tersor.prune_threshold(given, 0.5)
            assert type(result) is type(given)
            assert_same_bits(np.asarray(result), spec.prune_threshold(w.astype(dtype), 0.5))


# --- NumPy's own kinds -----------------------------------------------------------------------------------------------


class TestNumpy:
    def test_memory_mapped_file(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            mapped = np.memmap(file.name, np.float32, "w+", shape=(30, 70))
            mapped[...] = np.linspace(-1, 1, 2100, dtype=np.float32).reshape(30, 70)
            expected = spec.prune_threshold(np.array(mapped), 0.5)
            assert type(tersor.prune_threshold(mapped, 0.5)) is np.ndarray
            tersor.prune_threshold(mapped, 0.5, out=mapped)
            assert_same_bits(np.array(mapped), expected)

    def test_subclass_without_meaning(self) -> None:
        class Named(np.ndarray):
            pass

        w = np.linspace(-1, 1, 70, dtype=np.float32)
        assert_same_bits(np.asarray(tersor.prune_threshold(w.view(Named), 0.5)), spec.prune_threshold(w, 0.5))

    def test_subclass_with_meaning(self) -> None:
        class Metres(np.ndarray):
            def __array_ufunc__(self, *_: Any, **__: Any) -> Any:
                return NotImplemented

        with pytest.raises(TypeError, match=r"\bw\b.*numpy\.asarray"):
            tersor.prune_threshold(np.ones(4, np.float32).view(Metres), 0.5)

    def test_every_alignment_of_out(self) -> None:
        w = random_values(500, FLOATS["float32"])
        for offset in range(64):
            out = at_offset(np.zeros(500, np.float32), offset)
            tersor.prune_threshold(w, 0.5, out=out)
            assert_same_bits(out, spec.prune_threshold(w, 0.5), offset)

    def test_results_hold_no_input(self) -> None:
        w = np.ones((300, 700), np.float32)
        gone = weakref.ref(w)
        kept = [tersor.prune_threshold(w, 0.5), tersor.softmax(w), *tersor.quantize_int8(w)]
        del w
        gc.collect()
        assert gone() is None and kept

    def test_no_leak(self) -> None:
        """10,000 calls of each kind, with and without out, failing and not, keep nothing."""
        w, out = np.ones((3, 70), np.float32), np.empty((3, 70), np.float32)
        tensor = torch.ones(3, 70)
        before = sys.getrefcount(w), sys.getrefcount(out), sys.getrefcount(tensor), sys.getrefcount(None)
        for _ in range(10_000):
            tersor.prune_threshold(w, 0.5, out=out)
            tersor.softmax(tensor)
            with contextlib.suppress(ValueError):
                tersor.prune_threshold(w, -1.0, out=out)
        after = sys.getrefcount(w), sys.getrefcount(out), sys.getrefcount(tensor), sys.getrefcount(None)
        assert before[:3] == after[:3]
        assert abs(after[3] - before[3]) < 1000

    def test_more_dimensions_than_anybody_has(self) -> None:
        w = np.ones((1,) * 30 + (5, 7), np.float32)
        assert tersor.prune_threshold(w, 0.5).shape == w.shape
        assert tersor.softmax(w).shape == w.shape
