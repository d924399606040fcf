"""compress: between a BitmaskTensor and compressed sparse rows, without a dense array in between."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._arguments import integer, packed_shape
from tersor._bitmask_tensor import BitmaskTensor, compressed, require_matrix
from tersor._outputs import framework_of


def bitmask_to_csr(t: BitmaskTensor, *, dtype: str = "int64") -> tuple[Any, Any, Any]:
    """Give the compressed sparse rows of a ``BitmaskTensor``: what scipy.sparse and torch.sparse make matrices of.

    Parameters
    ----------
    t : BitmaskTensor of shape (rows, cols)
        Its three arrays must be contiguous.
    dtype : {"int64", "int32"}, default "int64"
        Of the columns and pointers.

    Returns
    -------
    values : array of shape (nonzeros,)
        ``t.values`` itself, not a copy.
    columns : array of shape (nonzeros,)
        The column of each value, ascending within a row.
    row_pointers : array of shape (rows + 1,)
        Where the values of each row begin, and where the last one's end.

    Raises
    ------
    ValueError
        t is no matrix, or its arrays disagree with one another; dtype is unknown, or int32 too small.
    TypeError
        t is no BitmaskTensor, or an array is of another dtype.

    Notes
    -----
    Block sparse rows are one step further, in either library: ``scipy.sparse.csr_array(...).tobsr(blocksize=(r, c))`` or
    ``torch.sparse_csr_tensor(...).to_sparse_bsr((r, c))``, neither of which makes a dense array.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> t = tersor.compress_bitmask(np.array([[0, 3, 0], [4, 0, 5]], np.float32))
    >>> values, columns, row_pointers = tersor.bitmask_to_csr(t)
    >>> columns, row_pointers
    (array([1, 0, 2]), array([0, 1, 3]))

    ``scipy.sparse.csr_array((values, columns, row_pointers), t.shape)``, or
    ``torch.sparse_csr_tensor(row_pointers, columns, values, t.shape)``.
    """
    rows, cols = require_matrix(t)
    if dtype not in ("int64", "int32"):
        raise ValueError(f"dtype must be 'int64' or 'int32', not {dtype!r}")
    if dtype == "int32" and max(t.nonzeros, cols) >= 2**31:
        raise ValueError(f"dtype must be 'int64' for {t.nonzeros} values and {cols} columns")
    framework = framework_of(t.values, "t.values")
    columns = framework.empty(t.values, (t.nonzeros,), dtype)
    _core.find_columns(t.values, t.bits, t.row_offsets, t.shape, columns)
    row_pointers = framework.empty(t.values, (rows + 1,), dtype)
    row_pointers[:-1] = t.row_offsets
    row_pointers[-1] = t.nonzeros
    return t.values, framework.result(columns), framework.result(row_pointers)


def bitmask_from_csr(values: Any, columns: Any, row_pointers: Any, shape: tuple[int, int]) -> BitmaskTensor:
    """Make a ``BitmaskTensor`` of compressed sparse rows.

    Parameters
    ----------
    values : array of shape (stored,), float32, float16, bfloat16 or float64
    columns : int64 or int32 array of shape (stored,)
        The column of each value; they ascend within a row.
    row_pointers : array of shape (rows + 1,), of the dtype of columns
        Where the values of each row begin, and where the last one's end.
    shape : tuple of two int
        Of the dense matrix.

    Returns
    -------
    BitmaskTensor
        Of the kind of values, which it shares unless zeros are among them.

    Raises
    ------
    ValueError
        Columns do not ascend or are out of range; the pointers decrease, or do not begin with 0 and end with the number of
        values; the shapes do not fit one another; an array is not contiguous.
    TypeError
        An argument is no array, or of another dtype.

    Notes
    -----
    Zeros among the values, of either sign, are left out, so that the result is what ``compress_bitmask`` gives: block
    sparse rows, whose blocks hold zeros, come this way once the library has made compressed rows of them:
    ``scipy.sparse.bsr_array(...).tocsr()``, or ``.to_sparse_coo().to_sparse_csr()`` of a torch tensor.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> tersor.bitmask_from_csr(np.float32([3, 4]), np.array([1, 0]), np.array([0, 1, 2]), (2, 2))
    BitmaskTensor(shape=(2, 2), dtype=float32, nonzeros=2, sparsity=0.5, nbytes=26)
    """
    framework = framework_of(values, "values")
    try:
        rows, cols = (integer(length, "shape") for length in shape)
    except (TypeError, ValueError):
        raise TypeError(f"shape must be two integers, (rows, cols), not {shape!r}") from None
    if rows < 0 or cols < 0:
        raise ValueError(f"shape must hold no negative number, got {shape}")
    bits = framework.empty(values, packed_shape((rows, cols), 8), "uint8")
    row_offsets = framework.empty(values, (rows,), "int64")
    _core.mark_columns(values, columns, row_pointers, bits, row_offsets, (rows, cols))
    kept = values if _core.count_nonzero(values) == values.shape[0] else compressed(values, "values").values
    return BitmaskTensor(kept, framework.result(bits), framework.result(row_offsets), (rows, cols))
