"""torch.ops.tersor: registered operators that torch.compile, autograd and the dispatcher understand."""

from __future__ import annotations

import copy
import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from layouts import assert_same_bits

torch = pytest.importorskip("torch", reason="torch is not installed")

import tersor  # noqa: E402
import tersor.torch  # noqa: E402
from torch_calls import bitmask_parts, bool_mask, calls, normal, plain_call  # noqa: E402

ops = torch.ops.tersor
FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
NAMES = list(calls())
BITS = {"and_masks", "or_masks", "xor_masks", "invert_mask", "count_mask"}
WITHOUT_FLOATS = {
    "pack_mask",
    "unpack_mask",
    "pack_int4",
    "unpack_int4",
    "pack_bits",
    "pack_bits int32",
    "pack_bits awq",
    "unpack_bits",
    "unpack_bits awq",
    *BITS,
}
STORED = {"compress_24", "decompress_24", "compress_nm", "decompress_nm"}
STEP_FUNCTIONS = {
    "round_fixed",
    "fake_quantize_backward",
    "softmax_backward",
    "softmax_backward by rows",
    "log_softmax_backward",
    "log_softmax_backward by rows",
    "logsumexp_backward",
    "logsumexp_backward by rows",
    "quantize",
    "quantize columns",
    "quantize_int8",
    "quantize_int8 columns",
}
DIFFERENTIABLE = {
    "decompress_bitmask",
    "matmul_bitmask",
    "prune_threshold",
    "prune_magnitude",
    "prune_magnitude column",
    "prune_mean",
    "prune_scores",
    "prune_taylor",
    "prune_wanda",
    "prune_random",
    "prune_nm",
    "prune_nm transposable",
    "prune_blocks",
    "apply_mask",
    "apply_mask packed",
    "remove_units",
    "remove_units columns",
    "prune_information",
    "softmax",
    "softmax columns",
    "softmax by rows",
    "log_softmax",
    "log_softmax columns",
    "log_softmax by rows",
    "logsumexp",
    "logsumexp columns",
    "logsumexp by rows",
    "fake_quantize by scales",
}


def assert_equal(results: Any, expected: Any, context: str = "") -> None:
    results, expected = (value if isinstance(value, tuple) else (value,) for value in (results, expected))
    for result, wanted in zip(results, expected, strict=True):
        wanted = wanted if isinstance(wanted, torch.Tensor) else torch.tensor(wanted)
        assert (result.dtype, result.shape) == (wanted.dtype, wanted.shape), context
        bits = [tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (result, wanted)]
        assert torch.equal(*bits), context


# --- the operators ---------------------------------------------------------------------------------------------------


def test_every_function_has_its_operator() -> None:
    functions = set(tersor.__all__) - {
        "cpu_level",
        "cpu_levels",
        "get_num_threads",
        "set_num_threads",
        "register_threadpoolctl",
        "sparsity",
        "cubic_sparsity",
        "score_units_by_loss",  # calls Python
        "BitmaskTensor",
        "Calibrator",  # an object with a state
        "Quantized",
        "QuantizationError",
        "bitmask_to_csr",  # for sparse matrices, which operators do not take
        "bitmask_from_csr",
    }
    assert {name.split()[0] for name in NAMES} == functions
    for name in functions:
        assert hasattr(ops, name)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_as_the_function(name: str, dtype: Any) -> None:
    operator, arguments = calls(dtype)[name]
    assert_equal(operator(*arguments), plain_call(name, arguments), name)


@pytest.mark.parametrize("requires_grad", [False, True], ids=["constant", "requires grad"])
@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name: str, requires_grad: bool) -> None:
    """torch's own checks: the schema is true, the fake kernel gives the same shapes, autograd is registered, and it
    can be traced with symbolic shapes."""
    operator, arguments = calls(requires_grad=requires_grad)[name]
    names = ["test_schema", "test_autograd_registration", "test_faketensor"]
    refused = {"round_fixed", "quantize", "quantize_int8", *STORED}
    if not (requires_grad and (name.split()[0] in refused or "_backward" in name)):
        names.append("test_aot_dispatch_dynamic")  # compares gradients, which step functions and what is stored refuse
    torch.library.opcheck(operator, arguments, test_utils=names)


@pytest.mark.parametrize("name", NAMES)
def test_strided(name: str) -> None:
    operator, arguments = calls()[name]
    first = arguments[0]
    spread = torch.stack([first, first], dim=-1)[..., 0]
    assert not spread.is_contiguous()
    assert_equal(operator(spread, *arguments[1:]), operator(*arguments), name)


# --- tracing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_compile(name: str) -> None:
    """No graph break, and the same bits; then once more with another shape, which takes the symbolic road."""
    torch._dynamo.reset()  # the lambda is one function to dynamo, whatever operator it calls
    operator, arguments = calls()[name]
    compiled = torch.compile(lambda *values: operator(*values), fullgraph=True, backend="aot_eager", dynamic=True)
    assert_equal(compiled(*arguments), operator(*arguments), name)
    fewer = tuple(value[:3] if isinstance(value, torch.Tensor) and value.shape[0] == 5 else value for value in arguments)
    assert_equal(compiled(*fewer), operator(*fewer), f"{name}, fewer rows")


@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE))
def test_compile_with_gradient(name: str) -> None:
    torch._dynamo.reset()
    operator, arguments = calls(requires_grad=True)[name]
    (expected,) = torch.autograd.grad(operator(*arguments).pow(2).sum(), arguments[0])
    compiled = torch.compile(lambda *values: operator(*values).pow(2).sum(), fullgraph=True, backend="aot_eager")
    (gradient,) = torch.autograd.grad(compiled(*arguments), arguments[0])
    torch.testing.assert_close(gradient, expected)


def test_fake_tensors() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    for name, (operator, arguments) in calls().items():
        real = operator(*arguments)
        with FakeTensorMode(shape_env=ShapeEnv()) as mode:
            fake = operator(*[mode.from_tensor(value) if isinstance(value, torch.Tensor) else value for value in arguments])
        for result, wanted in zip(
            fake if isinstance(fake, tuple) else (fake,), real if isinstance(real, tuple) else (real,), strict=True
        ):
            if name != "compress_bitmask" or result.ndim > 1:  # how many values there are, data alone can tell
                assert (result.shape, result.stride()) == (wanted.shape, wanted.stride()), name
            assert result.dtype == wanted.dtype, name


def test_export() -> None:
    class Pruned(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return ops.softmax(ops.prune_threshold(x, 0.5), 2.0)

    x = normal(5, 33)
    exported = torch.export.export(Pruned(), (x,))
    assert_equal(exported.module()(x), Pruned()(x))
    assert [str(node.target) for node in exported.graph.nodes if "tersor" in str(node.target)] == [
        "tersor.prune_threshold.default",
        "tersor.softmax.default",
    ]


# --- gradients -------------------------------------------------------------------------------------------------------


class TestGradients:
    def test_prune_threshold(self) -> None:
        w = normal(4, 9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda w: ops.prune_threshold(w, 0.5), (w,))

    def test_compress_bitmask(self) -> None:
        w = normal(4, 9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda w: ops.compress_bitmask(w)[0], (w,))

    def test_apply_mask(self) -> None:
        w = normal(4, 9, dtype=torch.float64, requires_grad=True)
        for mask in (bool_mask(4, 9), tersor.pack_mask(bool_mask(4, 9))):
            assert torch.autograd.gradcheck(lambda w, mask=mask: ops.apply_mask(w, mask), (w,))

    @pytest.mark.parametrize("axis", [0, 1, -1])
    @pytest.mark.parametrize("temperature", [1.0, 0.3, 5.0])
    @pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
    def test_softmax(self, name: str, axis: int, temperature: float) -> None:
        x = normal(4, 9, dtype=torch.float64, requires_grad=True)
        operator = getattr(ops, name)
        assert torch.autograd.gradcheck(lambda x: operator(x, temperature, axis), (x,))
        assert torch.autograd.gradgradcheck(lambda x: operator(x, temperature, axis), (x,))

    def test_remove_units(self) -> None:
        w = normal(4, 9, dtype=torch.float64, requires_grad=True)
        keep = torch.tensor([0, 2])
        for axis, size in ((0, 1), (0, 2), (-1, 3), (1, 1)):
            few = keep if axis or size == 1 else keep[:1]
            assert torch.autograd.gradcheck(lambda w, few=few, a=axis, s=size: ops.remove_units(w, few, a, s), (w,))

    @pytest.mark.parametrize("shape, axis", [((4, 1), 1), ((1, 1), 1), ((1,), 1), ((1, 9), 0), ((9,), 0)], ids=str)
    @pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
    def test_softmax_in_logits_and_temperatures(self, name: str, shape: tuple[int, ...], axis: int) -> None:
        x = normal(4, 9, dtype=torch.float64, requires_grad=True)
        temperature = (normal(*shape, dtype=torch.float64).abs() + 0.5).requires_grad_()
        operator = getattr(ops, name)
        assert torch.autograd.gradcheck(lambda x, t: operator(x, t, axis), (x, temperature))
        assert torch.autograd.gradgradcheck(lambda x, t: operator(x, t, axis), (x, temperature))

    def test_logsumexp_with_kept_dimensions(self) -> None:
        x = normal(4, 9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x: ops.logsumexp(x, 0.7, 0, True), (x,))

    def test_matmul_bitmask(self) -> None:
        x = normal(4, 33, dtype=torch.float64, requires_grad=True)
        parts = bitmask_parts(7, 33, torch.float64)
        assert torch.autograd.gradcheck(lambda x: ops.matmul_bitmask(x, *parts, 7, 33), (x,))
        assert torch.autograd.gradgradcheck(lambda x: ops.matmul_bitmask(x, *parts, 7, 33), (x,))

    def test_matmul_bitmask_has_none_in_values(self) -> None:
        values, bits, offsets = bitmask_parts(7, 33, torch.float32)
        y = ops.matmul_bitmask(normal(4, 33), values.requires_grad_(), bits, offsets, 7, 33)
        with pytest.raises(NotImplementedError, match=r"tersor::matmul_bitmask has no gradient in values.*detach"):
            y.sum().backward()

    def test_softmax_like_torch(self) -> None:
        for dtype in FLOATS:
            x = normal(6, 50, dtype=dtype, requires_grad=True)
            twin = x.detach().double().requires_grad_()
            weights = normal(6, 50, dtype=dtype) + 1
            (ops.softmax(x, 2.0) * weights).sum().backward()
            (torch.softmax(twin / 2, -1) * weights.double()).sum().backward()
            tolerance = {torch.float64: 1e-14, torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
            torch.testing.assert_close(x.grad.double(), twin.grad, rtol=tolerance, atol=tolerance / 10)

    def test_softmax_with_masked_entries(self) -> None:
        x = normal(3, 8, requires_grad=True)
        masked = x.masked_fill(bool_mask(3, 8), -torch.inf)
        masked = torch.where(torch.arange(8) == 0, x, masked)
        temperature = torch.full((3, 1), 0.5, requires_grad=True)
        logs = ops.log_softmax(masked, temperature).masked_fill(masked.isneginf(), 0.0)
        results = (ops.softmax(masked, temperature), logs, ops.logsumexp(masked, temperature))
        sum(result.pow(2).sum() for result in results).backward()
        assert torch.isfinite(x.grad).all() and torch.isfinite(temperature.grad).all()

    def test_gradient_at_temperature_zero_is_zero(self) -> None:
        x = normal(3, 8, requires_grad=True)
        ops.softmax(x, 0.0).pow(2).sum().backward()
        assert not x.grad.any()

    @pytest.mark.parametrize("name", sorted(STEP_FUNCTIONS))
    def test_step_functions_say_that_they_have_none(self, name: str) -> None:
        operator, arguments = calls(requires_grad=True)[name]
        result = operator(*arguments)
        result = result[1] if isinstance(result, tuple) else result
        with pytest.raises(NotImplementedError, match=rf"tersor::{name.split()[0]} has no gradient.*detach"):
            result.sum().backward()

    @pytest.mark.parametrize(
        "name", ["mask_threshold", "mask_threshold packed", "count_nonzero", "score_units", "score_units taylor"]
    )
    def test_outputs_that_are_no_numbers_carry_no_gradient(self, name: str) -> None:
        operator, arguments = calls(requires_grad=True)[name]
        assert not operator(*arguments).requires_grad

    def test_no_grad(self) -> None:
        w = normal(3, 8, requires_grad=True)
        with torch.no_grad():
            assert not ops.prune_threshold(w, 0.5).requires_grad


# --- the dispatcher --------------------------------------------------------------------------------------------------


class TestDispatcher:
    def test_negative_bit_is_resolved(self) -> None:
        """The plain function refuses; the operator is given the resolved tensor by torch."""
        negative = torch.complex(torch.ones(3, 8), torch.full((3, 8), 2.0)).conj().imag
        assert negative.is_neg()
        assert_equal(ops.prune_threshold(negative, 0.5), torch.full((3, 8), -2.0))

    def test_tensor_subclass(self) -> None:
        class Units(torch.Tensor):
            pass

        w = normal(3, 8)
        result = ops.prune_threshold(w.as_subclass(Units), 0.5)
        assert type(result) is Units
        assert_equal(result.as_subclass(torch.Tensor), tersor.prune_threshold(w, 0.5))

    def test_dispatch_mode_sees_one_operator(self) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode

        seen: list[str] = []

        class Listen(TorchDispatchMode):
            def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                seen.append(str(function))
                return function(*args, **(kwargs or {}))

        with Listen():
            ops.softmax(normal(3, 8), 2.0)
        assert seen.count("tersor.softmax.default") == 1

    def test_meta_device(self) -> None:
        result = ops.softmax(torch.empty(3, 8, device="meta"), 2.0)
        assert result.device.type == "meta" and result.shape == (3, 8)

    def test_module_survives_copy_and_pickle(self) -> None:
        model = torch.nn.Sequential(torch.nn.Linear(8, 8))
        with torch.no_grad():
            model[0].weight.copy_(ops.prune_threshold(model[0].weight, 0.1))
        buffer = io.BytesIO()
        torch.save(copy.deepcopy(model).state_dict(), buffer)
        buffer.seek(0)
        assert_equal(torch.load(buffer)["0.weight"], model[0].weight.detach())

    @pytest.mark.parametrize("call, message", [
        (lambda: ops.prune_threshold(torch.ones(3), -1.0), r"eps.*>= 0"),
        (lambda: ops.pack_int4(torch.full((4,), 9, dtype=torch.int8)), r"q.*outside \[-8, 7\]"),
        (lambda: ops.softmax(torch.ones(3), -1.0), r"temperature.*>= 0"),
        (lambda: ops.round_fixed(torch.ones(3), 60), r"bits.*\[0, 52\]"),
    ])  # fmt: skip
    def test_value_errors_arrive(self, call: Callable[[], Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            call()


def test_import_twice_and_alone() -> None:
    """The operators are there after `import tersor.torch` alone, and importing again registers nothing twice."""
    script = (
        "import importlib, tersor.torch, torch\n"
        "importlib.import_module('tersor.torch')\n"
        "print(torch.ops.tersor.softmax(torch.zeros(2)).tolist())"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[0.5, 0.5]", result.stderr


def test_results_are_the_functions_bits_with_threads(settings: Any) -> None:
    x = normal(300, 700)
    expected = tersor.softmax(x.numpy())
    for setting in settings:
        assert_same_bits(ops.softmax(x), expected, setting)
