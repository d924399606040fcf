"""Every operator of torch.ops.tersor with arguments to call it with, and the function of tersor that it stands for."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import tersor
import tersor.torch
import torch

ops = torch.ops.tersor

BIT_LAYOUT = ("padded", "order", "offset", "axis")


def normal(*shape: int, dtype: Any = torch.float32, requires_grad: bool = False) -> Any:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(requires_grad)


def bool_mask(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(0).random(shape) < 0.5)


def int8_codes(*shape: int, low: int = -128, high: int = 127) -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(low, high + 1, shape, np.int8))


def bitmask_parts(rows: int, cols: int, dtype: Any, requires_grad: bool = False) -> tuple[Any, Any, Any]:
    mask = bool_mask(rows, cols)
    counts = mask.sum(1)
    values = normal(rows, cols, dtype=dtype)[mask].requires_grad_(requires_grad)
    return values, tersor.pack_mask(mask), counts.cumsum(0) - counts


def two_of_four(w: Any) -> Any:
    """A view, as pruning in place leaves it: the gradient is no matter here."""
    return ops.prune_nm(w.detach()[:, :32].contiguous(), 2, 4).requires_grad_(w.requires_grad)


def calls(dtype: Any = torch.float32, requires_grad: bool = False) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Every overload of every operator, and arguments to call it with."""
    w = normal(5, 33, dtype=dtype, requires_grad=requires_grad)
    scale_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    scale, scale_of_7 = normal(5, 1, dtype=scale_dtype).abs(), normal(7, 1, dtype=scale_dtype).abs()
    rows = torch.linspace(0.5, 2, 5, dtype=torch.float64)[:, None]
    packed = tersor.pack_mask(bool_mask(5, 33))
    scores = normal(5, 33, dtype=dtype).flip(0)
    return {
        "prune_threshold": (ops.prune_threshold.default, (w, 0.5)),
        "mask_threshold": (ops.mask_threshold.default, (w, 0.5)),
        "mask_threshold packed": (ops.mask_threshold.default, (w, 0.5, True)),
        "prune_magnitude": (ops.prune_magnitude.default, (w, 0.5)),
        "prune_magnitude column": (ops.prune_magnitude.default, (w, 0.5, "column")),
        "mask_magnitude": (ops.mask_magnitude.default, (w, 0.5)),
        "mask_magnitude packed": (ops.mask_magnitude.default, (w, 0.5, "row", True)),
        "prune_mean": (ops.prune_mean.default, (w, 0.8)),
        "mask_mean": (ops.mask_mean.default, (w, 0.8)),
        "prune_scores": (ops.prune_scores.default, (w, scores, 0.5)),
        "mask_scores": (ops.mask_scores.default, (scores, 0.5)),
        "mask_scores packed": (ops.mask_scores.default, (scores, 0.5, "tensor", True)),
        "prune_taylor": (ops.prune_taylor.default, (w, scores, 0.5)),
        "mask_taylor": (ops.mask_taylor.default, (w, scores, 0.5)),
        "prune_wanda": (ops.prune_wanda.default, (w, scores[0], 0.5)),
        "mask_wanda": (ops.mask_wanda.default, (w, scores[0], 0.5)),
        "prune_random": (ops.prune_random.default, (w, 0.5, 7)),
        "mask_random": (ops.mask_random.default, (w, 0.5, 7)),
        "prune_nm": (ops.prune_nm.default, (w, 2, 4)),
        "prune_nm transposable": (ops.prune_nm.default, (w, 2, 4, -1, True)),
        "mask_nm": (ops.mask_nm.default, (w, 2, 4)),
        "mask_nm packed": (ops.mask_nm.default, (w, 2, 4, 0, False, True)),
        "prune_blocks": (ops.prune_blocks.default, (w, [2, 4], 0.5)),
        "mask_blocks": (ops.mask_blocks.default, (w, [2, 4], 0.5, "l1")),
        "kth_magnitude": (ops.kth_magnitude.default, (w, 70)),
        "kth_value": (ops.kth_value.default, (w, 70)),
        "quantile": (ops.quantile.default, (w, 0.3)),
        "magnitude_threshold": (ops.magnitude_threshold.default, (w, 0.3)),
        "apply_mask": (ops.apply_mask.default, (w, bool_mask(5, 33))),
        "apply_mask packed": (ops.apply_mask.default, (w, packed)),
        "count_nonzero": (ops.count_nonzero.default, (w,)),
        "score_units": (ops.score_units.default, (w,)),
        "score_units columns": (ops.score_units.default, (w, "l2", 1, 11)),
        "score_units taylor": (ops.score_units.default, (w, "taylor", 0, 1, normal(5, 33, dtype=dtype))),
        "select_units": (ops.select_units.default, (w[:, 0], 0.4)),
        "select_units multiple": (ops.select_units.default, (w[:, 0], 0.4, 2)),
        "remove_units": (ops.remove_units.default, (w, torch.tensor([0, 2]))),
        "remove_units columns": (ops.remove_units.default, (w, torch.tensor([0, 2]), 1, 11)),
        "round_fixed": (ops.round_fixed.default, (w, 4)),
        "quantize_int8": (ops.quantize_int8.default, (w,)),
        "quantize_int8 columns": (ops.quantize_int8.default, (w, 0)),
        "dequantize_int8": (ops.dequantize_int8.default, (int8_codes(5, 33), scale)),
        "dequantize_int8 to a dtype": (ops.dequantize_int8.default, (int8_codes(5, 33), scale, dtype)),
        "quantize": (ops.quantize.default, (w,)),
        "quantize asymmetric groups": (
            ops.quantize.default,
            (w, 4, "group", -1, 16, None, "torch", "half_away", 3, True, False, torch.float16),
        ),
        "quantize columns": (ops.quantize.default, (w, 3, "column", -1, 128, None, "awq")),
        "quantize by the least error": (
            ops.quantize.default,
            (w, 4, "row", -1, 128, None, "tersor", None, 0, False, True, None, "mse"),
        ),
        "quantize by scales": (ops.quantize.scaled, (w, scale, None, 6)),
        "dequantize": (ops.dequantize.default, (int8_codes(7, 33), scale_of_7, None, 8, [7, 33], 1)),
        "dequantize to a dtype": (
            ops.dequantize.default,
            (int8_codes(7, 33), scale_of_7, int8_codes(7, 1), 8, [7, 33], 1, None, True, False, dtype),
        ),
        "fake_quantize": (ops.fake_quantize.default, (w,)),
        "fake_quantize asymmetric groups": (
            ops.fake_quantize.default,
            (w, 4, "group", -1, 16, None, "torch", "half_away", 3, False, torch.float16),
        ),
        "fake_quantize by scales": (ops.fake_quantize.scaled, (w, scale, None, 3)),
        "fake_quantize_backward": (ops.fake_quantize_backward.default, (w, w.detach().flip(0), scale, None, 3)),
        "quantization_error": (ops.quantization_error.default, (w, int8_codes(5, 33), scale, None, 8, 1)),
        "quantization_error of groups": (
            ops.quantization_error.default,
            (w, int8_codes(5, 33), scale, None, 8, 1, None, True, False, True),
        ),
        "histogram": (ops.histogram.default, (w, 7)),
        "histogram range": (ops.histogram.default, (w, 7, [-1.0, 1.0])),
        "histogram2d": (ops.histogram2d.default, (w, w.detach() * 2, 4, "quantile")),
        "entropy": (ops.entropy.default, (w, 7)),
        "entropy columns": (ops.entropy.default, (w, 7, 0)),
        "mutual_information": (ops.mutual_information.default, (w, int8_codes(5, low=0, high=2), 3)),
        "mutual_information rows": (ops.mutual_information.default, (w[:, 0], w.detach()[:, 1], 3)),
        "divergence": (ops.divergence.default, (torch.softmax(w, 1).detach()[0], torch.full((33,), 1 / 33))),
        "distribution_entropy": (ops.distribution_entropy.default, (torch.full((16,), 1 / 16, dtype=dtype),)),
        "mask_information": (ops.mask_information.default, (w, normal(7, 33), 0.4, None, 4, "uniform", 1)),
        "mask_information packed": (
            ops.mask_information.default,
            (w, normal(7, 33), 0.4, int8_codes(7, low=0, high=2), 4, "quantile", 1, True),
        ),
        "prune_information": (
            ops.prune_information.default,
            (w, normal(7, 33), 0.4, int8_codes(7, low=0, high=2), 4, "uniform", 1),
        ),
        "softmax": (ops.softmax.default, (w, 0.7)),
        "softmax columns": (ops.softmax.default, (w, 0.7, 0)),
        "softmax by rows": (ops.softmax.rows, (w, rows)),
        "log_softmax": (ops.log_softmax.default, (w, 0.7)),
        "log_softmax columns": (ops.log_softmax.default, (w, 0.7, 0)),
        "log_softmax by rows": (ops.log_softmax.rows, (w, rows)),
        "logsumexp": (ops.logsumexp.default, (w, 0.7)),
        "logsumexp columns": (ops.logsumexp.default, (w, 0.7, 0, True)),
        "logsumexp by rows": (ops.logsumexp.rows, (w, rows)),
        "softmax_backward": (ops.softmax_backward.default, (w, scores, 0.7)),
        "softmax_backward by rows": (ops.softmax_backward.rows, (w, scores, rows)),
        "log_softmax_backward": (ops.log_softmax_backward.default, (w, -scores.abs(), 0.7, 0)),
        "log_softmax_backward by rows": (ops.log_softmax_backward.rows, (w, -scores.abs(), rows)),
        "logsumexp_backward": (ops.logsumexp_backward.default, (w[:, 0], scores, 0.7)),
        "logsumexp_backward by rows": (ops.logsumexp_backward.rows, (w[:, :1], scores, rows)),
        "pack_mask": (ops.pack_mask.default, (bool_mask(5, 33),)),
        "unpack_mask": (ops.unpack_mask.default, (packed, 33)),
        "pack_bits": (ops.pack_bits.default, (int8_codes(5, 33, low=-8, high=7), 4)),
        "pack_bits int32": (ops.pack_bits.default, (int8_codes(5, 33, low=-4, high=3), 3, "int32", True)),
        "pack_bits awq": (ops.pack_bits.default, (int8_codes(16, 5, low=-8, high=7), 4, "int32", False, "awq", True, 0)),
        "unpack_bits awq": (
            ops.unpack_bits.default,
            (int8_codes(4, 20).view(torch.int32), 4, 30, True, False, "awq", True, 0),
        ),
        "unpack_bits": (ops.unpack_bits.default, (int8_codes(5, 17).view(torch.uint8), 4, 33)),
        "pack_int4": (ops.pack_int4.default, (int8_codes(5, 33, low=-8, high=7),)),
        "matmul_bitmask": (ops.matmul_bitmask.default, (w, *bitmask_parts(7, 33, dtype), 7, 33)),
        "compress_bitmask": (ops.compress_bitmask.default, (ops.apply_mask(w, packed),)),
        "decompress_bitmask": (ops.decompress_bitmask.default, (*bitmask_parts(7, 33, dtype, requires_grad), [7, 33])),
        "compress_24": (ops.compress_24.default, (two_of_four(w),)),
        "decompress_24": (ops.decompress_24.default, ops.compress_24(two_of_four(w))),
        "compress_nm": (ops.compress_nm.default, (two_of_four(w), 2, 4)),
        "decompress_nm": (ops.decompress_nm.default, (*ops.compress_nm(two_of_four(w), 2, 4), 2, 4, 32)),
        "and_masks": (ops.and_masks.default, (packed, packed.flip(0))),
        "or_masks": (ops.or_masks.default, (packed, packed.flip(0))),
        "xor_masks": (ops.xor_masks.default, (packed, packed.flip(0))),
        "invert_mask": (ops.invert_mask.default, (packed, 33)),
        "count_mask": (ops.count_mask.default, (packed, 33)),
        "unpack_int4": (ops.unpack_int4.default, (int8_codes(5, 17).view(torch.uint8), 33)),
    }


def plain_call(name: str, arguments: tuple[Any, ...]) -> Any:
    """The function of tersor that the operator stands for."""
    function = getattr(tersor, name.split()[0])
    if name.startswith(("prune_", "mask_")):
        parameters = [parameter for parameter in inspect.signature(function).parameters if parameter != "out"]
        return function(**dict(zip(parameters, arguments, strict=False)))
    if name in ("kth_magnitude", "kth_value", "quantile", "magnitude_threshold"):
        return torch.tensor(function(*arguments), dtype=torch.float64)
    if "_units" in name:
        keywords = {
            "score": ("axis", "group_size", "gradient"),
            "select": ("multiple_of",),
            "remove": ("axis", "group_size"),
        }
        return function(*arguments[:2], **dict(zip(keywords[name.split("_")[0]], arguments[2:], strict=False)))
    if name.startswith("histogram"):
        keywords = ("kind",) if "2d" in name else ("range", "kind")
        count = 3 if "2d" in name else 2
        return function(*arguments[:count], **dict(zip(keywords, arguments[count:], strict=False)))
    if name.split()[0] == "entropy":
        found = function(arguments[0], arguments[1], axis=arguments[2] if len(arguments) > 2 else None)
        return found if len(arguments) > 2 else torch.tensor(found, dtype=torch.float64)
    if "_information" in name and "mutual" not in name:
        return function(*arguments[:4], **dict(zip(("bins", "kind", "axis", "packed"), arguments[4:], strict=False)))
    if name.split()[0] in ("mutual_information", "divergence", "distribution_entropy"):
        found = function(*arguments)
        return torch.tensor(found, dtype=torch.float64) if isinstance(found, float) else found
    if function in (tersor.softmax, tersor.log_softmax, tersor.logsumexp):
        options = dict(zip(("axis", "keepdims"), arguments[2:], strict=False))
        return function(arguments[0], arguments[1], **options)
    if "softmax_backward" in name or "logsumexp_backward" in name:
        return function(*arguments[:3], axis=arguments[3] if len(arguments) > 3 else -1)
    if name == "compress_bitmask":
        t = function(*arguments)
        return t.values, t.bits, t.row_offsets
    if name == "decompress_bitmask":
        return function(tersor.BitmaskTensor(*arguments[:3], arguments[3]))
    if "press_24" in name:
        return function(*arguments[: 2 if name.startswith("de") else 1])
    if name == "count_mask":
        return torch.tensor(function(*arguments))
    if name == "matmul_bitmask":
        return function(arguments[0], tersor.BitmaskTensor(*arguments[1:4], arguments[4:]))
    if name == "fake_quantize by scales":
        return function(arguments[0], arguments[3], scale=arguments[1])
    if name.startswith("fake_quantize_backward"):
        return (*function(*arguments[:4], bits=arguments[4])[:2], torch.empty(0, dtype=arguments[2].dtype))
    if name.startswith("fake_quantize"):
        names = ("bits", "granularity", "axis", "group_size", "signed", "convention", "rounding", "seed")
        names = (*names, "symmetric", "scale_dtype")
        given = dict(zip(names, arguments[1:], strict=False))
        t = tersor.quantize(arguments[0].detach(), **given)
        zero_point = torch.empty(0, dtype=torch.uint8) if t.zero_point is None else t.zero_point
        return function(arguments[0], **given), t.scale, zero_point
    if name.startswith("quantization_error"):
        t = tersor.Quantized(arguments[1], arguments[2], None, 8, arguments[0].shape, 1)
        error = function(arguments[0], t, per_group=len(arguments) > 9)
        parts = (error.mse, error.max, error.sqnr, error.cosine)
        return tuple(torch.as_tensor(part, dtype=torch.float64) for part in parts)
    if name == "quantize by scales":
        return function(arguments[0], arguments[3], scale=arguments[1]).q
    if name.split()[0] == "quantize":
        names = ("bits", "granularity", "axis", "group_size", "signed", "convention", "rounding", "seed", "packed")
        names = (*names, "symmetric", "scale_dtype", "scale_method")
        t = function(arguments[0], **dict(zip(names, arguments[1:], strict=False)))
        return t.q, t.scale, t.q.new_empty(0) if t.zero_point is None else t.zero_point
    if name.split()[0] == "dequantize":
        return function(tersor.Quantized(*arguments[:9]), dtype=arguments[9] if len(arguments) > 9 else None)
    if name.split()[0] == "pack_bits":
        return function(*arguments[:2], **dict(zip(("word", *BIT_LAYOUT), arguments[2:], strict=False)))
    if name.split()[0] == "unpack_bits":
        return function(*arguments[:3], **dict(zip(("signed", *BIT_LAYOUT), arguments[3:], strict=False)))
    if name == "quantize_int8 columns":
        return function(arguments[0], axis=arguments[1])
    if name == "dequantize_int8 to a dtype":
        return function(arguments[0], arguments[1], dtype=arguments[2])
    return function(*arguments)
