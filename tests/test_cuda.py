"""The CUDA kernels on a GPU, through the public functions on torch CUDA tensors. Without a GPU everything here is skipped;
then the emulated kernels (tests/cpp/cuda_kernels_test.cpp) and the compiler's report (test_cuda_build.py) are checked.

Where a GPU is new to these tests, run them under compute-sanitizer first: memcheck, racecheck and synccheck.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tersor
from conftest import Tolerance
from layouts import (
    FLOATS,
    Array,
    as_numpy,
    assert_same_bits,
    bits,
    canonical_nan,
    every_value,
    random_values,
    spec,
    special_values,
)

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


def why_not() -> str:
    """Why these tests cannot run here; empty where they can."""
    if torch is None:
        return "no GPU test: torch is not installed"
    if not torch.cuda.is_available():
        return "no GPU test: torch sees no CUDA device"
    if importlib.util.find_spec("tersor._cuda") is None:
        return "no GPU test: this build of tersor has no CUDA kernels"
    return ""


REASON = why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "there is a GPU")

# Lanes, warps, blocks and clusters, with their edges; odd lengths begin most rows between 16-byte addresses.
COLS = [1, 7, 64, 128, 129, 1000, 1024, 3000, 4096, 11008, 32000, 50257, 151936, 262144]
# What csrc/cuda/softmax_row.h derives.
TOLERANCE = {
    "float32": Tolerance(own_ulp=2.8),
    "float64": Tolerance(own_ulp=2.8),
    "float16": Tolerance(own_ulp=0.52),
    "bfloat16": Tolerance(own_ulp=0.52),
}


def rows_for(cols: int) -> int:
    return 3 if cols > 30000 else 33


def to_gpu(array: Array) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.copy(order="C").view(np.int16)).cuda().view(torch.bfloat16)
    return torch.from_numpy(array.copy(order="C")).cuda()


def to_cpu(tensor: Any) -> Array:
    return as_numpy(tensor.cpu())


# Views of larger tensors: (array -> view with the same values), by the names of what they stress.
LAYOUTS: dict[str, Callable[[Any], Any]] = {}


def layout(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    LAYOUTS[function.__name__.replace("_", " ")] = function
    return function


def _inside(tensor: Any, sizes: list[int], place: tuple[slice, ...]) -> Any:
    larger = torch.full(sizes, 77.0, device="cuda").to(tensor.dtype)
    larger[place] = tensor
    return larger[place]


@layout
def dense(tensor: Any) -> Any:
    return tensor.clone()


@layout
def first_column_cut(tensor: Any) -> Any:
    rows, cols = tensor.shape
    return _inside(tensor, [rows, cols + 1], (slice(None), slice(1, None)))


@layout
def last_columns_cut(tensor: Any) -> Any:
    rows, cols = tensor.shape
    return _inside(tensor, [rows, cols + 5], (slice(None), slice(0, cols)))


@layout
def every_second_column(tensor: Any) -> Any:
    rows, cols = tensor.shape
    return _inside(tensor, [rows, 2 * cols], (slice(None), slice(1, None, 2)))


@layout
def transposed(tensor: Any) -> Any:
    return tensor.T.contiguous().T


def exact_softmax(x: Array, temperature: Any, axis: int) -> Array:
    """The specification; for float64, whose own errors it shares, once more in the wider long double."""
    exact = np.asarray(spec.softmax(x.astype(np.float64), temperature, axis))
    if x.dtype != np.float64 or np.finfo(np.longdouble).nmant < 63:
        return exact
    z, t = x.astype(np.longdouble), np.asarray(temperature, np.longdouble)
    with np.errstate(all="ignore"):
        terms = np.exp((z - z.max(axis, keepdims=True)) / t)
        wider = terms / terms.sum(axis, keepdims=True)
    return np.where(np.isfinite(t) & (t > 0) & ~np.isnan(exact), wider, exact)


def assert_shares(actual: Any, x: Array, temperature: Any, axis: int, context: object) -> None:
    """Within the published bound of the specification, NaN canonical, each row summing to 1."""
    actual = to_cpu(actual)
    exact = exact_softmax(x, temperature, axis)
    nan = np.isnan(exact)
    assert np.isnan(actual[nan].astype(np.float64)).all(), context
    assert np.array_equal(bits(actual)[nan], bits(canonical_nan(actual))[nan]), context
    error = np.abs(actual.astype(exact.dtype) - exact)
    allowed = TOLERANCE[x.dtype.name].bound(np.where(nan, 1, exact), x.dtype)
    wrong = np.flatnonzero(~(nan | (error <= allowed)).ravel())
    first = [(int(i), actual.ravel()[i], exact.ravel()[i]) for i in wrong[:1]]
    assert wrong.size == 0, f"{context}: {wrong.size} shares beyond the bound, the first (place, share, exact): {first}"


def logits(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int = 0) -> Array:
    x = (np.random.default_rng(seed).standard_normal(shape) * 4).astype(dtype)
    if shape[-1] > 8:
        x[..., 5] = -np.inf
    return x


# --- prune ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cols", COLS)
def test_prune_sizes(cols: int, dtype: np.dtype[Any]) -> None:
    w = random_values((rows_for(cols), cols), dtype)
    assert_same_bits(to_cpu(tersor.prune_threshold(to_gpu(w), 0.5)), spec.prune_threshold(w, 0.5), cols)


@pytest.mark.parametrize("eps", [0.0, 1e-45, 1e-7, 0.5, 1.0, 65504.0, 1e30, float("inf")])
def test_prune_every_value(eps: float, dtype: np.dtype[Any]) -> None:
    w = every_value(dtype) if dtype.itemsize == 2 else np.resize(special_values(dtype), 4099)
    assert_same_bits(to_cpu(tersor.prune_threshold(to_gpu(w), eps)), spec.prune_threshold(w, eps), eps)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(33, 70), (5, 5000), (4000, 3)], ids=str)
def test_prune_layouts(name: str, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
    w = random_values(shape, dtype)
    expected = spec.prune_threshold(w, 0.5)
    view = LAYOUTS[name](to_gpu(w))
    assert_same_bits(to_cpu(tersor.prune_threshold(view, 0.5)), expected, name)
    out = LAYOUTS[name](torch.zeros_like(to_gpu(w)))
    tersor.prune_threshold(to_gpu(w), 0.5, out=out)
    assert_same_bits(to_cpu(out), expected, f"out {name}")
    tersor.prune_threshold(view, 0.5, out=view)
    assert_same_bits(to_cpu(view), expected, f"in place, {name}")


# --- quantize ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cols", COLS)
def test_quantize_sizes(cols: int, dtype: np.dtype[Any]) -> None:
    for special in (np.array([], dtype), special_values(dtype)):
        w = random_values((rows_for(cols), cols), dtype, special=special)
        q, scale = tersor.quantize_int8(to_gpu(w))
        expected_q, expected_scale = spec.quantize_int8(w)
        assert_same_bits(to_cpu(scale), expected_scale, cols)
        assert_same_bits(to_cpu(q), expected_q, cols)


@pytest.mark.parametrize("factor", [1e-44, 1e-38, 1e-30, 1e30, 3e37])
def test_quantize_extreme_scales(factor: float) -> None:
    w = (random_values((17, 1000), FLOATS["float64"], special=np.array([])) * factor).astype(np.float32)
    for actual, expected in zip(tersor.quantize_int8(to_gpu(w)), spec.quantize_int8(w), strict=True):
        assert_same_bits(to_cpu(actual), expected, factor)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(33, 70), (5, 5000), (4000, 3)], ids=str)
def test_quantize_layouts(name: str, shape: tuple[int, int], axis: int, dtype: np.dtype[Any]) -> None:
    w = random_values(shape, dtype)
    expected = spec.quantize_int8(w, axis)
    for actual, wanted in zip(tersor.quantize_int8(LAYOUTS[name](to_gpu(w)), axis=axis), expected, strict=True):
        assert_same_bits(to_cpu(actual), wanted, name)


def test_quantize_rows_without_columns(dtype: np.dtype[Any]) -> None:
    q, scale = tersor.quantize_int8(to_gpu(np.empty((5, 0), dtype)))
    assert tuple(q.shape) == (5, 0) and to_cpu(scale).tolist() == [[1.0]] * 5


# --- softmax -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("cols", COLS)
def test_softmax_sizes(cols: int, temperature: float, dtype: np.dtype[Any]) -> None:
    x = logits((rows_for(cols), cols), dtype)
    actual = tersor.softmax(to_gpu(x), temperature)
    assert_shares(actual, x, temperature, -1, cols)
    if dtype.itemsize >= 4:
        assert np.abs(to_cpu(actual).astype(np.float64).sum(-1) - 1).max() <= 1e-6


@pytest.mark.parametrize("rows", [1, 16, 200, 3000])
def test_softmax_few_and_many_rows(rows: int, dtype: np.dtype[Any]) -> None:
    x = logits((rows, 20000), dtype)
    assert_shares(tersor.softmax(to_gpu(x)), x, 1.0, -1, rows)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("shape", [(33, 70), (5, 5000), (4000, 3)], ids=str)
def test_softmax_layouts(name: str, shape: tuple[int, int], axis: int, dtype: np.dtype[Any]) -> None:
    x = logits(shape, dtype)
    view = LAYOUTS[name](to_gpu(x))
    assert_shares(tersor.softmax(view, 0.7, axis=axis), x, 0.7, axis, name)
    out = LAYOUTS[name](torch.zeros_like(to_gpu(x)))
    tersor.softmax(to_gpu(x), 0.7, axis=axis, out=out)
    assert_shares(out, x, 0.7, axis, f"out {name}")
    tersor.softmax(view, 0.7, axis=axis, out=view)
    assert_shares(view, x, 0.7, axis, f"in place, {name}")


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-60, 1e-25, 50.0, 1e25, 1e300, float("inf")])
@pytest.mark.parametrize("cols", [9, 300, 2500, 40000])
def test_softmax_limits_of_the_temperature(cols: int, temperature: float, dtype: np.dtype[Any]) -> None:
    x = logits((6, cols), dtype)
    x[1, 3], x[2, 4], x[3] = np.nan, np.inf, -np.inf
    x[4] = x[4, 0]
    assert_shares(tersor.softmax(to_gpu(x), temperature), x, temperature, -1, temperature)


def test_softmax_a_temperature_a_row(dtype: np.dtype[Any]) -> None:
    x = logits((8, 333), dtype)
    temperature = np.array([1.0, 0.5, 0.0, np.inf, 2.0, 7.0, -1.0, np.nan])[:, None]
    actual = to_cpu(tersor.softmax(to_gpu(x), to_gpu(temperature)))
    assert_shares(to_gpu(actual[:6]), x[:6], temperature[:6], -1, "per row")
    assert np.isnan(actual[6:].astype(np.float64)).all(), "negative and NaN temperatures make their rows NaN"


# --- the same everywhere ---------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[..., Any]] = {
    "prune_threshold": lambda x, out=None: tersor.prune_threshold(x, 0.5, out=out),
    "quantize_int8": lambda x, out=None: tersor.quantize_int8(x, out=out),
    "softmax": lambda x, out=None: tersor.softmax(x, 0.7, out=out),
}


def outputs_for(name: str, x: Any) -> Any:
    if name != "quantize_int8":
        return torch.empty_like(x)
    arithmetic = torch.float64 if x.dtype == torch.float64 else torch.float32
    scale = torch.empty((*x.shape[:-1], 1), dtype=arithmetic, device=x.device)
    return torch.empty(x.shape, dtype=torch.int8, device=x.device), scale


def as_list(result: Any) -> list[Array]:
    return [to_cpu(tensor) for tensor in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (5, 0), (3, 0, 2), (1,), (2, 3, 5, 7)], ids=str)
def test_shapes(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if not shape and name != "prune_threshold":
        return
    x = to_gpu(np.zeros(shape, dtype))
    for tensor in as_list(CALLS[name](x)):
        assert tensor.shape == shape or name == "quantize_int8"


@pytest.mark.parametrize("name", CALLS)
def test_same_bits_from_run_to_run(name: str, dtype: np.dtype[Any]) -> None:
    for cols in (100, 5000, 151936):
        x = to_gpu(logits((17, cols), dtype))
        first = as_list(CALLS[name](x))
        for _ in range(5):
            for again, wanted in zip(as_list(CALLS[name](x)), first, strict=True):
                assert_same_bits(again, wanted, cols)


@pytest.mark.parametrize("name", ["prune_threshold", "quantize_int8"])
def test_same_bits_as_the_cpu(name: str, dtype: np.dtype[Any]) -> None:
    x = random_values((50, 3001), dtype)
    on_cpu = torch.from_numpy(x.view(np.int16)).view(torch.bfloat16) if dtype == ml_dtypes.bfloat16 else torch.from_numpy(x)
    for gpu, cpu in zip(as_list(CALLS[name](to_gpu(x))), as_list(CALLS[name](on_cpu)), strict=True):
        assert_same_bits(gpu, cpu, name)


@pytest.mark.parametrize("name", CALLS)
def test_works_on_the_current_stream(name: str) -> None:
    """The input is made on the stream after a long wait: a kernel on any other stream would read what was there before."""
    source = to_gpu(logits((64, 4096), FLOATS["float32"], seed=1))
    expected = as_list(CALLS[name](source))
    x, out, stream = torch.zeros_like(source), outputs_for(name, source), torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        x.copy_(source, non_blocking=True)
        CALLS[name](x, out)
    stream.synchronize()
    for actual, wanted in zip(as_list(out), expected, strict=True):
        assert_same_bits(actual, wanted, name)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("cols", [64, 3000, 151936])
def test_graph_capture(name: str, cols: int) -> None:
    from tersor import _cuda

    _cuda.warmup(torch.cuda.current_device())
    x = to_gpu(logits((32, cols), FLOATS["float32"]))
    out = outputs_for(name, x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        CALLS[name](x, out)
    for seed in (2, 3):
        x.copy_(to_gpu(logits((32, cols), FLOATS["float32"], seed)))
        graph.replay()
        for actual, wanted in zip(as_list(out), as_list(CALLS[name](x)), strict=True):
            assert_same_bits(actual, wanted, seed)


@pytest.mark.parametrize("name", CALLS)
def test_device_stays_the_callers(name: str) -> None:
    before = torch.cuda.current_device()
    for device in range(torch.cuda.device_count()):
        x = to_gpu(logits((4, 100), FLOATS["float32"])).to(f"cuda:{device}")
        result = CALLS[name](x)
        assert (result[0] if isinstance(result, tuple) else result).device == x.device
    assert torch.cuda.current_device() == before


def test_devices_may_not_be_mixed() -> None:
    x = to_gpu(logits((4, 100), FLOATS["float32"]))
    with pytest.raises(ValueError, match="is on"):
        tersor.softmax(x, out=torch.empty((4, 100)))


def test_ops_without_a_kernel_say_so() -> None:
    with pytest.raises(TypeError, match="no CUDA kernel"):
        tersor.round_fixed(to_gpu(np.ones(5, np.float32)))


@pytest.mark.parametrize("name", CALLS)
def test_cupy_arrays(name: str) -> None:
    cupy = pytest.importorskip("cupy", reason="cupy is not installed")
    x = logits((9, 1000), FLOATS["float32"])
    result = CALLS[name](cupy.asarray(x))
    results = result if isinstance(result, tuple) else (result,)
    for actual, wanted in zip(results, as_list(CALLS[name](to_gpu(x))), strict=True):
        assert isinstance(actual, cupy.ndarray)
        assert_same_bits(cupy.asnumpy(actual), wanted, name)
