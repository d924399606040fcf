"""Refusals of fake_quantize, its gradients, and quantization_error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tersor
from refusals import BF16, F16, Row, codes, floats, octets, overlap_of, read_only
from refusals_quantize import stored


def scaled(**parts: Any) -> Any:
    return tersor.fake_quantize(**{"w": floats(3, 16), "scale": floats(3, 1), **parts})


def backward(**parts: Any) -> Any:
    usual = {"grad": floats(3, 16), "w": floats(3, 16), "scale": floats(3, 1)}
    return tersor.fake_quantize_backward(**{**usual, **parts})


ARGUMENTS_OF_FAKE: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("fake_quantize", "w", lambda a: tersor.fake_quantize(a)),
    ("fake_quantize", "scale", lambda a: scaled(scale=a)),
    ("fake_quantize", "zero_point", lambda a: scaled(zero_point=a)),
    ("fake_quantize", "out", lambda a: tersor.fake_quantize(floats(3, 16), out=a)),
    ("fake_quantize_backward", "grad", lambda a: backward(grad=a)),
    ("fake_quantize_backward", "w", lambda a: backward(w=a)),
    ("fake_quantize_backward", "scale", lambda a: backward(scale=a)),
    ("fake_quantize_backward", "zero_point", lambda a: backward(zero_point=a)),
    ("fake_quantize_backward", "grad_w", lambda a: backward(out=(a, floats(3, 1)))),
    ("fake_quantize_backward", "grad_scale", lambda a: backward(out=(floats(3, 16), a))),
    ("quantization_error", "w", lambda a: tersor.quantization_error(a, stored())),
    ("quantization_error", "q", lambda a: tersor.quantization_error(floats(3, 16), stored(q=a))),
    ("quantization_error", "scale", lambda a: tersor.quantization_error(floats(3, 16), stored(scale=a))),
    ("quantization_error", "zero_point", lambda a: tersor.quantization_error(floats(3, 16), stored(zero_point=a))),
]

OPTIONAL_OF_FAKE = {
    ("fake_quantize", "scale"),
    ("fake_quantize", "zero_point"),
    ("fake_quantize_backward", "zero_point"),
    ("quantization_error", "zero_point"),
}

# fmt: off
REFUSALS_OF_FAKE = [
    Row("fake codes of 9 bits", ValueError, "bits", r"in \[2, 8\], got 9", lambda: tersor.fake_quantize(floats(4), 9)),
    Row("a fake granularity of no name", ValueError, "granularity", r"one of",
        lambda: tersor.fake_quantize(floats(4), granularity="block")),
    Row("a fake convention of no name", ValueError, "convention", r"must be one of",
        lambda: tersor.fake_quantize(floats(4), convention="ggmf")),
    Row("a fake zero point alone", ValueError, "zero_point", r"without scale",
        lambda: tersor.fake_quantize(floats(3, 16), zero_point=octets(3, 1))),
    Row("fake scales of another shape", ValueError, "scale", r"1 along axis 1", lambda: scaled(scale=floats(3, 2))),
    Row("fake numbers of another dtype", TypeError, "out", r"float32", lambda: scaled(out=floats(3, 16, dtype=F16))),
    Row("fake numbers of another shape", ValueError, "out", r"shape", lambda: scaled(out=floats(3, 15))),
    Row("fake numbers that overlap others", ValueError, "out", r"overlap",
        overlap_of(lambda w, out: tersor.fake_quantize(w, granularity="tensor", out=out), floats)),
    Row("fake numbers that cannot be written", ValueError, "out", r"read-only",
        lambda: scaled(out=read_only(floats(3, 16)))),
    Row("a gradient of another dtype", TypeError, "grad", r"float32", lambda: backward(grad=floats(3, 16, dtype=BF16))),
    Row("a gradient of another shape", ValueError, "grad", r"shape", lambda: backward(grad=floats(3, 15))),
    Row("gradients of scales in halves", TypeError, "grad_scale", r"must be float32 or float64",
        lambda: backward(out=(floats(3, 16), floats(3, 1, dtype=F16)))),
    Row("gradients of more scales", ValueError, "grad_scale", r"1 along axis 1",
        lambda: backward(out=(floats(3, 16), floats(3, 2)))),
    Row("two gradients where three are", TypeError, "out", r"tuple \(grad_w, grad_scale, grad_zero_point\)",
        lambda: backward(zero_point=octets(3, 1), out=(floats(3, 16), floats(3, 1)))),
    Row("a gradient over the weights", ValueError, "grad_w", r"overlap",
        lambda: (lambda w: backward(w=w, out=(w, floats(3, 1))))(floats(3, 16))),
    Row("a gradient scale of no number", TypeError, "gradient_scale", r"number", lambda: backward(gradient_scale="1")),
    Row("errors of a tuple", TypeError, "t", r"must be a Quantized",
        lambda: tersor.quantization_error(floats(4), (codes(4), floats(1)))),
    Row("errors of another shape", ValueError, "w", r"shape \(3, 15\), but t has \(3, 16\)",
        lambda: tersor.quantization_error(floats(3, 15), stored())),
    Row("errors of more scales than groups", ValueError, "scale", r"1 along axis 1",
        lambda: tersor.quantization_error(floats(3, 16), stored(scale=floats(3, 2)))),
    Row("errors of codes of 9 bits", ValueError, "bits", r"in \[2, 8\], got 9",
        lambda: tersor.quantization_error(floats(3, 16), stored(bits=9))),
    Row("errors of fewer packed codes", ValueError, "q", r"must have",
        lambda: tersor.quantization_error(floats(3, 16), stored(q=octets(3, 7), bits=4, packed=True))),
]
# fmt: on
