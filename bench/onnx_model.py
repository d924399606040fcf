"""Writes the few ONNX models that the comparison with onnxruntime needs.

The ``onnx`` package would do, but a model of two nodes is a few length-prefixed fields. Their numbers are those
of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.operation import Array

IR_VERSION = 8
OPERATOR_SET = 13
ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "float16": 10}
ATTRIBUTE_INT = 2


@dataclass(frozen=True)
class Node:
    operator: str
    inputs: list[str]
    output: str
    attributes: Mapping[str, int] = field(default_factory=dict)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _number(field_number: int, value: int) -> bytes:
    return _varint(field_number << 3) + _varint(value)


def _block(field_number: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return _varint(field_number << 3 | 2) + _varint(len(data)) + data


def _node(node: Node) -> bytes:
    encoded = b"".join(_block(1, name) for name in node.inputs) + _block(2, node.output) + _block(4, node.operator)
    for name, value in node.attributes.items():
        encoded += _block(5, _block(1, name) + _number(3, value) + _number(20, ATTRIBUTE_INT))
    return encoded


def _value(name: str, array: Array) -> bytes:
    shape = b"".join(_block(1, _number(1, length)) for length in array.shape)
    tensor = _number(1, ELEMENT_TYPES[array.dtype.name]) + _block(2, shape)
    return _block(1, name) + _block(2, _block(1, tensor))


def one_output_model(nodes: list[Node], inputs: Mapping[str, Array], output: Array) -> bytes:
    """A serialized model; the last node writes ``out``."""
    graph = b"".join(_block(1, _node(node)) for node in nodes) + _block(2, "graph")
    graph += b"".join(_block(11, _value(name, array)) for name, array in inputs.items())
    graph += _block(12, _value("out", output))
    return _number(1, IR_VERSION) + _block(7, graph) + _block(8, _block(1, "") + _number(2, OPERATOR_SET))
