"""The same-bits promise: golden.json holds one hash an operation, and no level, thread count, address or stride may
change it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import golden
import numpy as np
import pytest
from layouts import LAYOUTS, at_offset

CASES = golden.golden_cases()
OFFSETS = (0, 1, 4, 13, 63)


@pytest.fixture(params=CASES, ids=[case.name.replace(" ", "_") for case in CASES])
def case(request: pytest.FixtureRequest) -> golden.GoldenCase:
    found: golden.GoldenCase = request.param
    return found


class KnownOutputs:
    """Hashed the first time; what comes later is compared with that, which takes a fraction of the time."""

    def __init__(self, case: golden.GoldenCase) -> None:
        self._wanted = golden.read()[case.name]
        self._known: list[bytes] | None = None

    def are(self, outputs: Iterable[Any]) -> bool:
        found = [np.ascontiguousarray(array).tobytes() for array in outputs]
        if self._known is None and golden.sha256_of_bytes(found) == self._wanted:
            self._known = found
        return found == self._known


def test_every_setting_and_offset(case: golden.GoldenCase, settings: Any) -> None:
    known = KnownOutputs(case)
    for offset in OFFSETS:
        arranged = [at_offset(array, offset) for array in case.arrays]
        for setting in settings:
            result = case.operation.run(arranged, case.shape, case.dtype)
            assert known.are(result), f"offset {offset}, {setting}"


def test_every_setting_and_stride(case: golden.GoldenCase, settings: Any) -> None:
    known = KnownOutputs(case)
    for name, arrange in LAYOUTS.items():
        arranged = [arrange(array) for array in case.arrays]
        for setting in settings:
            result = case.operation.run(arranged, case.shape, case.dtype)
            assert known.are(result), f"{name}, {setting}"


# These are specified to a tolerance, not to the bit; test_softmax*.py, test_nats.py and test_matmul.py hold them to that.
@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if case.operation.family != "softmax" and case.operation.name not in ("entropy", "matmul_bitmask")
    ],
    ids=lambda case: case.name.replace(" ", "_"),
)
def test_reference_gives_the_golden_bits(case: golden.GoldenCase) -> None:
    """golden.json cannot be renewed with wrong results: the specification gives the same hashes."""
    assert case.hash_of_reference() == golden.read()[case.name]


def test_no_hash_is_missing_or_left_over() -> None:
    assert sorted(golden.read()) == sorted(case.name for case in CASES)


def test_outputs_are_worth_hashing(case: golden.GoldenCase) -> None:
    """Neither all NaN nor all of one value."""
    for array in case.operation.run(case.arrays, case.shape, case.dtype):
        assert len(np.unique(np.frombuffer(array.tobytes(), f"u{array.itemsize}"))) > min(1, array.size - 1)


def test_inputs_are_the_same_everywhere() -> None:
    """The generator itself, fixed by value: the first words of splitmix64 from seed 0, and a few floats made from
    them."""
    source = golden.CounterSource()
    assert [hex(int(word)) for word in source._words(3)] == [
        "0xe220a8397b1dcdaf",
        "0x6e789e6aa1b965f4",
        "0x6c45d188009454f",
    ]
    values = golden.CounterSource().floats((4,), np.dtype(np.float32), np.array([0], np.float32))
    assert [hex(int(v)) for v in values.view(np.uint32)] == ["0x3d1dcdaf", "0x3e3965f4", "0x0", "0x0"]
