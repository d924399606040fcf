"""Every operation in one table: how to make its inputs, call it, and what tersor.reference expects. Tests that hold for
all of them, such as the same bits everywhere, walk this table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tersor
from inputs import (
    RandomSource,
    Shape,
    Source,
    any_float,
    any_plain_float,
    bitmask_weight,
    bytes_of,
    codes_and_scale,
    codes_below,
    float_and_mask,
    float_and_packed_mask,
    mask_alone,
    modest_numbers,
    nibble_codes,
    rows_of_weights,
    rows_to_multiply,
    small_floats,
    two_bytes_of_8,
    two_floats,
    weights_and_gradient,
    words_of,
)
from layouts import FLOATS, Array, canonical_nan, spec
from lowest_level import at_lowest_level
from operations_fake import FAKE_OPERATIONS
from operations_softmax import SOFTMAX_OPERATIONS
from tersor import _core

# --- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    """`call` and `expect` take the inputs and the shape of the unpacked array; a call's result is one array or a
    tuple."""

    name: str
    family: str
    inputs: Callable[..., tuple[Array, ...]]
    call: Callable[..., Any]
    expect: Callable[..., Any]
    dtypes: tuple[str, ...] = tuple(FLOATS)
    in_place: bool = False
    in_place_of_any: bool = False  # not of the first input alone
    least_ndim: int = 0
    whole: bool = False  # what becomes of an entry depends on all others

    def __str__(self) -> str:
        return self.name

    def make(self, shape: Shape, dtype: np.dtype[Any], source: Source | None = None) -> tuple[Array, ...]:
        return self.inputs(source or RandomSource(), shape, dtype)

    def run(self, arrays: Sequence[Any], shape: Shape, dtype: np.dtype[Any], out: Any = None) -> tuple[Any, ...]:
        return as_tuple(self.call(*arrays, shape=shape, dtype=dtype, out=out))

    def expected(self, arrays: Sequence[Array], shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
        return tuple(np.asarray(array) for array in as_tuple(self.expect(*arrays, shape=shape, dtype=dtype)))

    def bytes_an_item(self, dtype: np.dtype[Any]) -> int:
        """Read and written for one item of a long row: what the library cuts chunks by."""
        arrays = self.make((1024,), dtype)
        return max(1, sum(a.nbytes for a in (*arrays, *self.expected(arrays, (1024,), dtype)) if a.size > 1) // 1024)


def as_tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def unpacked_nibbles(p: Array, shape: Shape, **_: Any) -> Array:
    return spec.unpack_int4(p, shape[-1]) if p.size else np.zeros(shape, np.int8)


# Even ones, and some apart: infinite, equal, subnormal in narrow dtypes, between two numbers of a dtype.
EVEN_EDGES = np.linspace(-2, 2, 33)
UNEVEN_EDGES = np.array([-np.inf, -1e5, -1, -1, -1e-40, 0, 1e-320, 1e-7, 0.1, 0.5, 0.5 + 2**-30, 1, 1.5, 3, 3, np.inf])


def multiply(x: Any, shape: Shape, dtype: np.dtype[Any], out: Any = None) -> Any:
    return tersor.matmul_bitmask(x, bitmask_weight(shape[-1], dtype), out=out)


# Options of quantize: name, least dimensions, whether an entry depends on all others.
QUANTIZED: list[tuple[str, int, bool, dict[str, Any]]] = [
    ("4 bits by groups", 1, False, {"bits": 4, "granularity": "group", "group_size": 40, "symmetric": False}),
    ("3 bits by the first axis", 1, True, {"bits": 3, "granularity": "row", "axis": 0, "convention": "gptq"}),
    (
        "2 bits by the least error",
        1,
        False,
        {"bits": 2, "granularity": "group", "group_size": 33, "convention": "tersor", "scale_method": "mse", "grid": 5},
    ),
    (
        "6 bits as one, packed",
        1,
        True,
        {"bits": 6, "granularity": "tensor", "convention": "compressed-tensors", "rounding": "stochastic", "packed": True},
    ),
]


def parts_of(t: tersor.Quantized) -> tuple[Any, ...]:
    return tuple(part for part in (t.q, t.scale, t.zero_point) if part is not None)


def quantized(w: Array, packed: bool = False, **options: Any) -> tuple[Array, ...]:
    q, scale, zero_point = spec.quantize(w, **options)
    if packed:
        q = spec.pack_bits(q, options["bits"])
    return (q, scale) if zero_point is None else (q, scale, zero_point)


def codes_of(options: dict[str, Any]) -> Callable[..., tuple[Array, ...]]:
    def inputs(source: Source, shape: Shape, dtype: np.dtype[Any]) -> tuple[Array, ...]:
        return quantized(rows_of_weights(source, shape, dtype)[0], **options)

    return inputs


def stored_as(parts: Sequence[Any], shape: Shape, options: dict[str, Any]) -> tersor.Quantized:
    axis = None if options["granularity"] == "tensor" else options.get("axis", -1)
    signed = options["convention"] != "gptq" if "convention" in options else False
    zero_point = parts[2] if len(parts) > 2 else None
    size, packed = options.get("group_size"), options.get("packed", False)
    return tersor.Quantized(parts[0], parts[1], zero_point, options["bits"], shape, axis, size, signed, packed)


def decoded(parts: Sequence[Array], shape: Shape, dtype: np.dtype[Any], options: dict[str, Any]) -> Array:
    q = spec.unpack_bits(parts[0], options["bits"], shape[-1]) if options.get("packed") else parts[0]
    given = {name: options[name] for name in ("granularity", "axis", "group_size", "bits") if name in options}
    return canonical_nan(spec.dequantize(q, *parts[1:], dtype=dtype, **given))


BYTES = ("uint8",)
OPERATIONS = [
    Operation(
        "prune_threshold",
        "prune",
        any_float,
        in_place=True,
        call=lambda w, out, **_: tersor.prune_threshold(w, 0.5, out=out),
        expect=lambda w, **_: spec.prune_threshold(w, 0.5),
    ),
    Operation(
        "mask_threshold",
        "prune",
        any_float,
        call=lambda w, out, **_: tersor.mask_threshold(w, 0.5, out=out),
        expect=lambda w, **_: spec.mask_threshold(w, 0.5),
    ),
    Operation(
        "mask_threshold packed",
        "prune",
        any_float,
        least_ndim=1,
        call=lambda w, out, **_: tersor.mask_threshold(w, 0.5, packed=True, out=out),
        expect=lambda w, **_: spec.pack_mask(spec.mask_threshold(w, 0.5)),
    ),
    Operation(
        "apply_mask",
        "prune",
        float_and_mask,
        in_place=True,
        call=lambda w, mask, out, **_: tersor.apply_mask(w, mask, out=out),
        expect=lambda w, mask, **_: spec.apply_mask(w, mask),
    ),
    Operation(
        "apply_mask packed",
        "prune",
        float_and_packed_mask,
        in_place=True,
        least_ndim=1,
        call=lambda w, packed, out, **_: tersor.apply_mask(w, packed, out=out),
        expect=lambda w, packed, shape, **_: spec.apply_mask(w, spec.unpack_mask(packed, shape[-1])),
    ),
    Operation(
        "prune_magnitude",
        "prune",
        any_float,
        whole=True,
        in_place=True,
        call=lambda w, out, **_: tersor.prune_magnitude(w, 0.4, out=out),
        expect=lambda w, **_: spec.prune_magnitude(w, 0.4),
    ),
    Operation(
        "prune_magnitude row",
        "prune",
        any_float,
        in_place=True,
        least_ndim=1,
        call=lambda w, out, **_: tersor.prune_magnitude(w, 0.7, scope="row", out=out),
        expect=lambda w, **_: spec.prune_magnitude(w, 0.7, -1),
    ),
    Operation(
        "mask_magnitude packed",
        "prune",
        any_float,
        whole=True,
        least_ndim=1,
        call=lambda w, out, **_: tersor.mask_magnitude(w, 0.6, packed=True, out=out),
        expect=lambda w, **_: spec.pack_mask(spec.mask_magnitude(w, 0.6)),
    ),
    Operation(
        "mask_mean",
        "prune",
        any_plain_float,
        whole=True,
        call=lambda w, out, **_: tersor.mask_mean(w, 0.75, out=out),
        expect=lambda w, **_: spec.mask_threshold(w, _core.mean_threshold(np.array(w, order="C"), 0.75)),
    ),
    Operation(
        "prune_scores",
        "prune",
        two_floats,
        whole=True,
        in_place=True,
        call=lambda w, scores, out, **_: tersor.prune_scores(w, scores, 0.4, out=out),
        expect=lambda w, scores, **_: spec.apply_mask(w, spec.mask_ranked(scores, 0.4)),
    ),
    Operation(
        "prune_taylor",
        "prune",
        two_floats,
        whole=True,
        in_place=True,
        call=lambda w, gradient, out, **_: tersor.prune_taylor(w, gradient, 0.4, out=out),
        expect=lambda w, gradient, **_: spec.apply_mask(w, spec.mask_ranked(spec.product_scores(w, gradient), 0.4)),
    ),
    Operation(
        "prune_random",
        "prune",
        any_float,
        whole=True,
        in_place=True,
        call=lambda w, out, **_: tersor.prune_random(w, 0.4, seed=3, out=out),
        expect=lambda w, **_: spec.apply_mask(w, spec.mask_ranked(spec.random_scores(w.shape, 3), 0.4)),
    ),
    Operation(
        "prune_nm 2:4",
        "prune",
        any_float,
        in_place=True,
        least_ndim=1,
        call=lambda w, out, **_: tersor.prune_nm(w, 2, 4, out=out),
        expect=lambda w, **_: spec.apply_mask(w, spec.mask_nm(w, 2, 4)),
    ),
    Operation(
        "mask_nm 3:5 packed",
        "prune",
        any_float,
        least_ndim=1,
        call=lambda w, out, **_: tersor.mask_nm(w, 3, 5, packed=True, out=out),
        expect=lambda w, **_: spec.pack_mask(spec.mask_nm(w, 3, 5)),
    ),
    Operation(
        "pack_mask",
        "bitmask",
        mask_alone,
        dtypes=BYTES,
        least_ndim=1,
        call=lambda mask, out, **_: tersor.pack_mask(mask, out=out),
        expect=lambda mask, **_: spec.pack_mask(mask),
    ),
    Operation(
        "unpack_mask",
        "bitmask",
        bytes_of(8),
        dtypes=BYTES,
        least_ndim=1,
        call=lambda packed, shape, out, **_: tersor.unpack_mask(packed, shape[-1], out=out),
        expect=lambda packed, shape, **_: spec.unpack_mask(packed, shape[-1]),
    ),
    *(
        Operation(
            f"{logic}_masks",
            "bitmask",
            two_bytes_of_8,
            dtypes=BYTES,
            in_place=True,
            in_place_of_any=True,
            least_ndim=1,
            call=lambda a, b, out, logic=logic, **_: getattr(tersor, f"{logic}_masks")(a, b, out=out),
            expect=lambda a, b, logic=logic, **_: getattr(np, f"bitwise_{logic}")(a, b),
        )
        for logic in ("and", "or", "xor")
    ),
    Operation(
        "invert_mask",
        "bitmask",
        bytes_of(8),
        dtypes=BYTES,
        in_place=True,
        least_ndim=1,
        call=lambda bits, shape, out, **_: tersor.invert_mask(bits, shape[-1], out=out),
        expect=lambda bits, shape, **_: spec.invert_mask(bits, shape[-1]),
    ),
    Operation(
        "round_fixed",
        "quantize",
        any_float,
        in_place=True,
        call=lambda w, out, **_: tersor.round_fixed(w, 8, out=out),
        expect=lambda w, **_: canonical_nan(spec.round_fixed(w, 8)),
    ),
    Operation(
        "quantize_int8",
        "quantize",
        rows_of_weights,
        least_ndim=1,
        call=lambda w, out, **_: tersor.quantize_int8(w, out=out),
        expect=lambda w, **_: spec.quantize_int8(w),
    ),
    Operation(
        "dequantize_int8",
        "quantize",
        codes_and_scale,
        call=lambda q, scale, dtype, out, **_: tersor.dequantize_int8(
            q, scale, dtype=dtype if out is None else None, out=out
        ),
        expect=lambda q, scale, dtype, **_: canonical_nan(spec.dequantize_int8(q, scale, dtype)),
    ),
    *(
        Operation(
            f"quantize {name}",
            "quantize",
            rows_of_weights,
            least_ndim=least_ndim,
            whole=whole,
            call=lambda w, out, options=options, **_: parts_of(tersor.quantize(w, **options, out=out)),
            expect=lambda w, options=options, **_: quantized(w, **options),
        )
        for name, least_ndim, whole, options in QUANTIZED
    ),
    *(
        Operation(
            f"dequantize {name}",
            "quantize",
            codes_of(options),
            dtypes=("float32", "bfloat16"),  # test_quantize_groups.py has the others
            least_ndim=least_ndim,
            whole=whole,
            call=lambda *parts, shape, dtype, out, options=options, **_: tersor.dequantize(
                stored_as(parts, shape, options), dtype=dtype if out is None else None, out=out
            ),
            expect=lambda *parts, shape, dtype, options=options, **_: decoded(parts, shape, dtype, options),
        )
        for name, least_ndim, whole, options in QUANTIZED
        if "scale_method" not in options
    ),
    *(Operation(**row) for row in FAKE_OPERATIONS),
    *(
        Operation(
            f"pack_bits {bits} in {word}",
            "pack",
            codes_below(bits),
            dtypes=BYTES,
            least_ndim=1,
            call=lambda q, out, bits=bits, word=word, **_: tersor.pack_bits(q, bits, word=word, out=out),
            expect=lambda q, bits=bits, word=word, **_: spec.pack_bits(q, bits, word),
        )
        for bits, word in ((3, "uint8"), (5, "int32"))
    ),
    *(
        Operation(
            f"unpack_bits {bits} in {word}",
            "pack",
            words_of(bits, word),
            dtypes=BYTES,
            least_ndim=1,
            call=lambda p, shape, out, bits=bits, **_: tersor.unpack_bits(p, bits, shape[-1], out=out),
            expect=lambda p, shape, bits=bits, **_: spec.unpack_bits(p, bits, shape[-1]),
        )
        for bits, word in ((3, "uint8"), (5, "int32"))
    ),
    Operation(
        "pack_int4",
        "pack",
        nibble_codes,
        dtypes=BYTES,
        least_ndim=1,
        call=lambda q, out, **_: tersor.pack_int4(q, out=out),
        expect=lambda q, **_: spec.pack_int4(q),
    ),
    Operation(
        "unpack_int4",
        "pack",
        bytes_of(2),
        dtypes=BYTES,
        least_ndim=1,
        call=lambda p, shape, out, **_: tersor.unpack_int4(p, shape[-1], out=out),
        expect=unpacked_nibbles,
    ),
    *(
        Operation(
            f"score_units {criterion} axis {axis}",
            "structured",
            small_floats,
            least_ndim=1,
            call=lambda w, out, criterion=criterion, axis=axis, **_: tersor.score_units(w, criterion, axis=axis, out=out),
            expect=lambda w, criterion=criterion, axis=axis, **_: spec.score_units(w, criterion, axis),
        )
        for criterion, axis in (("l1", 0), ("l2", -1), ("max", 0))
    ),
    Operation(
        "score_units taylor axis -1",
        "structured",
        weights_and_gradient,
        least_ndim=1,
        call=lambda w, gradient, out, **_: tersor.score_units(w, "taylor", axis=-1, gradient=gradient, out=out),
        expect=lambda w, gradient, **_: spec.score_units(w, "taylor", -1, 1, gradient),
    ),
    *(Operation(**row) for row in SOFTMAX_OPERATIONS),
    Operation(
        "matmul_bitmask",
        "matmul",
        rows_to_multiply,
        least_ndim=1,
        call=lambda x, shape, dtype, out: multiply(x, shape, dtype, out),
        expect=lambda x, **_: at_lowest_level(lambda x: multiply(x, x.shape, x.dtype), x),
    ),
    Operation(
        "histogram",
        "information",
        any_float,
        whole=True,
        call=lambda x, out, **_: tersor.histogram(x, EVEN_EDGES, out=out)[0],
        expect=lambda x, **_: spec.histogram(x, EVEN_EDGES),
    ),
    Operation(
        "histogram uneven",
        "information",
        any_float,
        whole=True,
        call=lambda x, out, **_: tersor.histogram(x, UNEVEN_EDGES, out=out)[0],
        expect=lambda x, **_: spec.histogram(x, UNEVEN_EDGES),
    ),
    Operation(
        "entropy",
        "information",
        modest_numbers,
        whole=True,
        least_ndim=1,
        call=lambda x, out, **_: tersor.entropy(x, 6, axis=-1, out=out),
        expect=lambda x, **_: np.asarray(at_lowest_level(lambda x: tersor.entropy(x, 6, axis=-1), x)),
    ),
]


def cases(*families: str, in_place: bool = False) -> list[tuple[Operation, np.dtype[Any]]]:
    """Operation and dtype of its first input, for parametrize; all families where none is named."""
    chosen = [operation for operation in OPERATIONS if not families or operation.family in families]
    chosen = [operation for operation in chosen if operation.in_place or not in_place]
    return [(operation, np.dtype(FLOATS.get(name, np.uint8))) for operation in chosen for name in operation.dtypes]


def case_name(value: Any) -> str:
    return value.name.replace(" ", "_") if isinstance(value, Operation) else str(np.dtype(value).name)
