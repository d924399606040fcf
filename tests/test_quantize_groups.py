"""quantize and dequantize by groups: every convention, rounding and granularity against tersor.reference, and the
conventions against the packages that they are named after."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from conftest import FINDS_BAD_ACCESSES, FINDS_RACES
from layouts import FLOATS, Array, assert_same_bits, canonical_nan, every_value, random_values, spec, special_values
from tersor import formats

DType = np.dtype[Any]
CONVENTIONS = ("tersor", "compressed-tensors", "onnx", "torch", "gptq", "awq", "matmulnbits", "ggml", "bitsandbytes")
ROUNDINGS = ("half_even", "half_away", "half_up", "truncate", "stochastic")
GRANULARITIES: tuple[dict[str, Any], ...] = (
    {"granularity": "row"},
    {"granularity": "tensor"},
    {"granularity": "column"},
    {"granularity": "group", "group_size": 16},
    {"granularity": "group", "group_size": 7, "axis": 0},
    {"granularity": "group", "group_size": 40},
)


def assert_quantized(t: tersor.Quantized, expected: tuple[Any, ...], context: str) -> None:
    for part, wanted in zip((t.q, t.scale, t.zero_point), expected, strict=True):
        assert (part is None) == (wanted is None), context
        if wanted is not None:
            assert_same_bits(part, wanted, context)


def has_codes(convention: str, bits: int, symmetric: bool) -> bool:
    """Whether a convention has such ones."""
    if convention == "bitsandbytes":
        return bits == 8 and symmetric
    return symmetric or convention != "ggml"


def rows_that_differ(dtype: DType) -> Array:
    """Rows that rules treat apart: zeros, one sign alone, NaN, infinities, small numbers, the greatest."""
    w = np.random.default_rng(0).standard_normal((12, 83)).astype(dtype)
    w[0] = 0
    w[1] = np.abs(w[1])
    w[2, 5], w[3, 7], w[4, 70] = np.nan, np.inf, -np.inf
    w[5] = np.nan
    w[6] = (w[6].astype(np.float64) * 1e-6).astype(dtype)
    w[7] = -np.abs(w[7])
    w[8] = special_values(dtype)[np.arange(83) % special_values(dtype).size]
    greatest = np.finfo(dtype).max if dtype.name != "bfloat16" else ml_dtypes.finfo(dtype).max
    w[9, ::2], w[9, 1::2] = greatest, -greatest
    w[10] = (w[10].astype(np.float64) * 1e-38).astype(dtype)
    return w


def options_of_every_kind() -> Iterator[dict[str, Any]]:
    for symmetric, signed, bits, where in itertools.product((True, False), (None, True, False), (2, 4, 5, 8), GRANULARITIES):
        yield {"bits": bits, "symmetric": symmetric, "signed": signed, **where}
    for rounding, symmetric, where in itertools.product(ROUNDINGS, (True, False), GRANULARITIES):
        yield {"bits": 4, "rounding": rounding, "symmetric": symmetric, "seed": 5, **where}
    for scale_dtype, symmetric, where in itertools.product(FLOATS.values(), (True, False), GRANULARITIES[:3]):
        yield {"bits": 8, "scale_dtype": scale_dtype, "symmetric": symmetric, **where}


@pytest.mark.parametrize("convention", CONVENTIONS)
class TestEveryRule:
    def test_codes_and_numbers(self, convention: str, dtype: DType, each_level: Any) -> None:
        w = rows_that_differ(dtype)
        for options in options_of_every_kind():
            if convention == "bitsandbytes" and "rounding" in options:
                options["bits"] = 8
            if not has_codes(convention, options["bits"], options["symmetric"]):
                continue
            expected = spec.quantize(w, convention=convention, **options)
            where = {name: options[name] for name in ("granularity", "axis", "group_size", "bits") if name in options}
            numbers = canonical_nan(spec.dequantize(*expected, **where))
            bits = spec.pack_bits(expected[0], options["bits"])
            for setting in each_level:
                context = f"{options}, {setting}"
                t = tersor.quantize(w, convention=convention, **options)
                assert_quantized(t, expected, context)
                assert_same_bits(tersor.dequantize(t), numbers, context)
                packed = tersor.quantize(w, convention=convention, packed=True, **options)
                assert_quantized(packed, (bits, *expected[1:]), context)
                assert_same_bits(tersor.dequantize(packed), numbers, context)

    def test_given_scales(self, convention: str, dtype: DType, each_level: Any) -> None:
        w, other = rows_that_differ(dtype), np.random.default_rng(1).standard_normal((12, 83)).astype(dtype)
        for where, symmetric in itertools.product(GRANULARITIES, (True, False)):
            bits = 8 if convention == "bitsandbytes" else 5
            if not has_codes(convention, bits, symmetric):
                continue
            options = {"bits": bits, "convention": convention, **where}
            scales = tersor.quantize(other, symmetric=symmetric, **options)
            given = {"scale": scales.scale, "zero_point": scales.zero_point, "signed": scales.signed}
            expected = spec.quantize(w, symmetric=symmetric, **options, **given)
            for setting in each_level:
                for packed in (False, True):
                    t = tersor.quantize(w, packed=packed, **options, **given)
                    q = spec.pack_bits(expected[0], bits) if packed else expected[0]
                    assert_quantized(t, (q, *expected[1:]), f"{options}, {setting}")


@pytest.mark.parametrize("rounding", ROUNDINGS)
class TestRounding:
    def test_every_half_value(self, rounding: str, half_dtype: DType, each_level: Any) -> None:
        """Against scales that put ties where binary fractions are, and elsewhere."""
        w = every_value(half_dtype)
        for convention, scale in itertools.product(("tersor", "compressed-tensors", "torch"), (0.25, 0.37)):
            given = {"scale": np.array([scale], np.float32), "zero_point": np.array([100], np.uint8)}
            options = {"granularity": "tensor", "rounding": rounding, "convention": convention, "signed": False, "seed": 9}
            expected = spec.quantize(w, symmetric=False, **given, **options)
            for setting in each_level:
                assert_quantized(tersor.quantize(w, **given, **options), expected, f"{convention}, {scale}, {setting}")

    def test_every_half_value_of_symmetric_codes(self, rounding: str, half_dtype: DType, each_level: Any) -> None:
        w = every_value(half_dtype)
        for convention, bits, scale in itertools.product(("ggml", "bitsandbytes"), (4, 8), (0.25, -0.37)):
            if not has_codes(convention, bits, True):
                continue
            options = {"granularity": "tensor", "rounding": rounding, "convention": convention, "bits": bits, "seed": 9}
            options["scale"] = np.array([scale], np.float32)
            expected = spec.quantize(w, **options)
            for setting in each_level:
                assert_quantized(tersor.quantize(w, **options), expected, f"{convention}, {scale}, {setting}")

    @pytest.mark.parametrize("bits", [2, 4, 8])
    def test_around_every_boundary(self, rounding: str, bits: int, each_level: Any) -> None:
        """All float32 numbers within 64 steps of where one code ends and the next begins."""
        scale = np.float32(0.0123)
        codes = np.arange(-(2 ** (bits - 1)) - 1, 2 ** (bits - 1) + 1)
        middles = np.concatenate([(codes + 0.5) * scale, codes * scale]).astype(np.float32)
        steps = middles.view(np.int32)[:, None] + np.arange(-64, 65, dtype=np.int32)
        w = steps.view(np.float32).ravel()
        for convention in ("tersor", "compressed-tensors", "torch"):
            options = {"granularity": "tensor", "rounding": rounding, "convention": convention, "bits": bits, "seed": 3}
            expected = spec.quantize(w, scale=np.array([scale]), **options)
            for setting in each_level:
                assert_quantized(
                    tersor.quantize(w, scale=np.array([scale]), **options), expected, f"{convention}, {setting}"
                )


def test_stochastic_rounding_is_unbiased() -> None:
    """Means of 200,000 draws: within 5 standard deviations of what they are drawn from, at most 0.5 / sqrt(n)."""
    n = 200_000
    for seed, number in enumerate((0.1, 0.5, -0.3, 2.75)):
        w = np.full(n, number, np.float32)
        t = tersor.quantize(w, granularity="tensor", scale=np.ones(1, np.float32), rounding="stochastic", seed=seed)
        assert abs(float(t.q.mean()) - number) < 5 * 0.5 / n**0.5
        again = tersor.quantize(w, granularity="tensor", scale=t.scale, rounding="stochastic", seed=seed + 100)
        assert (again.q != t.q).any()


@pytest.mark.skipif(FINDS_BAD_ACCESSES or FINDS_RACES, reason="a sanitizer takes minutes for long groups")
class TestLongGroups:
    """Groups that do not stay in the cache between the two times that they are read."""

    @pytest.mark.parametrize(
        "shape, where",
        [
            ((3, 500_003), {"granularity": "tensor"}),
            ((3, 500_003), {"granularity": "row"}),
            ((2, 500_001), {"granularity": "group", "group_size": 150_000}),
            ((9_001, 70), {"granularity": "column"}),
            ((2, 9_001, 3, 11), {"granularity": "row", "axis": 1}),
            ((20_000, 65), {"granularity": "group", "group_size": 6_000, "axis": 0}),
        ],
        ids=str,
    )
    def test_same_bits(self, shape: tuple[int, ...], where: dict[str, Any], settings: Any) -> None:
        w = random_values(shape, FLOATS["float32"], special=np.array([np.nan, np.inf, 0], np.float32))
        w.ravel()[[0, w.size // 2, -1]] = -50, 60, 70
        for options in ({"symmetric": False, **where}, {"bits": 6, "rounding": "stochastic", **where}):
            expected = spec.quantize(w, **options)
            for name, arranged in (("dense", w), ("transposed", np.asfortranarray(w))):
                for setting in settings:
                    assert_quantized(tersor.quantize(arranged, **options), expected, f"{name}, {options}, {setting}")
            numbers = canonical_nan(spec.dequantize(*expected, **{"bits": options.get("bits", 8), **where}))
            for setting in settings:
                assert_same_bits(tersor.dequantize(tersor.quantize(w, **options)), numbers, setting)


@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
def test_error_is_half_a_step(symmetric: bool, dtype: DType) -> None:
    """Half a step of rounding; the quotient and the product round once each, to 2**-24 of a number up to 255 steps; an
    asymmetric range ends half a step beside its codes where the zero point is rounded."""
    w = np.random.default_rng(0).standard_normal((40, 257)).astype(dtype)
    for bits, size in itertools.product((2, 3, 4, 6, 8), (16, 100)):
        t = tersor.quantize(w, bits, granularity="group", group_size=size, symmetric=symmetric)
        error = np.abs(tersor.dequantize(t).astype(np.float64) - w.astype(np.float64))
        steps = np.repeat(t.scale.astype(np.float64), size, axis=1)[:, : w.shape[1]]
        bound = (0.5 if symmetric else 1) + 255 * 2.0**-22
        assert (error <= bound * steps).all()


def test_empty_arrays() -> None:
    for shape in ((0,), (3, 0), (0, 5), (2, 0, 4)):
        w = np.empty(shape, np.float32)
        for where in ({"granularity": "tensor"}, {"granularity": "row"}, {"granularity": "group"}):
            for packed in (False, True):
                t = tersor.quantize(w, 4, symmetric=False, packed=packed, **where)
                assert_quantized(t, (t.q, *spec.quantize(w, 4, symmetric=False, **where)[1:]), f"{shape}, {where}")
                assert tersor.dequantize(t).shape == shape
    number = tersor.quantize(np.array(3, np.float32), granularity="tensor")
    assert (int(number.q), float(tersor.dequantize(number))) == (127, 3.0)


def test_what_quantized_says() -> None:
    t = tersor.quantize(np.ones((2, 3, 8), np.float32), 4, granularity="group", group_size=4, packed=True, symmetric=False)
    assert (t.shape, t.axis, t.group_size, t.size, t.symmetric) == ((2, 3, 8), 2, 4, 48, False)
    assert t.nbytes == 24 + 4 * 12 + 12
    assert repr(t) == "Quantized(shape=(2, 3, 8), bits=4, axis=2, group_size=4, unsigned, asymmetric, packed, nbytes=84)"
    assert tersor.Quantized(t.q, t.scale, t.zero_point, 4, t.shape, -1, 4, False, True).axis == 2


def test_torch_tensors_stay_torch_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    w = torch.randn(5, 64, dtype=torch.bfloat16)
    t = tersor.quantize(w, 4, granularity="group", group_size=32, scale_dtype=torch.bfloat16, packed=True)
    expected = spec.quantize(
        w.view(torch.int16).numpy().view(FLOATS["bfloat16"]),
        4,
        granularity="group",
        group_size=32,
        scale_dtype=FLOATS["bfloat16"],
    )
    assert_same_bits(t.q.numpy(), spec.pack_bits(expected[0], 4))
    assert t.scale.dtype == torch.bfloat16
    assert_same_bits(t.scale.view(torch.int16).numpy(), expected[1].view(np.int16))
    assert tersor.dequantize(t).dtype == torch.bfloat16


# --- the packages that conventions are named after ---------------------------------------------------------------------


def as_torch(array: Array) -> Any:
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def as_numpy(tensor: Any, dtype: DType) -> Array:
    import torch

    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.contiguous().view(torch.int16).numpy().view(dtype))
    return np.asarray(tensor.numpy())


def plain_rows(dtype: DType) -> Array:
    """Finite, at many magnitudes, with rows of zeros and of one sign."""
    generator = np.random.default_rng(3)
    w = generator.standard_normal((64, 96)) * 10.0 ** generator.uniform(-4, 3, (64, 1))
    w[0], w[1], w[2] = 0, np.abs(w[1]), -np.abs(w[2])
    return w.astype(dtype)


class TestCompressedTensors:
    @pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
    @pytest.mark.parametrize("strategy", ["tensor", "channel", "group"])
    @pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
    @pytest.mark.parametrize("plain_dtype", [FLOATS[name] for name in ("float32", "float16", "bfloat16")], ids=str)
    def test_scales_and_codes(self, bits: int, strategy: str, symmetric: bool, plain_dtype: DType) -> None:
        pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
        import torch
        from compressed_tensors.quantization import QuantizationArgs
        from compressed_tensors.quantization.lifecycle.forward import quantize
        from compressed_tensors.quantization.utils.helpers import calculate_qparams

        w = plain_rows(plain_dtype)
        w[0, 0::32] = 1e-3  # 0.12.2 gives zeros another scale in half precision, and another zero point, than 0.20
        args = QuantizationArgs(
            num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=32 if strategy == "group" else None
        )
        x = as_torch(w)
        parts = {"tensor": x.reshape(1, -1), "channel": x, "group": x.reshape(64, 3, 32)}[strategy]
        scale, zero_point = calculate_qparams(parts.amin(-1), parts.amax(-1), args)
        of_rows = (lambda a: a[:, None]) if strategy == "channel" else lambda a: a
        codes = quantize(x, of_rows(scale), of_rows(zero_point), args, dtype=torch.int8)
        granularity = "row" if strategy == "channel" else strategy
        t = tersor.quantize(
            w, bits, granularity=granularity, group_size=32, symmetric=symmetric, convention="compressed-tensors"
        )
        assert_same_bits(t.scale.ravel(), as_numpy(scale, plain_dtype).ravel())
        assert_same_bits(t.q, codes.numpy())
        if not symmetric:
            assert_same_bits(t.zero_point.ravel(), zero_point.numpy().ravel())


class TestTorch:
    @pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
    @pytest.mark.parametrize("code_dtype", ["qint8", "quint8"])
    def test_observers(self, code_dtype: str, symmetric: bool) -> None:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        from torch.ao.quantization.observer import MinMaxObserver, PerChannelMinMaxObserver

        w = plain_rows(FLOATS["float32"])
        dtype, kind = getattr(torch, code_dtype), "symmetric" if symmetric else "affine"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that torch moves them to torchao
            by_row = PerChannelMinMaxObserver(0, dtype=dtype, qscheme=getattr(torch, f"per_channel_{kind}"))
            by_row(torch.from_numpy(w))
            scale, zero_point = by_row.calculate_qparams()
            codes = torch.quantize_per_channel(torch.from_numpy(w), scale, zero_point, 0, dtype).int_repr()
            options = {"symmetric": symmetric, "signed": code_dtype == "qint8", "convention": "torch"}
            t = tersor.quantize(w, **options)
            assert_same_bits(t.scale[:, 0], scale.numpy())
            assert_same_bits(t.q, codes.numpy())
            if not symmetric:
                assert_same_bits(t.zero_point[:, 0].astype(np.int64), zero_point.numpy().astype(np.int64))
            if not symmetric or code_dtype == "quint8":
                return  # quantize_per_tensor adds a zero point before it rounds, by a fused multiply-add
            for row in w:
                whole = MinMaxObserver(dtype=dtype, qscheme=getattr(torch, f"per_tensor_{kind}"))
                whole(torch.from_numpy(row))
                scale, zero_point = whole.calculate_qparams()
                codes = torch.quantize_per_tensor(torch.from_numpy(row), float(scale), int(zero_point), dtype).int_repr()
                t = tersor.quantize(row, granularity="tensor", **options)
                assert_same_bits(t.scale, scale.numpy().reshape(1))
                assert_same_bits(t.q, codes.numpy())


class TestOnnxruntime:
    @pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "asymmetric"])
    @pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT4", "UINT4"])
    def test_scales_and_codes(self, kind: str, symmetric: bool) -> None:
        onnx = pytest.importorskip("onnx", reason="onnx is not installed")
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        from onnxruntime.quantization import quant_utils

        number_type = getattr(onnx.TensorProto, kind)
        signed, bits = kind.startswith("INT"), int(kind[-1])
        w = plain_rows(FLOATS["float32"])
        t = tersor.quantize(w, bits, symmetric=symmetric, signed=signed, convention="onnx")
        least, most = quant_utils.get_qmin_qmax_for_qType(number_type, symmetric=symmetric)
        for row, q, found, found_zero in zip(
            w, t.q, t.scale[:, 0], t.scale[:, 0] if symmetric else t.zero_point[:, 0], strict=True
        ):
            zero_point, scale = quant_utils.compute_scale_zp(row.min(), row.max(), least, most, symmetric)
            codes = quant_utils.quantize_nparray(number_type, row, scale, zero_point)
            assert found == scale
            if not symmetric:
                assert int(found_zero) == int(zero_point)
            if symmetric and not signed and not row.any():
                continue  # onnxruntime gives rows of zeros the zero point 0, others the middle
            np.testing.assert_array_equal(q, np.asarray(codes).astype(q.dtype))

    def test_operators(self) -> None:
        """QuantizeLinear and DequantizeLinear of onnxruntime itself, by given scales."""
        onnx = pytest.importorskip("onnx", reason="onnx is not installed")
        runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        from onnx import helper

        w = plain_rows(FLOATS["float32"])
        t = tersor.quantize(w, symmetric=False, convention="onnx")
        scale, zero_point = t.scale[:, 0], t.zero_point[:, 0]
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=0),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=0),
        ]
        number, code = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
        inputs = [
            helper.make_tensor_value_info("x", number, w.shape),
            helper.make_tensor_value_info("scale", number, scale.shape),
            helper.make_tensor_value_info("zero", code, scale.shape),
        ]
        outputs = [helper.make_tensor_value_info("q", code, w.shape), helper.make_tensor_value_info("y", number, w.shape)]
        graph = helper.make_graph(nodes, "both", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        q, y = session.run(None, {"x": w, "scale": scale, "zero": zero_point})
        assert_same_bits(t.q, q)
        assert_same_bits(tersor.dequantize(t), y)


@pytest.mark.parametrize("kind, bits", [("q4_0", 4), ("q5_0", 5), ("q8_0", 8)])
class TestGgml:
    def test_codes_and_scales_of_blocks(self, kind: str, bits: int, dtype: DType) -> None:
        """Which test_formats_gguf compares with the package gguf. Rounded numbers, too, whose greatest magnitudes tie."""
        w = np.random.default_rng(4).standard_normal((300, 64))
        for x in (w.astype(dtype), np.rint(4 * w).astype(dtype), plain_rows(dtype)):
            blocks = formats.encode(f"gguf-{kind}", x)
            options = {"granularity": "group", "group_size": 32, "convention": "ggml", "scale_dtype": "float32"}
            t = tersor.quantize(x.astype(np.float32), bits, **options)
            assert_same_bits(formats.codes(f"gguf-{kind}", blocks).q.view(t.q.dtype) ^ (-128 if t.signed else 0), t.q)
            with np.errstate(over="ignore"):
                stored = dataclasses.replace(t, scale=t.scale.astype(np.float16))
            assert_same_bits(formats.encode(f"gguf-{kind}", stored)["data"], blocks["data"])

    def test_the_first_of_two_alike_in_long_groups(self, kind: str, bits: int, settings: Any) -> None:
        w = np.random.default_rng(5).standard_normal((3, 200_003)).astype(np.float32).clip(-3, 3)
        w[0, 100_000:100_002], w[1, [150_000, 7]], w[2, 5:7] = (4, -4), (4, -4), (-4, 4)
        long_column = np.ascontiguousarray(w[:, 99_000:].T)
        for x, granularity in ((w, "row"), (w, "tensor"), (w[:, ::-1], "row"), (long_column, "column")):
            options = {"granularity": granularity, "convention": "ggml"}
            expected = spec.quantize(x, bits, **options)
            for setting in settings:
                assert_quantized(tersor.quantize(x, bits, **options), expected, f"{granularity}, {setting}")


class TestBitsandbytes:
    @pytest.mark.parametrize("plain_dtype", [FLOATS[name] for name in ("float32", "float16", "bfloat16")], ids=str)
    def test_rows(self, plain_dtype: DType) -> None:
        """Of greatest magnitudes whose fraction is beyond 127 / 128 a few codes may be those of the neighbouring number."""
        functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes is not installed")
        w = np.concatenate([plain_rows(plain_dtype) for _ in range(3)])
        w = np.random.default_rng(6).permutation(w.ravel()).reshape(w.shape)
        w[0] = 0
        q, absmax, _ = functional.int8_vectorwise_quant(as_torch(w))
        t = tersor.quantize(w, convention="bitsandbytes")
        assert_same_bits(t.scale[:, 0], absmax.numpy() / np.float32(127))
        fraction, _ = np.frexp(absmax.numpy())
        assert_same_bits(t.q[fraction < 127 / 128], q.numpy()[fraction < 127 / 128])
        assert np.mean(t.q == q.numpy()) > 0.9999
