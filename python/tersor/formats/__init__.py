"""formats: weights as the checkpoints of other libraries store them, bit for bit.

=========================  ========================================================================================
``pack-quantized``         compressed-tensors since 0.13: 2 to 8 bits, int32 words along the columns
``pack-quantized-padded``  the same up to 0.12: differs at 3, 5, 6 and 7 bits, whose words are padded
``gptq``, ``gptq_v2``      AutoGPTQ and GPTQModel: 2, 3, 4 or 8 bits, transposed; zero points less 1, or as they are
``awq``                    AutoAWQ's GEMM layout: 4 bits, transposed, along the rows
``matmulnbits``            onnxruntime's operator MatMulNBits: 2, 4 or 8 bits, in blocks of 16, 32, 64 and so on
``dequantizelinear``       ONNX's operator DequantizeLinear: INT4, UINT4 and those of 2 and 8 bits, in blocks or whole rows
``torchao-int4``           torchao's Int4Tensor: signed codes, transposed scales, and numbers for zero points
``gguf-q4_0``, ...         ggml's blocks of 32: q4_0, q4_1, q5_0, q5_1, q8_0; its super-blocks: q4_k, q5_k, q6_k
``bitsandbytes-nf4``       bitsandbytes: 16 numbers of a table, a scale for each 64 entries. ``-nf4-nested`` has the scales
                           in 8 bits; ``-fp4`` and ``-fp4-nested`` another table
``nvfp4-pack-quantized``   compressed-tensors: float4_e2m1fn, a float8_e4m3fn scale for each 16 columns, one float32 for all
``modelopt-nvfp4``         NVIDIA Model Optimizer's: the same, multiplied by the scale of all where the former divides
``mxfp4-pack-quantized``   compressed-tensors: float4_e2m1fn, a power of two for each 32 columns
=========================  ========================================================================================

A weight is a matrix [rows, cols], as torch's Linear has it. Its tensors are a dict with the names of the format, without
the module's: ``{"qweight": ..., "scales": ...}``. They are NumPy arrays or torch tensors, as the weight is, and may be
loaded with ``safetensors``.
"""

from __future__ import annotations

from typing import Any

from tersor._quantized import Quantized
from tersor.formats._format import CannotRepresent, Format, Tensors, Wanted, Weight
from tersor.formats._integer import integer_weight
from tersor.formats.awq import AWQ
from tersor.formats.bitsandbytes import BITSANDBYTES
from tersor.formats.compressed_tensors import PACK_QUANTIZED, PADDED_PACK_QUANTIZED
from tersor.formats.gguf import GGUF
from tersor.formats.gptq import GPTQ, GPTQ_V2
from tersor.formats.mxfp4 import MXFP4_PACK_QUANTIZED
from tersor.formats.nvfp4 import MODELOPT_NVFP4, NVFP4_PACK_QUANTIZED
from tersor.formats.onnx import DEQUANTIZELINEAR
from tersor.formats.onnxruntime import MATMULNBITS
from tersor.formats.torchao import TORCHAO_INT4

__all__ = ["codes", "decode", "detect", "encode", "names", "transcode"]

_INTEGER: tuple[Format, ...] = (PACK_QUANTIZED, PADDED_PACK_QUANTIZED, GPTQ, GPTQ_V2, AWQ, MATMULNBITS, DEQUANTIZELINEAR)
_FLOAT: tuple[Format, ...] = (*BITSANDBYTES, NVFP4_PACK_QUANTIZED, MODELOPT_NVFP4, MXFP4_PACK_QUANTIZED, TORCHAO_INT4)
_FORMATS: dict[str, Format] = {each.name: each for each in (*_INTEGER, *GGUF, *_FLOAT)}


def names() -> tuple[str, ...]:
    """The names of all formats.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> from tersor import formats
    >>> formats.names()[:7]
    ('pack-quantized', 'pack-quantized-padded', 'gptq', 'gptq_v2', 'awq', 'matmulnbits', 'dequantizelinear')
    >>> formats.names()[7:15]
    ('gguf-q4_0', 'gguf-q4_1', 'gguf-q5_0', 'gguf-q5_1', 'gguf-q8_0', 'gguf-q4_k', 'gguf-q5_k', 'gguf-q6_k')
    >>> formats.names()[15:19]
    ('bitsandbytes-nf4', 'bitsandbytes-nf4-nested', 'bitsandbytes-fp4', 'bitsandbytes-fp4-nested')
    >>> formats.names()[19:]
    ('nvfp4-pack-quantized', 'modelopt-nvfp4', 'mxfp4-pack-quantized', 'torchao-int4')
    """
    return tuple(_FORMATS)


def encode(
    name: str,
    w: Any,
    *,
    bits: int | None = None,
    group_size: int | None = None,
    symmetric: bool | None = None,
    convention: str | None = None,
) -> dict[str, Any]:
    """The tensors of a weight in a format.

    Parameters
    ----------
    name : str
        One of ``names()``.
    w : matrix of a floating dtype, or Quantized
        What is quantized first, or is already: codes that are not packed, of a matrix, in groups along its columns.
    bits : int, optional
        4 by default.
    group_size : int, optional
        Columns with a scale of their own, 128 by default; -1 for whole rows. Formats of numbers have 16 (nvfp4) or 32
        (mxfp4); torchao-int4 32, 64, 128 or 256; bitsandbytes' a power of two from 32 to 4096 entries, 64 by default.
    symmetric : bool, optional
        Whether there are no zero points, which is the default but for torchao-int4.
    convention : str, optional
        Of ``quantize``: by default the format's own, "compressed-tensors", "gptq", "awq", "matmulnbits" or "onnx". "ocp" for
        mxfp4: scales by the OCP MX specification instead of compressed-tensors' rule.

    Returns
    -------
    dict of str to array
        Of w's kind, on its device.

    Raises
    ------
    ValueError
        The name is unknown; the format has no room for such codes, groups, zero points or scales, or for the shape.
    TypeError
        w is no array, or of another dtype or kind.

    Notes
    -----
    The codes and scales are those of ``quantize``, with scales in float16 for GPTQ and AWQ, else in w's dtype. bits,
    group_size, symmetric and convention say nothing about a ``Quantized``.

    The types of gguf fix all four. w, rounded to float32, is cut in blocks of 32 columns, for the k types of 256, and must
    consist of whole ones. The bytes are those of ``gguf.quants.quantize`` 0.19.0, for the k types those of ggml's
    ``quantize_row_*_ref`` without fused multiply-adds. A block of 32 that holds NaN has NaN for its scale, one with an
    infinity an infinite scale; a block of 256 with either has NaN for its scale, and decodes to NaN.
    Numbers whose cubes overflow in float32, from about 1e12 on, become 0 in q6_k, as in ggml.

    The formats of numbers (bitsandbytes, nvfp4, mxfp4) give an entry the code whose number is nearest to w / scale, in
    float32; float64 is rounded to it first. Of two as near, float4_e2m1fn takes the one with an even code, bitsandbytes the
    lesser. A scale comes of the greatest finite magnitude of its run; an infinity becomes the greatest or the least number,
    a NaN 0. Numbers below 0 that become 0 keep their sign in float4_e2m1fn, and -0.0 does not. Scales of zeros alone are an
    absmax of 0, a float8 of 0.125 (compressed-tensors) or 1 (Model Optimizer), or 2**-127. Packages make NaN of a whole run
    that holds a NaN or an infinity; of finite numbers they make the same codes and scales, but for the mean of nested ones.

    torchao-int4: in float32, ``scale = max(max(w) - min(w), 1e-6) / 15``, ``zero_point = min(w) + 8 * scale`` and
    ``code = round_half_even((w - min(w)) / scale) - 8``; symmetric ``scale = max(max(|w|), 1e-6) / 8`` and
    ``code = round_half_even(w / scale)`` in [-8, 7]. Of finite numbers alone; an infinity becomes the least or greatest
    code, and NaN is taken for 0. Scales and zero points are rounded to w's dtype afterwards, float32 for float64.

    Examples
    --------
    >>> import numpy as np
    >>> from tersor import formats
    >>> w = np.linspace(-1, 1, 32 * 64, dtype=np.float32).reshape(32, 64)
    >>> {key: tensor.shape for key, tensor in formats.encode("gptq", w, group_size=32).items()}
    {'qweight': (8, 32), 'qzeros': (2, 4), 'scales': (2, 32), 'g_idx': (64,)}
    """
    form = _format(name)
    weight = integer_weight(w) if isinstance(w, Quantized) else None
    return form.pack(weight or form.quantize(w, Wanted(bits, group_size, symmetric, convention)))


def decode(
    name: str,
    tensors: Tensors,
    *,
    bits: int | None = None,
    group_size: int | None = None,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """The weight that tensors of a format hold, as numbers.

    Parameters
    ----------
    name : str
        One of ``names()``.
    tensors : mapping of str to array
        With the names of the format.
    bits, group_size : int, optional
        Where the shapes do not tell.
    dtype : name, NumPy dtype or torch dtype, optional
        float32, float16, bfloat16 or float64. By default that of the scales; of gguf float32, of nvfp4 and mxfp4 bfloat16,
        of bitsandbytes what the tensors name.
    out : matrix of a floating dtype, optional
        Where the result goes; it may overlap no tensor. Its dtype decides, and ``dtype`` must not differ.

    Returns
    -------
    matrix
        ``out``, or a new one of the tensors' kind, on their device.

    Raises
    ------
    ValueError
        The name is unknown; a tensor is missing, or of another dtype or shape than the others ask for; a group number is
        out of range; a scale is NaN or infinite; out does not fit, is read-only or overlaps a tensor.
    TypeError
        A tensor is no array that tersor reads.

    Notes
    -----
    ``(code - zero point) * scale`` as ``dequantize`` computes it; with ``g_idx`` the group of each column is what it says.
    For gguf ``scale * code + minimum`` in float32, each step rounded, as ``gguf.quants.dequantize`` does; then rounded once
    to ``dtype``. NaN is the canonical one.

    In formats of numbers, that of the code times the scale, in float32, rounded once; of a scale that is NaN come NaN. A
    scale of all scales divides or multiplies these first, rounded to float32. In torchao-int4 the zero point is added to the
    product, both rounded to float32, then the sum once to ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> from tersor import formats
    >>> w = np.sin(np.arange(32 * 64, dtype=np.float32)).reshape(32, 64)
    >>> tensors = formats.encode("awq", w, group_size=32, symmetric=False)
    >>> bool(np.abs(formats.decode("awq", tensors, dtype="float32") - w).max() < 1 / 15 + 0.001)  # half a step
    True
    """
    return _format(name).unpack(tensors, bits, group_size).decoded(dtype, out)


def codes(name: str, tensors: Tensors, *, bits: int | None = None, group_size: int | None = None) -> Quantized:
    """The codes, scales and zero points that tensors of a format hold.

    Parameters
    ----------
    name : str
        One of ``names()``.
    tensors : mapping of str to array
        With the names of the format.
    bits, group_size : int, optional
        Where the shapes do not tell.

    Returns
    -------
    Quantized
        Codes that are not packed, unsigned but for ONNX's signed types. Symmetric where all zero points are those of
        symmetric codes.

    Raises
    ------
    ValueError
        As for ``decode``; groups are no runs of columns, or have minima for zero points, which a ``Quantized`` cannot say.
    TypeError
        A tensor is no array that tersor reads.

    Examples
    --------
    >>> import numpy as np
    >>> from tersor import formats
    >>> w = np.linspace(-1, 1, 32 * 64, dtype=np.float32).reshape(32, 64)
    >>> formats.codes("gptq", formats.encode("gptq", w, group_size=32))
    Quantized(shape=(32, 64), bits=4, axis=1, group_size=32, unsigned, symmetric, nbytes=2176)
    """
    weight = _format(name).unpack(tensors, bits, group_size).as_integers()
    if weight.group_of_column is not None:
        raise ValueError("g_idx names groups that are no runs of columns; decode the tensors, or transcode them")
    return weight.codes


def transcode(
    src: str,
    dst: str,
    tensors: Tensors,
    *,
    bits: int | None = None,
    group_size: int | None = None,
    requantize: bool = False,
) -> dict[str, Any]:
    """Tensors of one format as those of another, without a change to any number they stand for.

    Parameters
    ----------
    src, dst : str
        Of ``names()``.
    tensors : mapping of str to array
        Of the format ``src``.
    bits, group_size : int, optional
        Of src, where the shapes do not tell.
    requantize : bool, default False
        Whether to quantize the weight anew where dst has no room for what src holds: with as many bits, in groups of the
        same size and symmetric or not, as far as dst can.

    Returns
    -------
    dict of str to array

    Raises
    ------
    ValueError
        A name is unknown; the tensors are not of src; dst cannot store their codes, zero points, groups or scales as they
        are, and requantize is False: the message tells what quantizing anew would change.
    TypeError
        A tensor is no array that tersor reads.

    Notes
    -----
    Codes, zero points and scales move as they are; nothing is turned into numbers, unless ``requantize`` has to.

    Of the types of gguf, q4_0, q5_0 and q8_0 are codes about zero in groups of 32 columns, with float16 scales that may be
    negative. They move to formats of as many bits. To them moves what has groups of a multiple of 32 columns, scales that
    are float16 numbers, and codes no farther from their zero points than the type has room for.

    Examples
    --------
    >>> import numpy as np
    >>> from tersor import formats
    >>> w = np.linspace(-1, 1, 32 * 64, dtype=np.float16).reshape(32, 64)
    >>> tensors = formats.encode("pack-quantized", w, group_size=32)
    >>> moved = formats.transcode("pack-quantized", "gptq_v2", tensors)
    >>> np.array_equal(formats.decode("gptq_v2", moved), formats.decode("pack-quantized", tensors))
    True
    """
    weight, form = _format(src).unpack(tensors, bits, group_size), _format(dst)
    try:
        return form.pack(weight)
    except CannotRepresent as reason:
        anew = _requantized(form, weight)
        if requantize and anew is not None:
            return anew
        raise ValueError(f"{reason}; {_what_is_lost(form, weight, anew)}") from None


def detect(tensors: Tensors) -> str:
    """The name of the format that tensors are of.

    Parameters
    ----------
    tensors : mapping of str to array

    Returns
    -------
    str

    Raises
    ------
    ValueError
        They are of no format, or do not tell of which: asymmetric zero points of GPTQ are the same in both versions,
        words of 3, 5, 6 and 7 bits may be padded or not, and a row of bytes may be blocks of several types of gguf.

    Notes
    -----
    By names, shapes and, for the versions of GPTQ, the values of symmetric zero points: files exist that are named version 1
    and hold version 2.

    Examples
    --------
    >>> import numpy as np
    >>> from tersor import formats
    >>> w = np.linspace(-1, 1, 32 * 64, dtype=np.float32).reshape(32, 64)
    >>> formats.detect(formats.encode("gptq_v2", w, group_size=32))
    'gptq_v2'
    """
    found = [name for name, form in _FORMATS.items() if form.is_like(tensors)]
    if found[:2] == ["pack-quantized", "pack-quantized-padded"] and _is_same_padded_or_not(tensors):
        found = found[:1]
    if len(found) != 1:
        keys = ", ".join(sorted(tensors)) or "none"
        which = f"may be of {' or '.join(found)}" if found else "are of no format, or of GPTQ and do not tell its version"
        raise ValueError(f"tensors {which}: {keys}; name the format")
    return found[0]


def _format(name: str) -> Format:
    if name not in _FORMATS:
        raise ValueError(f"name must be one of {', '.join(map(repr, _FORMATS))}, got {name!r}")
    return _FORMATS[name]


def _is_same_padded_or_not(tensors: Tensors) -> bool:
    cols = int(tensors["weight_shape"][1])
    words = int(tensors["weight_packed"].shape[1])
    return any(-(-cols * bits // 32) == words for bits in (2, 4, 8))


def _requantized(form: Format, weight: Weight) -> dict[str, Any] | None:
    """Quantized anew, or None where the format has no room for the shape either."""
    w = weight.decoded("float32")
    for wanted in form.nearest_to(weight):
        try:
            return form.pack(form.quantize(w, wanted))
        except CannotRepresent:
            pass
    return None


def _what_is_lost(form: Format, weight: Weight, anew: dict[str, Any] | None) -> str:
    if anew is None:
        return "quantizing anew would not help"
    before = weight.decoded("float32")
    after = form.unpack(anew, None, None).decoded("float32")
    change = float(abs(after - before).max()) if weight.rows and weight.cols else 0.0
    return (
        f"requantize=True would change numbers by up to {change:.3g}, where the greatest is {float(abs(before).max()):.3g}"
    )
