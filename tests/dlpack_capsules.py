"""DLPack capsules made by hand, field by field: what no real framework on this machine hands out."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


class Device(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("index", ctypes.c_int32)]


class DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", Device),
        ("ndim", ctypes.c_int32),
        ("dtype", DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class LegacyManagedTensor(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]


class ManagedTensor(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    ]


TYPE_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
CPU, READ_ONLY = 1, 1


class HandMade:
    """An array-like over NumPy memory whose capsule can be wrong in one field. It counts how often it was let go."""

    def __init__(
        self,
        array: Any,
        *,
        legacy: bool = False,
        version: int = 1,
        flags: int = 0,
        device: int = CPU,
        dtype: tuple[int, int, int] | None = None,
        strides: bool = True,
        byte_offset: int = 0,
        null: bool = False,
        with_deleter: bool = True,
    ) -> None:
        self.array, self.released, self.device = array, 0, device
        code, bits, lanes = dtype or (TYPE_CODES[array.dtype.kind], array.itemsize * 8, 1)
        self._shape = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
        self._strides = (ctypes.c_int64 * max(1, array.ndim))(*[step // array.itemsize for step in array.strides])
        address = None if null else array.ctypes.data - byte_offset
        steps = self._strides if strides else None
        tensor = Tensor(address, Device(device, 0), array.ndim, DataType(code, bits, lanes), self._shape, steps, byte_offset)
        deleter = DELETER(self._release) if with_deleter else DELETER()
        if legacy:
            self._managed: Any = LegacyManagedTensor(tensor, None, deleter)
        else:
            self._managed = ManagedTensor(version, 0, None, deleter, flags, tensor)
        self._name = b"dltensor" if legacy else b"dltensor_versioned"

    def _release(self, _: Any) -> None:
        self.released += 1

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self.device, 0)

    def __dlpack__(self, **_: Any) -> Any:
        new_capsule = ctypes.pythonapi.PyCapsule_New
        new_capsule.restype, new_capsule.argtypes = (
            ctypes.py_object,
            [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
        )
        return new_capsule(ctypes.addressof(self._managed), self._name, None)


class Producer:
    """An array of a framework that speaks DLPack 1.0, by way of NumPy."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None) -> Any:
        return self.array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


class OldProducer(Producer):
    """One from before DLPack 1.0: its method does not know the keyword, its capsule cannot say read-only."""

    def __dlpack__(self, stream: Any = None) -> Any:  # type: ignore[override]
        return self.array.__dlpack__()


def packed_bfloat16(array: Any) -> HandMade:
    """bfloat16, which NumPy itself does not export."""
    return HandMade(array.view(np.uint16), dtype=(4, 16, 1))
