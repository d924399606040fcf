"""What every test file shares: CPU levels, thread counts, dtypes, frameworks, and the one table of tolerances."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import ml_dtypes
import numpy as np
import pytest
import tersor
from layouts import FLOATS, as_numpy, ulp
from tersor import _core

try:
    import torch
except ImportError:
    torch = None

FINDS_BAD_ACCESSES = "libasan" in os.environ.get("LD_PRELOAD", "")
FINDS_RACES = "libtsan" in os.environ.get("LD_PRELOAD", "")

# Tests of memory use and of time say nothing about a build with sanitizers, and qemu cannot run one.
needs_plain_build = pytest.mark.skipif(FINDS_BAD_ACCESSES or FINDS_RACES, reason="a sanitizer changes memory use and time")

needs_forks = pytest.mark.skipif(
    FINDS_BAD_ACCESSES or FINDS_RACES,
    reason="a sanitizer's own locks may be held at a fork: a child of it can hang",
)

# Sanitizers look at what is read and written, and when, and not at results. Which bytes a call touches is the same for every
# number of threads, and which threads meet is the same at every CPU level.
LEVELS: tuple[str, ...] = tuple(_core.cpu_levels())[-1:] if FINDS_RACES else tuple(_core.cpu_levels())
THREAD_COUNTS = (2, 7) if FINDS_RACES else (1, 3) if FINDS_BAD_ACCESSES else (1, 2, 3, 7)

# `make test` runs the same examples each time, so that it fails for one reason only; the nightly run looks for new
# ones.
hypothesis.settings.register_profile("test", max_examples=60, deadline=None, derandomize=True)
hypothesis.settings.register_profile("nightly", max_examples=5000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("TERSOR_HYPOTHESIS_PROFILE", "test"))


# --- tolerances ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tolerance:
    """An absolute bound on each entry: ULP of the result's dtype, ULP of the dtype of arithmetic, and a number."""

    own_ulp: float = 0.0
    arithmetic_ulp: float = 0.0
    number: float = 0.0

    def bound(self, exact: Any, dtype: np.dtype[Any]) -> Any:
        arithmetic = np.dtype(np.float64 if dtype == np.float64 else np.float32)
        return self.own_ulp * ulp(exact, dtype) + self.arithmetic_ulp * ulp(exact, arithmetic) + self.number


# Whatever is not in this table is compared bit for bit.
TOLERANCE = {
    # The stated bound, 2 ULP, plus the float64 reference's own error: the argument of exp is at most 104 where the
    # result is not 0 in float32, so its half ULP of 2**-53 grows to 104 * 2**-53 in the result, which is 2**-22 ULP of
    # float32.
    ("softmax", "float32"): Tolerance(own_ulp=2 + 2**-20),
    # 2 ULP, plus the longdouble reference's own error: a few roundings of 2**-64, and exp's, are below 2**-61 of the result,
    # which is 2**-8 ULP of float64.
    ("softmax", "float64"): Tolerance(own_ulp=2 + 2**-8),
    # Rounded once, after float32 steps with a relative error of at most 2**-18.5 in a term (the polynomial's) and as much
    # in the sum, 91 ULP of float32 together; 20 more for the roundings: 8 in a term, 9 in 16 additions a lane, 3 in the
    # quotient. That is 0.52 ULP of float16 in all.
    ("softmax", "float16"): Tolerance(own_ulp=0.5, arithmetic_ulp=91 + 20),
    ("softmax", "bfloat16"): Tolerance(own_ulp=0.5, arithmetic_ulp=91 + 20),
    # Rounded once from float64. A relative error of the sum is an absolute one of its logarithm: an argument that is reduced
    # to 2**-29 of its last place, a polynomial and a table below 2**-31, and sums that lose 2**-29: within 2**-27.
    ("logarithms", "float32"): Tolerance(own_ulp=0.5, number=2**-27),
    # By way of float32.
    ("logarithms", "float16"): Tolerance(own_ulp=0.5, arithmetic_ulp=0.5, number=2**-27),
    ("logarithms", "bfloat16"): Tolerance(own_ulp=0.5, arithmetic_ulp=0.5, number=2**-27),
    # Three roundings of the result's size, and of numbers about 1: the logarithm's 1 ULP, the parts that it is put
    # together from, and the sum's last place.
    ("logarithms", "float64"): Tolerance(own_ulp=2, number=2**-50),
}
# The stated bound on |sum of a row - 1|, float32 and float64. 2 ULP a term alone is at most 2 * 2**-23 = 2.4e-7 of
# the sum.
ROW_SUM_TOLERANCE = 1e-6
# |w - dequantize(quantize(w))| in units of the scale. Half a step from rint; w / scale and q * scale each round once,
# by at most half an ULP of a number up to 127 < 2**7: 2**6 * 2**-23 in float32 (then 2**-17), 2**6 * 2**-52 in
# float64.
QUANTIZE_STEP_TOLERANCE = {"float32": 0.5 + 2 * 2.0**-17, "float64": 0.5 + 2 * 2.0**-46}


def matmul_roundings(cols: int) -> int:
    """How many roundings the product of a weight goes through in matmul_bitmask, at most: 64 steps of a lane within its
    block of 1,024 columns, as many additions as there are blocks less one (the first is added to 0), 4 of the tree."""
    return 64 + (-(-cols // 1024) - 1) + 4


# --- settings: what may not change a bit -----------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def restored_settings() -> Iterator[None]:
    level, count = tersor.cpu_level(), tersor.get_num_threads()
    yield
    _core.set_cpu_level(level)
    tersor.set_num_threads(count)


class Settings:
    """Iterating switches through every CPU level and thread count, and names them for messages."""

    def __init__(self, levels: tuple[str, ...], thread_counts: tuple[int, ...]) -> None:
        self._levels, self._thread_counts = levels, thread_counts

    def __iter__(self) -> Iterator[str]:
        for level in self._levels:
            _core.set_cpu_level(level)
            for count in self._thread_counts:
                tersor.set_num_threads(count)
                yield f"{level}, {count} threads"


@pytest.fixture
def settings() -> Settings:
    """Every level with every thread count, for calls large enough to be split."""
    return Settings(LEVELS, THREAD_COUNTS)


@pytest.fixture
def each_level() -> Settings:
    """Every level on one thread, for calls too small to be split."""
    return Settings(LEVELS, (1,))


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> str:
    _core.set_cpu_level(request.param)
    return str(request.param)


@pytest.fixture(params=THREAD_COUNTS)
def threads(request: pytest.FixtureRequest) -> int:
    tersor.set_num_threads(request.param)
    return int(request.param)


# --- arrays ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=list(FLOATS))
def dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    return FLOATS[request.param]


@pytest.fixture(params=["float16", "bfloat16"])
def half_dtype(request: pytest.FixtureRequest) -> np.dtype[Any]:
    return FLOATS[request.param]


class NumpyFramework:
    name = "numpy"

    def array(self, values: Any) -> Any:
        return values

    def numpy(self, array: Any) -> Any:
        assert isinstance(array, np.ndarray), f"NumPy in, but {type(array)} out"
        return array


class TorchFramework:
    name = "torch"

    def array(self, values: Any) -> Any:
        if values.dtype == ml_dtypes.bfloat16:
            return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(values)

    def numpy(self, array: Any) -> Any:
        assert type(array) is torch.Tensor, f"torch in, but {type(array)} out"
        return as_numpy(array)


@pytest.fixture(params=["numpy", "torch"])
def framework(request: pytest.FixtureRequest) -> Any:
    if request.param == "torch" and torch is None:
        pytest.skip("torch is not installed")
    return NumpyFramework() if request.param == "numpy" else TorchFramework()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where races are looked for, what runs on one thread is left out, as there are none, and what is largest: threads
    meet there as they do over a few chunks."""
    if not FINDS_RACES:
        return

    def is_threaded(item: pytest.Item) -> bool:
        takes_counts = bool({"settings", "threads"} & set(getattr(item, "fixturenames", ())))
        return item.path.name == "test_threads.py" or (takes_counts and getattr(item, "originalname", "") != "test_large")

    config.hook.pytest_deselected(items=[item for item in items if not is_threaded(item)])
    items[:] = [item for item in items if is_threaded(item)]


# --- what the run says about itself ----------------------------------------------------------------------------------


def pytest_report_header() -> str:
    versions = f"numpy {np.__version__}, torch {torch.__version__ if torch else 'not installed'}"
    return f"tersor: CPU level {tersor.cpu_level()} of {', '.join(LEVELS)}; {tersor.get_num_threads()} threads; {versions}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    report_largest_errors(terminalreporter)
    report_skips(terminalreporter)


def report_largest_errors(terminalreporter: Any) -> None:
    """What record_property("largest error in ULP", ...) has gathered, for each dtype."""
    largest: dict[str, tuple[float, str]] = {}
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, value in report.user_properties:
            if name.startswith("largest error in ULP of "):
                dtype = name.rpartition(" ")[2]
                largest[dtype] = max(largest.get(dtype, (0.0, "")), (value, report.nodeid))
    if largest:
        terminalreporter.section("largest errors of softmax")
        for dtype, (value, where) in sorted(largest.items()):
            terminalreporter.write_line(f"{dtype:9} {value:.3f} ULP in {where.rpartition('::')[2]}")


def report_skips(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    reasons = Counter(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr) for report in skipped
    )
    terminalreporter.section(f"{len(skipped)} skipped, and why")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:5d}  {reason}")
