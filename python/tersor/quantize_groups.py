"""quantize: codes of 2 to 8 bits with a scale for each group of entries, by the rules of several libraries."""

from __future__ import annotations

from typing import Any

from tersor import _core
from tersor._arguments import integer, packed_codes_shape
from tersor._groups import (
    as_numbers,
    code_dtype,
    codes_beside,
    codes_to_read,
    empty_scales,
    groups_in,
    is_signed,
    is_symmetric,
    stored_groups,
)
from tersor._outputs import dtype_name, framework_of
from tersor._quantized import Quantized


def quantize(
    w: Any,
    bits: int = 8,
    *,
    granularity: str = "row",
    axis: int = -1,
    group_size: int = 128,
    symmetric: bool = True,
    signed: bool | None = None,
    convention: str = "tersor",
    rounding: str | None = None,
    seed: int = 0,
    scale_dtype: Any = None,
    scale_method: str | None = None,
    percentile: float = 99.9,
    max_shrink: float = 0.8,
    grid: int = 100,
    importance: Any = None,
    bins: int | None = None,
    scale: Any = None,
    zero_point: Any = None,
    packed: bool = False,
    out: Any = None,
) -> Quantized:
    """Quantize to codes of 2 to 8 bits, with a scale and perhaps a zero point for each group of entries.

    Parameters
    ----------
    w : array, float32, float16, bfloat16 or float64
    bits : int in [2, 8], default 8
    granularity : {"row", "tensor", "column", "group"}, default "row"
        What has a scale of its own: each row along ``axis``; all of w; each column, that is a run along the last axis
        but one; or each run of ``group_size`` entries along ``axis``, of which the last may be shorter.
    axis : int, default -1
        Of rows and groups.
    group_size : int, default 128
    symmetric : bool, default True
        Whether zero lies in the middle; else each group has a zero point, the code of 0.
    signed : bool, optional
        int8 codes from ``-2**(bits - 1)``, or uint8 codes from 0. By default what the convention does: signed where
        symmetric, unsigned where not; "gptq" and "matmulnbits" always unsigned, "compressed-tensors" always signed, "ggml"
        signed for 8 bits alone.
    convention : str, default "tersor"
        Whose formulas make the scales and codes: "tersor", "compressed-tensors", "onnx", "torch", "gptq", "awq",
        "matmulnbits", "ggml" (symmetric alone) or "bitsandbytes" (symmetric, 8 bits); see Notes.
    rounding : {"half_even", "half_away", "half_up", "truncate", "stochastic"}, optional
        Ties to even, away from zero, or up; toward zero; or up with the probability of the fraction. By default what the
        convention does: "half_away" for "matmulnbits" and for 8 bits of "ggml", "half_up" for fewer, else "half_even".
    seed : int in [0, 2**64), default 0
        Of stochastic rounding: the same seed gives the same codes for any number of threads, on every machine.
    scale_dtype : name, NumPy dtype or torch dtype, optional
        float32, float16, bfloat16 or float64. By default float32 (float64 for float64); w's own for
        "compressed-tensors", "awq" and "matmulnbits". Codes are made with the scales as they are stored.
    scale_method : {"absmax", "minmax", "percentile", "mse", "entropy"}, optional
        The range that a group's scale is made of: of all its finite entries, "absmax" where codes are symmetric and "minmax"
        where not, which is the default; what ``percentile`` of its entries lie within; the share of the whole range
        whose codes leave the least sum of squared errors; or the part in which codes keep the most information, which asks
        for groups of many entries.
    percentile : float in (0, 100], default 99.9
        Of "percentile".
    max_shrink, grid : float in [0, 1), default 0.8, and int in [1, 1000], default 100
        Of "mse": the shares that are tried are ``1 - i / grid`` for i below ``max_shrink * grid``.
    importance : array of the last axis's length, optional
        Of "mse": what the squared error of each column counts, finite and at least 0. float32 (float64 for float64).
    bins : int in [2, 2**20], optional
        Of "entropy": at most, of a group's histogram. By default ``8 * 2**bits``, which is 2048 for 8 bits.
    scale, zero_point : arrays, optional
        Given scales, of the shape that ``Quantized`` describes, and zero points; without zero points codes are
        symmetric. Then only codes are made.
    packed : bool, default False
        Codes one after the other in the bits of uint8, each row of the last axis in whole bytes.
    out : array q, or tuple (q, scale) or (q, scale, zero_point), optional
        Where the results go: q alone where scales are given. They may overlap nothing.

    Returns
    -------
    Quantized
        Of arrays of w's kind, on its device, or of those in ``out``.

    Raises
    ------
    ValueError
        An argument is out of range or unknown; a scale or an output has another shape; an output is
        read-only or overlaps another array.
    numpy.exceptions.AxisError
        axis is out of range. It is a ValueError and an IndexError.
    TypeError
        An argument is no array, or of a dtype or kind that tersor does not read.

    Notes
    -----
    low and high are the least and greatest finite entry of a group, n is ``2**bits - 1``, least and most are the first
    and the last code. Arithmetic is in float32 (float64 for float64), each step rounded once.

    =================== ========================= ================== ======================================== =====
    convention          symmetric scale           asymmetric scale   zero point                               of 0
    =================== ========================= ================== ======================================== =====
    tersor              absmax / (2**(bits-1)-1)  high/n - low/n     round(least - low / scale)               1
    compressed-tensors  absmax / (n / 2)          (high - low) / n   round(least - low / scale)               eps
    onnx                absmax / (n / 2)          (high - low) / n   round(least - low / scale)               1
    torch               absmax / (n / 2)          (high - low) / n   least - round(low / scale)               2**-23
    gptq                2 absmax / n              (high - low) / n   -round(low / scale)                      2/n
    awq                 absmax / (2**(bits-1)-1)  (high - low) / n   -round(low / scale)                      1e-5/n
    matmulnbits         -greatest / 2**(bits-1)   (high - low) / n   round(least - low / scale)               0
    ggml, up to 7 bits  -greatest / 2**(bits-1)   none                                                        0
    ggml, 8 bits        absmax / 127              none                                                        0
    bitsandbytes        absmax / 127              none                                                        0
    =================== ========================= ================== ======================================== =====

    The last column is the scale of a group of zeros. But for awq, low is at most 0 and high at least 0. A code is
    ``clamp(round(x / scale) + zero_point, least, most)``; compressed-tensors rounds last, ``round(clamp(x / scale +
    zero_point))``, and like awq rounds every step to w's dtype, as torch does; torch multiplies by ``1 / scale``. tersor
    leaves out the least symmetric code, so that they reach as far to either side; onnx does for 8 signed bits in its
    scale, which it computes in float64, with the zero point; gptq's symmetric scale is half of that where nothing in a
    group is negative; matmulnbits keeps the sign of the entry of greatest magnitude, the negative one of two alike, and
    rounds ``x * (1 / scale) + zero_point`` last, ties away from zero. ggml does so too, but takes the first of two alike and
    rounds ties up; its 8 bits are ``round(x * (1 / scale))``, ties away from zero. The codes are those of q4_0, q5_0 and
    q8_0, whose scales ``formats`` rounds to float16 after codes are made. bitsandbytes (LLM.int8()) multiplies by
    ``127 / absmax``, here by ``127 / (scale * 127)``: the same, but that absmax may come out one unit off where its fraction
    is beyond 127 / 128. ``tersor.reference`` has each rule in a few lines, with its source.

    "percentile" is exact, by nearest rank: of n entries ``ceil(percentile / 100 * n)`` have no greater magnitude than the
    range of symmetric codes reaches; for others so many are not above it, and so many not below. NaN counts as the greatest.
    "mse" compares numbers with the nearest that codes stand for, ``clamp(round(x * (1 / scale)) + zero_point)``, in float32
    (float64 for float64), with scales as they are stored; sums of at most 4,096 entries (of 64 where groups do not run along
    the innermost axis) join in float64, so they are the same for any number of threads. Of several shares with the least sum
    the greatest is taken; where squares overflow, the whole range. The search is that of GPTQ's ``Quantizer``, whose norm is
    2.4 where this is 2.
    "entropy" counts the finite entries of a group in bins ``[k * 2**e, (k + 1) * 2**e)``, with the least e for which at most
    ``bins`` reach from low to high, and as many to either side of zero. They are cut at every number of bins around zero,
    and the cut with the least divergence by Kullback and Leibler of what is left from what ``2**(bits - 1)`` levels make of
    it is taken, as onnxruntime 1.32 does (Migacz, "8-bit inference with TensorRT", 2017). Divergences are float64; those of
    onnxruntime and of ``Calibrator`` are float32, in which near ones may change places. Where none is finite, the range
    stays whole.

    A scale is at most the greatest number of its dtype. An infinity becomes the first or last code, NaN the zero point.
    Groups without entries have a scale where they are whole tensors, else there are none. A call interrupted by Ctrl-C
    leaves outputs partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> w = np.float32([[0.5, 1.0, 2.0, 3.0], [-1.0, 0.0, 0.25, 0.5]])
    >>> t = tersor.quantize(w, bits=4, granularity="group", group_size=2, symmetric=False)
    >>> t.q, t.zero_point
    (array([[ 7, 15, 10, 15],
           [ 0, 15,  7, 15]], dtype=uint8), array([[ 0,  0],
           [15,  0]], dtype=uint8))
    >>> tersor.dequantize(t).round(2)
    array([[ 0.47,  1.  ,  2.  ,  3.  ],
           [-1.  ,  0.  ,  0.23,  0.5 ]], dtype=float32)
    """
    groups = groups_in(w, granularity, group_size, axis)
    bits = integer(bits, "bits")
    scale_is_given = scale is not None
    symmetric = is_symmetric(symmetric, scale, zero_point)
    if scale_is_given and scale_method is not None:
        raise ValueError(f"scale_method is {scale_method!r}, but scales are given; leave one of them out")
    if importance is not None and scale_method != "mse":
        raise ValueError('importance is of scale_method="mse" alone; leave it out')
    signed = is_signed(signed, symmetric, convention, bits)
    q_shape = packed_codes_shape(groups.shape, bits, "w") if packed else groups.shape
    if out is None:
        framework = framework_of(w, "w")
        q = framework.empty(w, q_shape, "uint8" if packed else code_dtype(signed))
        if not scale_is_given:
            scale, zero_point = empty_scales(w, w, groups, symmetric, signed, convention, scale_dtype)
    elif scale_is_given:
        q = out
    else:
        q, scale, zero_point = _outputs(out, symmetric)
        if scale_dtype is not None and dtype_name(scale_dtype) != dtype_name(scale.dtype):
            raise ValueError(f"scale_dtype is {dtype_name(scale_dtype)}, but out's scale has {dtype_name(scale.dtype)}")
    at_once = not packed or groups.in_whole_bytes(bits)
    codes = q if at_once else codes_beside(q, groups.shape, signed)
    ranges = (range_method(scale_method, symmetric), percentile, max_shrink, grid, importance, bins)
    options = (*ranges, bits, symmetric, signed, convention, rounding, seed, packed and at_once, scale_is_given)
    _core.quantize_groups(w, groups.axis, groups.size, *options, scale, zero_point, codes)
    if not at_once:
        _core.pack_bits(codes, bits, False, "low_first", False, -1, q)
    if out is None:
        q = framework.result(q)
        if not scale_is_given:
            scale, zero_point = framework.result(scale), None if symmetric else framework.result(zero_point)
    size = None if groups.whole else groups.size
    return Quantized(q, scale, zero_point, bits, groups.shape, groups.axis, size, signed, bool(packed))


def range_method(scale_method: str | None, symmetric: bool) -> str:
    """What _core calls it; "absmax" and "minmax" are the range of all entries of symmetric codes and of others."""
    whole = "absmax" if symmetric else "minmax"
    if scale_method in (None, whole):
        return "whole"
    if scale_method in ("percentile", "mse", "entropy"):
        return scale_method
    kind = "symmetric" if symmetric else "asymmetric"
    methods = f'"{whole}", "percentile", "mse" or "entropy"'
    raise ValueError(f"scale_method of {kind} codes must be {methods}, got {scale_method!r}")


def _outputs(out: Any, symmetric: bool) -> tuple[Any, Any, Any]:
    wanted = "(q, scale)" if symmetric else "(q, scale, zero_point)"
    if not isinstance(out, (tuple, list)) or len(out) != (2 if symmetric else 3):
        raise TypeError(f"out must be a tuple {wanted}")
    if symmetric:
        return out[0], out[1], None
    _core.check_array(out[2], "zero_point")  # None would be no zero point
    return out[0], out[1], out[2]


def dequantize(t: Quantized, *, dtype: Any = None, out: Any = None) -> Any:
    """Turn codes back into numbers: ``(q - zero_point) * scale``.

    Parameters
    ----------
    t : Quantized
    dtype : name, NumPy dtype or torch dtype, optional
        float32, float16, bfloat16 or float64; the scale's dtype by default.
    out : array of t's shape and a floating dtype, optional
        Where the result goes; it may not overlap t's arrays. Its dtype decides, and ``dtype`` must not differ.

    Returns
    -------
    array
        ``out``, or a new array of the kind of the codes and t's shape, on their device.

    Raises
    ------
    ValueError
        The arrays of t do not fit each other; out does not fit, is read-only, overlaps an array of t, or differs
        from dtype.
    TypeError
        t is no Quantized; an array is of another dtype or kind; dtype is not one of the four.

    Notes
    -----
    The difference is exact; the product is taken in float32 (float64 for float64 scales) and rounded once to ``dtype``,
    half to even; what is too large for it becomes infinite. A call interrupted by Ctrl-C leaves out partly written.

    Examples
    --------
    >>> import numpy as np
    >>> import tersor
    >>> t = tersor.Quantized(np.int8([[7, -4]]), np.float32([[0.5]]), bits=4, shape=(1, 2), axis=1)
    >>> tersor.dequantize(t)
    array([[ 3.5, -2. ]], dtype=float32)
    """
    if not isinstance(t, Quantized):
        raise TypeError(f"t must be a Quantized, as quantize gives it, not {type(t).__name__}")
    groups = stored_groups(t)

    def fill(numbers: Any) -> None:
        q, packed = codes_to_read(t, groups)
        _core.dequantize_groups(q, groups.axis, groups.size, t.bits, t.signed, packed, t.scale, t.zero_point, numbers)

    return as_numbers(t, dtype, out, fill)
