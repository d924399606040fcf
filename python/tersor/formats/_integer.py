"""What every format of integer codes is made of: a weight as codes, and words of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tersor import _core
from tersor._groups import as_numbers
from tersor._outputs import dtype_name
from tersor._quantized import Quantized
from tersor.formats import _arrays as arrays
from tersor.formats._format import CannotRepresent, Tensors, Wanted, Weight, require_shape, take, take_scales
from tersor.pack import pack_bits, unpack_bits
from tersor.quantize_groups import dequantize, quantize


@dataclass(frozen=True)
class Words:
    """How unsigned codes of a matrix lie in int32 words."""

    axis: int  # along which they follow one another
    order: str = "low_first"
    padded: bool = False

    def codes_in(self, t: Quantized) -> Any:
        """Those of words in the place of codes, one an entry."""
        return unpack_bits(
            t.q, t.bits, t.shape[self.axis], signed=False, padded=self.padded, order=self.order, axis=self.axis
        )

    def numbers_in(self, t: Quantized, group_size: int, dtype: Any, out: Any) -> Any:
        """The same as ``dequantize`` makes of the codes."""
        layout = (t.bits, self.padded, self.order, self.axis, group_size)
        return as_numbers(t, dtype, out, lambda numbers: _core.decode_words(t.q, *layout, t.scale, t.zero_point, numbers))


@dataclass(frozen=True)
class IntegerWeight:
    """A matrix [rows, cols] as codes in groups along its columns, packed or in words where they came so."""

    codes: Quantized
    group_of_column: Any = None  # int32 [cols] where the groups are no runs
    words: Words | None = None  # how the codes lie in ``codes.q``

    @property
    def rows(self) -> int:
        return self.codes.shape[0]

    @property
    def cols(self) -> int:
        return self.codes.shape[1]

    @property
    def group_size(self) -> int:
        """Columns of a group."""
        return self.codes.group_size or max(self.cols, 1)

    def as_integers(self) -> IntegerWeight:
        """With a code an entry, which is what formats take."""
        t = self.codes
        if self.words is not None:
            codes = replace(t, q=self.words.codes_in(t), scale=arrays.contiguous(t.scale))
            return replace(self, codes=codes, words=None)
        if not t.packed:
            return self
        q = unpack_bits(t.q, t.bits, self.cols, signed=t.signed)
        return replace(self, codes=replace(t, q=q, packed=False))

    def decoded(self, dtype: Any, out: Any = None) -> Any:
        """As numbers."""
        if self.group_of_column is None:
            if self.words is not None:
                return self.words.numbers_in(self.codes, self.group_size, dtype, out)
            return dequantize(self.codes, dtype=dtype, out=out)
        t = self.as_integers().codes
        scale = arrays.columns(t.scale, self.group_of_column)
        zero_point = t.zero_point
        if zero_point is not None:
            zero_point = arrays.columns(zero_point, self.group_of_column)
        return dequantize(replace(t, scale=scale, zero_point=zero_point, group_size=1), dtype=dtype, out=out)

    def zero_points(self) -> Any:
        """uint8 [rows, groups], those of unsigned codes."""
        middle = 2 ** (self.codes.bits - 1)
        if self.codes.zero_point is None:
            return arrays.full(self.codes.scale, tuple(self.codes.scale.shape), middle, "uint8")
        if not self.codes.signed:
            return self.codes.zero_point
        return arrays.cast(arrays.cast(self.codes.zero_point, "int16") + middle, "uint8")


class IntegerFormat:
    """How weights are quantized for a layout of integer codes."""

    name: str
    convention: str  # of quantize
    scale_dtypes: tuple[str, ...]  # of scales that are made: the array's own, or the first
    bits: tuple[int, ...]

    def quantize(self, w: Any, wanted: Wanted) -> IntegerWeight:
        """4 bits, in groups of 128, symmetric, unless something else is wanted."""
        group_size = 128 if wanted.group_size is None else wanted.group_size
        whole_rows, dtype = group_size == -1, dtype_name(getattr(w, "dtype", None))
        t = quantize(
            w,
            4 if wanted.bits is None else wanted.bits,
            granularity="row" if whole_rows else "group",
            group_size=1 if whole_rows else group_size,
            symmetric=wanted.symmetric is None or wanted.symmetric,
            convention=self.convention if wanted.convention is None else wanted.convention,
            scale_dtype=dtype if dtype in self.scale_dtypes else self.scale_dtypes[0],
        )
        return integer_weight(t)

    def nearest_to(self, weight: Weight) -> tuple[Wanted, ...]:
        """With as many bits as the format has for it, and symmetric if there is no room for zero points."""
        try:
            integers = weight.as_integers()
        except CannotRepresent:
            return (Wanted(),)
        bits = integers.codes.bits if integers.codes.bits in self.bits else max(self.bits)
        group_size = integers.group_size if integers.cols % integers.group_size == 0 else 128
        return tuple(Wanted(bits, group_size, symmetric) for symmetric in (integers.codes.symmetric, True))

    def require_bits(self, weight: IntegerWeight) -> None:
        """CannotRepresent where codes have others than the format has."""
        if weight.codes.bits not in self.bits:
            *but_last, last = (str(bits) for bits in self.bits)
            which = f"{', '.join(but_last)} or {last}" if but_last else last
            raise CannotRepresent(f"{self.name} has codes of {which} bits, and these have {weight.codes.bits}")

    def require_blocks(self, weight: IntegerWeight) -> None:
        """CannotRepresent where groups are no runs of columns."""
        if weight.group_of_column is not None:
            raise CannotRepresent(f"{self.name} has blocks that are runs of columns, and these groups are not")


def require_scale_dtype(name: str, dtypes: tuple[str, ...], weight: IntegerWeight) -> None:
    """CannotRepresent where scales are of a dtype that the format does not store."""
    if dtype_name(weight.codes.scale.dtype) not in dtypes:
        raise CannotRepresent(f"{name} stores scales in {', '.join(dtypes)}; pass scale_dtype to quantize")


def integer_weight(t: Quantized) -> IntegerWeight:
    """Of a matrix with groups along its columns."""
    if len(t.shape) != 2 or t.axis != 1:
        raise ValueError(f"w must be a matrix with groups along its columns; it has shape {t.shape} and axis {t.axis}")
    return IntegerWeight(t).as_integers()


def group_size_from(count: int, cols: int, group_size: int | None, key: str) -> int:
    """Of ``count`` equal groups; where they do not divide the columns, the caller must tell."""
    if group_size is None:
        if count < 1 or cols % count:
            raise ValueError(
                f"{key} has {count} groups for {cols} columns, which do not tell the group size; pass group_size"
            )
        group_size = max(cols // count, 1)
    if group_size < 1 or -(-cols // group_size) != count:
        raise ValueError(
            f"{key} has {count} groups; {cols} columns in groups of {group_size} have {-(-cols // max(group_size, 1))}"
        )
    return group_size


def take_group_numbers(tensors: Tensors, key: str, cols: int, count: int) -> tuple[Any, int | None]:
    """Of each column that of its group, if it is stored: (numbers, None), or (None, the group size) where groups are
    runs."""
    numbers = take(tensors, key, ("int32", "int64"), 1)
    require_shape(key, numbers, (cols,), "for the columns of the weight")
    if cols and (int(numbers.min()) < 0 or int(numbers.max()) >= count):
        raise ValueError(f"{key} holds numbers outside [0, {count - 1}]; there are scales of {count} groups")
    size = int((numbers == 0).sum())
    if size and -(-cols // size) == count and arrays.are_equal(numbers, arrays.group_numbers(numbers, cols, size)):
        return None, size
    return arrays.cast(numbers, "int32"), None


def take_turned(tensors: Tensors) -> tuple[Any, Any, Any]:
    """qweight, qzeros and scales, as GPTQ and AWQ have them: of the transposed matrix."""
    words, zeros = take(tensors, "qweight", ("int32",), 2), take(tensors, "qzeros", ("int32",), 2)
    return words, zeros, take_scales(tensors, "scales", ("float16", "bfloat16", "float32"))


def weight_of_turned(
    words: Any, layout: Words, shape: tuple[int, int], turned_scales: Any, zero_point: Any, bits: int, group_size: int | None
) -> IntegerWeight:
    """Of a transposed matrix of words, symmetric where all zero points are those of symmetric codes."""
    if arrays.are_equal(zero_point, 2 ** (bits - 1)):
        zero_point = None
    scale = turned_scales.T
    size = None if scale.shape[1] == 1 else group_size
    return IntegerWeight(Quantized(words.T, scale, zero_point, bits, shape, 1, size, signed=False), words=layout)


def words_along(
    q: Any, bits: int, signed: bool, axis: int, order: str = "low_first", padded: bool = False, to: Any = None
) -> Any:
    """Unsigned codes in int32 words, of a matrix along an axis."""
    return pack_bits(q, bits, word="int32", padded=padded, order=order, offset=signed, axis=axis, out=to)


def words_turned(q: Any, bits: int, signed: bool, axis: int, order: str = "low_first") -> Any:
    """The same, as the transposed matrix of words."""
    shape = [int(length) for length in q.shape]
    shape[axis] = shape[axis] * bits // 32
    turned = arrays.empty(q, (shape[1], shape[0]), "int32")
    words_along(q, bits, signed, axis, order, to=turned.T)
    return turned


def codes_of_turned(words: Any, bits: int, count: int, axis: int, order: str = "low_first") -> Any:
    """uint8 codes of a transposed matrix of words; ``axis`` is that of the codes."""
    return unpack_bits(words.T, bits, count, signed=False, order=order, axis=axis)


def require_whole_words(name: str, weight: IntegerWeight, axis: int) -> None:
    """CannotRepresent where codes along an axis do not fill int32 words."""
    length = weight.codes.shape[axis]
    if length * weight.codes.bits % 32:
        what = ("rows", "columns")[axis]
        raise CannotRepresent(f"{name} stores {what} in whole int32 words; {length} of {weight.codes.bits} bits are none")


def scales_in(name: str, scale: Any, dtype: str) -> Any:
    """In the dtype of a format, without loss."""
    rounded = arrays.cast(scale, dtype)
    if not arrays.are_equal(arrays.cast(rounded, dtype_name(scale.dtype)), scale):
        raise CannotRepresent(
            f"{name} stores scales in {dtype}, in which those of {dtype_name(scale.dtype)} would be rounded"
        )
    return rounded
