"""Products with weights that stay compressed, against the dense products that they replace."""

from __future__ import annotations

import functools

import numpy as np
import tersor
from tersor import reference

from bench.goals import floor
from bench.onnx_model import Node
from bench.operands import WEIGHT_SCALE, aligned, logits, output, weights
from bench.operation import LARGE, SIZES, Array, Arrays, Call, Operation, Shape, Tolerance
from bench.peers import as_torch, onnxruntime_call

# |w| that the given share of normally distributed weights stays below, in standard deviations.
QUANTILES = {50: 0.6745, 70: 1.0364, 90: 1.6449}


def operands(batch: int, sparsity: int, shape: Shape, dtype: str) -> Arrays:
    w = weights(shape, dtype)
    t = tersor.compress_bitmask(tersor.prune_threshold(w, QUANTILES[sparsity] * WEIGHT_SCALE))
    return Arrays(
        {
            "values": aligned(t.values),
            "bits": aligned(t.bits),
            "row_offsets": t.row_offsets,
            "x": logits((batch, shape[1]), dtype),
        },
        {"out": output((batch, shape[0]), w.dtype)},
    )


def weight(a: Arrays) -> tersor.BitmaskTensor:
    return tersor.BitmaskTensor(a.values, a.bits, a.row_offsets, (a.out.shape[1], a.x.shape[1]))


@functools.lru_cache(maxsize=8)
def dense(a: Arrays) -> Array:
    """The weight that the dense products read: the memory is theirs, and not counted in tersor's floor."""
    t = weight(a)
    return tersor.decompress_bitmask(t, out=output(t.shape, a.values.dtype))


# --- dense products ----------------------------------------------------------------------------------------------------


def numpy_matmul(a: Arrays) -> Call:
    return Call(np.matmul, a.x, dense(a).T, out=a.out)


def torch_linear(a: Arrays) -> Call:
    import torch

    x, w, out = as_torch(a.x), as_torch(dense(a)), as_torch(a.out)
    # linear has no out=; the copy of its small result costs next to nothing.
    return Call(lambda: out.copy_(torch.nn.functional.linear(x, w)))


def onnxruntime_matmul(a: Arrays) -> Call:
    """MatMul wants the weight as [cols, rows], which is how exporters write it."""
    return onnxruntime_call([Node("MatMul", ["x", "w"], "out")], {"x": a.x, "w": aligned(dense(a).T)}, a.out)


# --- the table -----------------------------------------------------------------------------------------------------------


def table_row(batch: int, sparsity: int, dtype: str = "float32") -> Operation:
    return Operation(
        family="matmul",
        name="matmul_bitmask",
        variant=f"batch {batch}, {sparsity} %",
        dtype=dtype,
        arrays=functools.partial(operands, batch, sparsity),
        sizes={LARGE: SIZES[LARGE]},
        expected=lambda a: (reference.matmul_bitmask(a.x, weight(a)),),
        tersor=lambda a: Call(tersor.matmul_bitmask, a.x, weight(a), out=a.out),
        numpy=numpy_matmul,
        peers={"torch linear": torch_linear} | ({"onnxruntime": onnxruntime_matmul} if dtype == "float32" else {}),
        # Sums of 11,008 products of about 0.05 * 3, which cancel: an error is one of their magnitudes, not of the sum.
        tolerance=Tolerance(relative=2.0**-7, absolute=0.05) if dtype == "bfloat16" else Tolerance(1e-5, 1e-3),
        whole=True,
        goals={LARGE: floor(1.4)} if batch == 1 and sparsity == 50 else {},
    )


OPERATIONS = [
    *(table_row(batch, 50) for batch in (1, 2, 4, 8, 16)),
    *(table_row(batch, sparsity) for sparsity in (70, 90) for batch in (1, 4, 16)),
    table_row(1, 50, "bfloat16"),
]
