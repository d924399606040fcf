"""What users would call instead.

Each library is optional: importing it here may fail, and the harness then says why it is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.onnx_model import Node, one_output_model
from bench.operation import Array, Call


def as_torch(array: Array) -> Any:
    """A tensor on the same memory."""
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


@functools.cache
def compiled(formula: Callable[..., None]) -> Any:
    """``torch.compile``, once for each formula; every shape gets a graph of its own."""
    import torch

    return torch.compile(formula, dynamic=False)


@functools.cache
def fbgemm() -> Any:
    """The operators of fbgemm_gpu's CPU build."""
    import fbgemm_gpu  # noqa: F401  (registers them)
    import torch

    return torch.ops.fbgemm


def onnxruntime_call(nodes: list[Node], inputs: dict[str, Array], output: Array) -> Call:
    """A session that runs the nodes on the memory of the arrays."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Its threads would wait in a loop for the next call, on the cores that the next contender needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = one_output_model(nodes, inputs, output)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.held = inputs, output  # it knows their memory by address alone
    for name, array in inputs.items():
        binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
    binding.bind_output("out", "cpu", 0, output.dtype, output.shape, output.ctypes.data)
    return Call(session.run_with_iobinding, binding)
