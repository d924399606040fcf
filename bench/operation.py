"""What a benchmark row is: an operation of the library, its operands, and everything that can do the same job.

The tables of operations stand in ``bench/cases``. The harness and the pytest-benchmark files both read them.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.goals import Goal

Array = NDArray[Any]
Shape = tuple[int, ...]

SMALL = "1024"
MEDIUM = "1M"
LARGE = "4096x11008"
SIZES: Mapping[str, Shape] = {SMALL: (1024,), MEDIUM: (1024, 1024), LARGE: (4096, 11008)}

# Enough rows to catch a wrong result, few enough for the float64 reference.
CHECKED_ROWS = 64


class Call:
    """A function with its arguments, ready to be timed."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.function = function
        self.args = args
        self.kwargs = kwargs

    def __call__(self) -> Any:
        return self.function(*self.args, **self.kwargs)

    def timer(self) -> timeit.Timer:
        """The call written out as source.

        ``function(*args, **kwargs)`` builds a tuple and a dict first: 0.1 us, a quarter of the goal for a small call.
        """
        names = {f"a{i}": value for i, value in enumerate(self.args)}
        keywords = {f"k_{name}": value for name, value in self.kwargs.items()}
        arguments = ", ".join([*names, *(f"{name}=k_{name}" for name in self.kwargs)])
        # The setup makes them locals of the loop, as in a function of the caller's own.
        setup = "; ".join(f"{name} = operands[{name!r}]" for name in ["f", *names, *keywords])
        return timeit.Timer(f"f({arguments})", setup, globals={"operands": {"f": self.function, **names, **keywords}})


class Arrays:
    """One set of operands. What stands under both inputs and outputs is worked on in place."""

    def __init__(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> None:
        self.inputs = dict(inputs)
        self.outputs = dict(outputs or {})
        self._pristine = {name: rows_of(array).copy() for name, array in self.inputs.items()}

    def __getattr__(self, name: str) -> Array:
        groups: list[dict[str, Array]] = [self.__dict__.get("outputs", {}), self.__dict__.get("inputs", {})]
        for group in groups:
            if name in group:
                return group[name]
        raise AttributeError(name)

    @property
    def in_place(self) -> bool:
        return bool(self.inputs.keys() & self.outputs.keys())

    @property
    def read_bytes(self) -> int:
        return sum(array.nbytes for array in self.inputs.values())

    @property
    def written_bytes(self) -> int:
        return sum(array.nbytes for array in self.outputs.values())

    @property
    def footprint(self) -> int:
        """Bytes of memory touched: those worked on in place count once."""
        return sum(array.nbytes for array in {**self.inputs, **self.outputs}.values())

    def checked_rows(self) -> Arrays:
        """The inputs of the rows that are checked, as they were in the beginning."""
        return Arrays(self._pristine)

    def reset(self) -> None:
        """Puts the checked rows of inputs back, and spoils those of outputs: an old result shall not pass for a new one."""
        for array in self.outputs.values():
            rows_of(array).view(np.uint8)[...] = 0x5A
        for name, rows in self._pristine.items():
            rows_of(self.inputs[name])[...] = rows


def rows_of(array: Array) -> Array:
    return array[:CHECKED_ROWS] if array.ndim > 1 else array


MakeCall = Callable[[Arrays], Call]


@dataclass(frozen=True)
class Tolerance:
    relative: float = 0.0
    absolute: float = 0.0

    def accepts(self, actual: Any, expected: Any) -> bool:
        actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
        if actual.shape != expected.shape:
            return False
        return bool(np.all(np.abs(actual - expected) <= self.relative * np.abs(expected) + self.absolute))


EXACT = Tolerance()


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation in one way of calling it, at several sizes."""

    family: str
    name: str  # of the function in tersor
    variant: str  # "out=", "in place", "packed"
    arrays: Callable[[Shape, str], Arrays]
    expected: Callable[[Arrays], tuple[Any, ...]]  # by tersor.reference
    tersor: MakeCall
    numpy: MakeCall
    peers: Mapping[str, MakeCall] = field(default_factory=dict)
    goals: Mapping[str, Goal] = field(default_factory=dict)  # by size
    sizes: Mapping[str, Shape] = field(default_factory=lambda: SIZES)
    dtype: str = "float32"
    tolerance: Tolerance = EXACT
    # Peers with another result format for the same job.
    unchecked: frozenset[str] = frozenset()
    # Whether tersor gives its result back instead of writing it to the outputs.
    returns: bool = False
    # Inputs that must have been read as a whole before the pass that reads all and writes.
    read_before: tuple[str, ...] = ()
    # Whether the result of some rows depends on all others.
    whole: bool = False

    @property
    def title(self) -> str:
        return f"{self.name} {self.variant}".strip()

    def cases(self) -> Iterable[Case]:
        return (Case(self, size, shape) for size, shape in self.sizes.items())


@dataclass(frozen=True, eq=False)
class Case:
    """One row of the tables: an operation at one size."""

    operation: Operation
    size: str
    shape: Shape

    @property
    def goal(self) -> Goal | None:
        return self.operation.goals.get(self.size)

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))

    def __str__(self) -> str:
        return f"{self.operation.title} {self.operation.dtype} {self.size}"

    def arrays(self) -> Arrays:
        return self.operation.arrays(self.shape, self.operation.dtype)

    def implementations(self, with_peers: bool = True) -> dict[str, MakeCall]:
        """tersor first, then everything it is compared with."""
        found = {"tersor": self.operation.tersor, "numpy": self.operation.numpy}
        # The reference works in float64 with many temporaries: seconds and gigabytes at the large sizes.
        if self.elements <= 2**20:
            found["reference"] = lambda arrays: Call(self.operation.expected, arrays)
        if with_peers:
            found |= self.operation.peers
        # One call of a compiled graph costs 20 us whatever it does, and compiling for it costs seconds.
        if self.elements <= 1024:
            found = {name: make for name, make in found.items() if "compile" not in name}
        return found

    def is_right(self, name: str, arrays: Arrays, call: Call) -> bool:
        """Whether an implementation gives the result of the specification. Calls it once."""
        if name == "reference" or name in self.operation.unchecked:
            call()
            return True
        arrays.reset()
        returned = call()
        if arrays.outputs and not (self.operation.returns and name == "tersor"):
            whole = self.operation.whole
            expected = self.operation.expected(arrays if whole else arrays.checked_rows())
            actual = [output if whole else rows_of(output) for output in arrays.outputs.values()]
        else:
            expected = self.operation.expected(arrays)
            actual = list(returned) if isinstance(returned, tuple) else [returned]
        return all(self.operation.tolerance.accepts(*pair) for pair in zip(actual, expected, strict=True))
