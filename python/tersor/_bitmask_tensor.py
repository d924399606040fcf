"""What ``compress_bitmask`` gives and what computes on it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tersor import _core
from tersor._arguments import columns_of, packed_shape
from tersor._outputs import framework_of, item_size


@dataclass(frozen=True, eq=False, repr=False)
class BitmaskTensor:
    """A sparse array as its nonzero entries and one bit an entry: the sparse-bitmask format of compressed-tensors.

    The arrays are of the caller's kind (NumPy, torch or another), on one device. A row is one of the last axis; all
    leading axes together number the rows in C order. ``BitmaskTensor(values, bits, row_offsets, shape)`` takes arrays
    that exist, from a file for instance, and does not look into them; what reads the tensor checks that they fit.

    Parameters
    ----------
    values : array of shape (nonzeros,)
        The nonzero entries in C order, of the dtype of the dense array.
    bits : uint8 array of shape (rows, ceil(cols / 8))
        Where they stand: least significant bit first, each row padded with 0 to whole bytes.
    row_offsets : int64 array of shape (rows,)
        How many values stand before each row's first.
    shape : tuple of int
        Of the dense array.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> t = tersor.BitmaskTensor(np.float32([3, 4]), np.uint8([[2], [1]]), np.int64([0, 1]), (2, 2))
    >>> t
    BitmaskTensor(shape=(2, 2), dtype=float32, nonzeros=2, sparsity=0.5, nbytes=26)
    """

    values: Any
    bits: Any
    row_offsets: Any
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(length) for length in self.shape))

    @property
    def dtype(self) -> Any:
        """The dtype of the entries, as the framework of ``values`` has it."""
        return self.values.dtype

    @property
    def size(self) -> int:
        """Entries of the dense array."""
        return math.prod(self.shape)

    @property
    def nonzeros(self) -> int:
        """Entries that are stored."""
        return int(self.values.shape[0])

    @property
    def sparsity(self) -> float:
        """Entries that are not stored / all entries; 0.0 for an empty array."""
        return (self.size - self.nonzeros) / self.size if self.size else 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of the three arrays together."""
        return int(self.values.nbytes + self.bits.nbytes + self.row_offsets.nbytes)

    def __repr__(self) -> str:
        dtype = str(self.dtype).rpartition(".")[2]  # torch calls its own "torch.float32"
        return (
            f"BitmaskTensor(shape={self.shape}, dtype={dtype}, nonzeros={self.nonzeros}, "
            f"sparsity={self.sparsity:.4g}, nbytes={self.nbytes})"
        )


def compressed(w: Any, name: str, out: Any = None) -> BitmaskTensor:
    """The nonzero entries of an array that messages call ``name``, in new memory or at the beginning of ``out``."""
    _core.check_array(w, name)
    framework = framework_of(w, name)
    cols = columns_of(w.shape, name)
    rows = math.prod(w.shape[:-1])
    bits = framework.empty(w, packed_shape((rows, cols), 8), "uint8")
    row_offsets = framework.empty(w, (rows,), "int64")
    shape = tuple(w.shape)
    if out is not None:
        values = out[: _core.compress_bitmask(w, out, bits, row_offsets, shape)]
    else:
        item_bytes = item_size(w.dtype)
        memory = np.empty(rows * cols * item_bytes, np.uint8)
        count = _core.compress_bitmask(w, framework.of_bytes(memory, w.dtype), bits, row_offsets, shape)
        memory.resize(count * item_bytes, refcheck=False)  # in place: what no value has been written to is given back
        values = framework.result(framework.of_bytes(memory, w.dtype))
    return BitmaskTensor(values, framework.result(bits), framework.result(row_offsets), shape)


def require_bitmask(t: Any) -> None:
    """TypeError for what is no BitmaskTensor."""
    if not isinstance(t, BitmaskTensor):
        raise TypeError(f"t must be a BitmaskTensor, not {type(t).__name__}; compress the weight first")


def require_matrix(t: Any) -> tuple[int, int]:
    """Rows and columns of a BitmaskTensor of two dimensions."""
    require_bitmask(t)
    if len(t.shape) != 2:
        raise ValueError(f"t has shape {t.shape}; it must have the two dimensions of a matrix, (rows, cols)")
    rows, cols = t.shape
    return rows, cols
