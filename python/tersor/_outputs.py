"""Outputs in the caller's framework: NumPy in, NumPy out; torch in, torch out; always on the same device.

A framework makes an empty array for the kernel to fill, then turns it into what the caller gets. For NumPy and torch that
is the same object. Arrays that cannot be written, such as JAX's, are filled as NumPy memory and handed over without a copy.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tersor import _core

# Below this a fresh array costs more to align than unaligned stores do. JAX takes over aligned memory only, of any size.
_LEAST_ALIGNED_BYTES = 16384

_FLOAT64 = np.dtype(np.float64)
_NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name) for name in ("float32", "float16", "float64", "int8", "uint8", "bool", "int16", "int32", "int64")
}


class Framework(Protocol):
    """How one framework's outputs come to be. A dtype is a name, or one of the framework's own."""

    def empty(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array of this shape on the device of ``like``, for a kernel to fill."""

    def empty_like(self, like: Any, dtype: Any = None) -> Any:
        """An array of the shape, and where it is dense the memory order, of ``like``."""

    def of_bytes(self, memory: Any, dtype: Any) -> Any:
        """NumPy bytes as an array of one dimension for a kernel to fill; ``result`` makes it the caller's."""

    def result(self, filled: Any) -> Any:
        """What the caller gets for an array that came from ``empty``, ``empty_like`` or ``of_bytes``."""

    def places(self, filled: Any) -> Any:
        """Where a mask of one dimension that came from ``empty`` is True: int64, ascending, for the caller."""


def is_float64(array: Any) -> bool:
    """Whether an array of any framework is of float64."""
    dtype = array.dtype
    return dtype == _FLOAT64 if isinstance(dtype, np.dtype) else dtype_name(dtype) == "float64"


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype of a name that tersor knows; bfloat16 comes from ml_dtypes."""
    if isinstance(dtype, np.dtype):
        return dtype
    if dtype == "bfloat16" and dtype not in _NUMPY_DTYPES:
        import ml_dtypes

        _NUMPY_DTYPES[dtype] = np.dtype(ml_dtypes.bfloat16)
    return _NUMPY_DTYPES[dtype]


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int) -> Any:
    """``numpy.empty``, but the data begins at a multiple of 64 bytes."""
    return _core.aligned_array(np.empty(nbytes + 63, np.uint8), dtype, shape)


class _NumPy:
    def empty(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        dtype = numpy_dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        return np.empty(shape, dtype) if nbytes < _LEAST_ALIGNED_BYTES else aligned_empty(shape, dtype, nbytes)

    def empty_like(self, like: Any, dtype: Any = None) -> Any:
        if not like.flags.c_contiguous:
            return np.empty_like(like, None if dtype is None else numpy_dtype(dtype), subok=False)
        dtype = like.dtype if dtype is None else numpy_dtype(dtype)
        nbytes = like.size * dtype.itemsize
        return np.empty(like.shape, dtype) if nbytes < _LEAST_ALIGNED_BYTES else aligned_empty(like.shape, dtype, nbytes)

    def of_bytes(self, memory: Any, dtype: Any) -> Any:
        return memory.view(numpy_dtype(dtype))

    def result(self, filled: Any) -> Any:
        return filled

    def places(self, filled: Any) -> Any:
        return np.flatnonzero(filled)


class _Torch:
    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def _dtype(self, dtype: Any) -> Any:
        return getattr(self._torch, dtype) if isinstance(dtype, str) else dtype

    def empty(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._torch.empty(shape, dtype=self._dtype(dtype), device=like.device)

    def empty_like(self, like: Any, dtype: Any = None) -> Any:
        if dtype is None:
            return self._torch.empty_like(like)
        return self._torch.empty_like(like, dtype=self._dtype(dtype))

    def float64_array(self, numbers: Any, like: Any) -> Any:
        if self._torch.is_tensor(numbers) and numbers.is_complex():
            raise TypeError("complex numbers have no order")
        return self._torch.as_tensor(numbers, dtype=self._torch.float64, device=like.device)

    def of_bytes(self, memory: Any, dtype: Any) -> Any:
        return self._torch.from_numpy(memory).view(self._dtype(dtype))

    def result(self, filled: Any) -> Any:
        return filled

    def places(self, filled: Any) -> Any:
        return filled.nonzero().squeeze(1)


class _OnCpu:
    """Any framework that takes over NumPy memory."""

    def __init__(self, take_over: Any, convert: Any) -> None:
        self._take_over = take_over
        self._convert = convert

    def empty(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        dtype = numpy_dtype(dtype_name(dtype))
        return aligned_empty(shape, dtype, math.prod(shape) * dtype.itemsize)

    def empty_like(self, like: Any, dtype: Any = None) -> Any:
        return self.empty(like, tuple(like.shape), like.dtype if dtype is None else dtype)

    def of_bytes(self, memory: Any, dtype: Any) -> Any:
        return memory.view(numpy_dtype(dtype_name(dtype)))

    def result(self, filled: Any) -> Any:
        # NumPy does not export bfloat16 by DLPack.
        return self._convert(filled) if filled.dtype.name == "bfloat16" else self._take_over(filled)

    def places(self, filled: Any) -> Any:
        return self._convert(np.flatnonzero(filled))


class _OnDevice:
    """An array API namespace whose arrays can be written, such as CuPy."""

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    def _dtype(self, dtype: Any) -> Any:
        return getattr(self._namespace, dtype) if isinstance(dtype, str) else dtype

    def empty(self, like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        if hasattr(like.device, "__enter__"):  # CuPy: the device is a context, not a keyword
            with like.device:
                return self._namespace.empty(shape, dtype=self._dtype(dtype))
        return self._namespace.empty(shape, dtype=self._dtype(dtype), device=like.device)

    def empty_like(self, like: Any, dtype: Any = None) -> Any:
        return self.empty(like, tuple(like.shape), like.dtype if dtype is None else dtype)

    def float64_array(self, numbers: Any, like: Any) -> Any:
        return self._namespace.asarray(numbers, dtype=self._namespace.float64)

    def of_bytes(self, memory: Any, dtype: Any) -> Any:
        return memory.view(numpy_dtype(dtype_name(dtype)))  # which the op refuses beside arrays of another device

    def result(self, filled: Any) -> Any:
        return filled

    def places(self, filled: Any) -> Any:
        return self._namespace.nonzero(filled)[0]


_NUMPY = _NumPy()
_BY_TYPE: dict[type, Framework] = {np.ndarray: _NUMPY}
_DLPACK_CPU = 1


def framework_of(array: Any, name: str) -> Framework:
    """The framework of an argument, which is called ``name`` in the TypeError for what is no array."""
    framework = _BY_TYPE.get(type(array))
    if framework is not None:
        return framework
    if isinstance(array, np.ndarray):
        return _NUMPY
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        _BY_TYPE[torch.Tensor] = _BY_TYPE[torch.nn.Parameter] = _Torch(torch)
        return _BY_TYPE[torch.Tensor]
    if not hasattr(type(array), "__dlpack_device__"):
        _core.check_array(array, name)
    on_cpu = int(array.__dlpack_device__()[0]) == _DLPACK_CPU
    if hasattr(array, "__array_namespace__"):
        namespace = array.__array_namespace__()
        return _OnCpu(namespace.from_dlpack, namespace.asarray) if on_cpu else _OnDevice(namespace)
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):  # an array API namespace in all but name
        return _OnDevice(cupy)
    tensorflow = sys.modules.get("tensorflow")
    if on_cpu and tensorflow is not None and tensorflow.is_tensor(array):
        from_capsule = tensorflow.experimental.dlpack.from_dlpack
        return _OnCpu(lambda filled: from_capsule(filled.__dlpack__()), tensorflow.convert_to_tensor)
    kind = f"{type(array).__module__}.{type(array).__qualname__}"
    raise TypeError(f"tersor cannot make an output of the kind of {name}, a {kind}; pass out=")


def dtype_name(dtype: Any) -> str:
    """The name of a dtype of NumPy, torch or any framework that spells it as they do; what is unknown gives some text."""
    for candidate in (dtype, getattr(dtype, "name", None), str(dtype).rpartition(".")[2]):
        if isinstance(candidate, str) and (candidate in _NUMPY_DTYPES or candidate == "bfloat16"):
            return candidate
    try:
        return str(np.dtype(dtype).name)
    except TypeError:
        return str(dtype)


def item_size(dtype: Any) -> int:
    """Bytes of an item of a dtype that tersor reads."""
    name = dtype_name(dtype)
    return 2 if name == "bfloat16" else _NUMPY_DTYPES[name].itemsize


def floating_dtype_name(dtype: Any) -> str:
    """``dtype_name`` for one of the four dtypes that results may have."""
    name = dtype_name(dtype)
    if name not in ("float32", "float16", "bfloat16", "float64"):
        raise TypeError(f"dtype must be float32, float16, bfloat16 or float64, not {name}")
    return name


def float64_array(numbers: Any, like: Any, name: str) -> Any:
    """Numbers beside ``like``: a float if there is but one, else a float64 array where ``like`` lies."""
    framework = framework_of(like, "x")
    try:
        if getattr(numbers, "ndim", None) == 0:
            return float(numbers)
        if isinstance(framework, (_Torch, _OnDevice)):
            return framework.float64_array(numbers, like)
        values = np.asarray(numbers)
        if values.dtype.kind in "OUScMm":  # NumPy would make NaN of None, and drop imaginary parts
            raise TypeError(f"an array of {values.dtype} is none of numbers")
        return values.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number or an array of numbers, not {numbers!r}") from error


def number_or_array(numbers: Any, like: Any, name: str) -> Any:
    """A float or an int as it is, anything else as ``float64_array`` gives it."""
    return numbers if isinstance(numbers, (float, int)) else float64_array(numbers, like, name)


def filled_like(array: Any, name: str, out: Any, fill: Callable[[Any], None]) -> Any:
    """``out``, or a new array like the one called ``name``, once ``fill`` has written it."""
    if out is not None:
        fill(out)
        return out
    framework = framework_of(array, name)
    filled = framework.empty_like(array)
    fill(filled)
    return framework.result(filled)
