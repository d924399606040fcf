"""quantize: the rules by which libraries turn ranges into scales, and numbers into codes.

Each computes in float32 (float64 for float64) unless it says otherwise. ``low`` and ``high`` are the least and the
greatest finite entry of each group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tersor.reference._arithmetic import Array

Rounding = Callable[[Array], Array]
# From 1 to the next number.
EPSILON = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7, "float64": 2.0**-52}
# What onnxruntime keeps of a scale: of float16 all that is not 0.
LEAST_NORMAL = {"float32": 2.0**-126, "float16": 0.0, "bfloat16": 2.0**-126, "float64": 2.0**-1022}


def greatest_magnitude(low: Array, high: Array) -> Array:
    return np.asarray(np.maximum(np.abs(low), np.abs(high)))


def by_reciprocal(x: Array, scale: Array, numerator: int) -> Array:
    """x times what the numerator is of as many scales. A scale of 0 has the reciprocal 0; 0 times infinity is 0."""
    over = x.dtype.type(numerator)
    with np.errstate(all="ignore"):
        steps = x * np.where(scale == 0, x.dtype.type(0), over / (scale * over))
    return np.asarray(np.where(np.isnan(steps) & ~np.isnan(x), x.dtype.type(0), steps))


@dataclass(frozen=True)
class Convention:
    """Codes of ``bits`` bits from ``least`` to ``most``, and what most libraries agree on."""

    bits: int
    symmetric: bool
    signed: bool
    w_dtype: np.dtype[Any]
    scale_dtype: np.dtype[Any]

    # Where the caller does not say.
    signed_symmetric: ClassVar[bool] = True
    signed_asymmetric: ClassVar[bool] = False

    @classmethod
    def own_signed(cls, bits: int, symmetric: bool) -> bool:
        return cls.signed_symmetric if symmetric else cls.signed_asymmetric

    @property
    def own_rounding(self) -> str:
        return "half_even"

    @property
    def first_side(self) -> bool:
        """Whether a range that reaches as far to either side of zero counts as that of the entry which comes first."""
        return False

    @property
    def steps(self) -> int:
        return int(2**self.bits - 1)

    @property
    def least(self) -> int:
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def most(self) -> int:
        return int(2 ** (self.bits - 1) - 1) if self.signed else self.steps

    @property
    def middle(self) -> int:
        """The zero point of symmetric codes."""
        return 0 if self.signed else int(2 ** (self.bits - 1))

    def clamp(self, x: Array) -> Array:
        return np.asarray(np.clip(x, self.least, self.most))

    def in_w_dtype(self, x: Array) -> Array:
        """Rounded to the dtype of the array, in which some libraries take every step."""
        return np.asarray(x).astype(self.w_dtype).astype(x.dtype)

    def range(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Zero is always within."""
        return np.minimum(low, 0), np.maximum(high, 0)

    def scales(self, low: Array, high: Array) -> Array:
        """Of a range, before they are rounded to ``scale_dtype``: the greatest magnitude / half the steps, or the range /
        the steps."""
        x = low.dtype.type
        if self.symmetric:
            return np.asarray(greatest_magnitude(low, high) / x(self.steps / 2))
        return np.asarray((high - low) / x(self.steps))

    # A scale below this, or one that is 0 as it is stored, is of no use, and becomes the other if there is one.
    @property
    def least_scale(self) -> float:
        return 0.0

    @property
    def instead(self) -> float | None:
        return 1.0

    def zero_points(self, low: Array, scale: Array, exact: Array, unusable: Array) -> Array:
        """Of asymmetric codes, by the scale as it is stored, or before that, ``exact``."""
        return self.clamp(self.least - np.rint(low / scale))

    def quotient(self, x: Array, scale: Array) -> Array:
        return np.asarray(x / scale)

    def place(self, quotient: Array, zero_point: Array, round_: Rounding) -> Array:
        """What is clamped."""
        return np.asarray(round_(quotient) + zero_point)

    def clamped(self, place: Array, round_: Rounding) -> Array:
        return self.clamp(place)

    def codes(self, x: Array, scale: Array, zero_point: Array, round_: Rounding) -> Array:
        return self.clamped(self.place(self.quotient(x, scale), zero_point, round_), round_)


class Tersor(Convention):
    """Symmetric codes reach as far to either side: the least is not used."""

    @property
    def least(self) -> int:
        return super().least + (1 if self.symmetric else 0)

    def scales(self, low: Array, high: Array) -> Array:
        x = low.dtype.type
        if self.symmetric:
            return np.asarray(greatest_magnitude(low, high) / x(self.most - self.middle))
        return np.asarray(high / x(self.steps) - low / x(self.steps))  # high - low may overflow

    def zero_points(self, low: Array, scale: Array, exact: Array, unusable: Array) -> Array:
        return self.clamp(np.rint(self.least - low / scale))


class CompressedTensors(Convention):
    """``calculate_qparams`` and ``_quantize`` of compressed-tensors 0.20.0, as torch runs them on the CPU."""

    signed_asymmetric = True

    def scales(self, low: Array, high: Array) -> Array:
        x = low.dtype.type
        if self.symmetric:
            return self.in_w_dtype(greatest_magnitude(low, high) / x(self.steps / 2))
        return self.in_w_dtype(self.in_w_dtype(high - low) / x(self.steps))

    @property
    def instead(self) -> float:
        return EPSILON[self.scale_dtype.name]

    def zero_points(self, low: Array, scale: Array, exact: Array, unusable: Array) -> Array:
        """Before a scale of 0 is replaced. 0 / 0 becomes 0."""
        place = self.in_w_dtype(self.least - self.in_w_dtype(low / np.where(unusable, 0, scale)))
        return np.rint(np.where(np.isnan(place), 0, self.clamp(place)))

    def quotient(self, x: Array, scale: Array) -> Array:
        return self.in_w_dtype(x / scale)

    def place(self, quotient: Array, zero_point: Array, round_: Rounding) -> Array:
        return self.in_w_dtype(quotient + zero_point)

    def clamped(self, place: Array, round_: Rounding) -> Array:
        return round_(self.clamp(place))


class Onnx(Convention):
    """``compute_scale_zp`` and ``quantize_nparray`` of onnxruntime.quantization 1.32; operator QuantizeLinear."""

    def range(self, low: Array, high: Array) -> tuple[Array, Array]:
        return super().range(low.astype(np.float64), high.astype(np.float64))

    def scales(self, low: Array, high: Array) -> Array:
        """In float64. Symmetric int8 does not use the least code; narrower codes do."""
        if self.symmetric and self.signed and self.bits == 8:
            return np.asarray(greatest_magnitude(low, high) / 127)
        return super().scales(low, high)

    @property
    def least_scale(self) -> float:
        return LEAST_NORMAL[self.scale_dtype.name]

    def zero_points(self, low: Array, scale: Array, exact: Array, unusable: Array) -> Array:
        place = self.clamp(np.rint(self.least - low / np.where(unusable, 1, exact)))
        return np.where(unusable, 0, place)


class Torch(Convention):
    """``MinMaxObserver`` and ``quantize_per_channel`` of torch 2.13."""

    @property
    def least_scale(self) -> float:
        return EPSILON["float32"]

    @property
    def instead(self) -> float:
        return EPSILON["float32"]

    def quotient(self, x: Array, scale: Array) -> Array:
        return np.asarray(x * (1 / scale))


class Gptq(Convention):
    """``Quantizer`` of AutoGPTQ: Frantar et al., "GPTQ" (2022). A symmetric range without negative numbers stays half as
    wide: codes of what is beyond its middle are clamped."""

    signed_symmetric = False

    def range(self, low: Array, high: Array) -> tuple[Array, Array]:
        low, high = super().range(low, high)
        if self.symmetric:
            high = greatest_magnitude(low, high)
            low = np.where(low < 0, -high, 0).astype(high.dtype)
        nothing = (low == 0) & (high == 0)
        one = low.dtype.type(1)
        return np.where(nothing, -one, low), np.where(nothing, one, high)

    def scales(self, low: Array, high: Array) -> Array:
        return np.asarray((high - low) / low.dtype.type(self.steps))

    @property
    def instead(self) -> float:
        return 2 / self.steps


class Awq(Convention):
    """``pseudo_quantize_tensor`` of AutoAWQ 0.2: Lin et al., "AWQ" (2023). Each step is rounded to w's dtype, and 0 need
    not lie within the range."""

    def range(self, low: Array, high: Array) -> tuple[Array, Array]:
        return low, high

    def scales(self, low: Array, high: Array) -> Array:
        x = low.dtype.type
        least = self.in_w_dtype(np.asarray(x(1e-5)))
        if self.symmetric:
            return self.in_w_dtype(np.maximum(greatest_magnitude(low, high), least) / x(2 ** (self.bits - 1) - 1))
        return self.in_w_dtype(np.maximum(self.in_w_dtype(high - low), least) / x(self.steps))

    def zero_points(self, low: Array, scale: Array, exact: Array, unusable: Array) -> Array:
        return self.clamp(self.least - np.rint(self.in_w_dtype(low / scale)))

    def quotient(self, x: Array, scale: Array) -> Array:
        return self.in_w_dtype(x / scale)


class MatMulNBits(Convention):
    """``quantize_matmul_4bits`` and its like of onnxruntime 1.32, for operator MatMulNBits. A symmetric scale has the sign
    that gives the greatest magnitude the least code; of two alike the negative number counts. Zeros have the scale 0."""

    signed_symmetric = False

    @property
    def own_rounding(self) -> str:
        return "half_away"

    def scales(self, low: Array, high: Array) -> Array:
        x = low.dtype.type
        if self.symmetric:
            return np.asarray(np.where(np.abs(high) > np.abs(low), high, low) / x(-(2 ** (self.bits - 1))))
        return super().scales(low, high)

    @property
    def instead(self) -> float | None:
        return None

    def zero_points(self, low: Array, scale: Array, exact: Array, unusable: Array) -> Array:
        place = self.least - low / np.where(exact == 0, 1, exact)
        return np.where(exact == 0, 0, self.clamp(np.floor(place) + (place - np.floor(place) >= 0.5)))

    def quotient(self, x: Array, scale: Array) -> Array:
        return by_reciprocal(x, scale, 1)

    def place(self, quotient: Array, zero_point: Array, round_: Rounding) -> Array:
        return np.asarray(quotient + zero_point)

    def clamped(self, place: Array, round_: Rounding) -> Array:
        return round_(self.clamp(place))


class Ggml(Convention):
    """``quantize_row_q4_0_ref``, ``q5_0`` and ``q8_0`` of ggml, for symmetric codes of any bits. With fewer than 8 the scale
    has the sign that gives the greatest magnitude the least code; of two alike the first entry counts. Zeros have the scale
    0. ggml stores scales in float16, and makes codes by what they were before; here codes are made by scales as they are
    stored."""

    @classmethod
    def own_signed(cls, bits: int, symmetric: bool) -> bool:
        return bits == 8

    @property
    def own_rounding(self) -> str:
        return "half_up" if self.first_side else "half_away"

    @property
    def first_side(self) -> bool:
        return self.bits < 8

    def scales(self, low: Array, high: Array) -> Array:
        x = low.dtype.type
        if self.first_side:
            return np.asarray(np.where(np.abs(high) > np.abs(low), high, low) / x(-(2 ** (self.bits - 1))))
        return np.asarray(greatest_magnitude(low, high) / x(127))

    @property
    def instead(self) -> float | None:
        return None

    def quotient(self, x: Array, scale: Array) -> Array:
        return by_reciprocal(x, scale, 1)

    def place(self, quotient: Array, zero_point: Array, round_: Rounding) -> Array:
        """With the zero point before it is rounded, but for 8 bits."""
        return np.asarray(quotient + zero_point) if self.first_side else super().place(quotient, zero_point, round_)

    def clamped(self, place: Array, round_: Rounding) -> Array:
        return round_(self.clamp(place)) if self.first_side else self.clamp(place)


class BitsAndBytes(Convention):
    """``int8_vectorwise_quant`` of bitsandbytes 0.50 on the CPU: Dettmers et al., "LLM.int8()" (2022). It stores absmax, 127
    times the scale, and multiplies by ``127 / absmax``. Here absmax is ``scale * 127``, which is the same number unless its
    fraction is beyond 127 / 128: then it may be the next one. Zeros have the scale 0."""

    def scales(self, low: Array, high: Array) -> Array:
        return np.asarray(greatest_magnitude(low, high) / low.dtype.type(127))

    @property
    def instead(self) -> float | None:
        return None

    def quotient(self, x: Array, scale: Array) -> Array:
        return by_reciprocal(x, scale, 127)


CONVENTIONS: dict[str, type[Convention]] = {
    "tersor": Tersor,
    "compressed-tensors": CompressedTensors,
    "onnx": Onnx,
    "torch": Torch,
    "gptq": Gptq,
    "awq": Awq,
    "matmulnbits": MatMulNBits,
    "ggml": Ggml,
    "bitsandbytes": BitsAndBytes,
}
