"""SHA-256 of every operation's output bytes for inputs made by integer arithmetic alone, so that they are the same on
every machine.

    python tests/golden.py --check    compares with golden.json: what qemu runs, with NumPy and tersor alone
    python tests/golden.py --renew    writes golden.json again; a changed hash is a changed result: tell it in CHANGELOG.md
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tersor
from inputs import Shape
from layouts import FORMATS, Array, unsigned
from operations import OPERATIONS, Operation, cases

PATH = Path(__file__).with_name("golden.json")

# Enough for several chunks of 256 KiB in every dtype, rows that end within a group of lanes, rows shorter than one, one
# long row.
SHAPES: list[Shape] = [(41, 1021), (2003, 13), (1, 300_017)]


class CounterSource:
    """Values from a counter by splitmix64 (Steele, Lea, Flood 2014): integer arithmetic only, no libm, no generator
    state."""

    def __init__(self) -> None:
        self._counter = 0

    def _words(self, count: int) -> Array:
        words = np.arange(self._counter + 1, self._counter + count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        self._counter += count
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return words ^ (words >> np.uint64(31))

    def floats(self, shape: Shape, dtype: np.dtype[Any], special: Array) -> Array:
        """Exponents from 2**-6 to 2**1, all mantissas, both signs; every eighth entry a special value."""
        exponent_bits, mantissa_bits = FORMATS[dtype.name]
        words = self._words(int(np.prod(shape)))
        bias = np.uint64((1 << (exponent_bits - 1)) - 1)
        exponent = bias - np.uint64(6) + (words >> np.uint64(53) & np.uint64(7))
        sign = words >> np.uint64(56) & np.uint64(1)
        mantissa = words & np.uint64((1 << mantissa_bits) - 1)
        patterns = sign << np.uint64(exponent_bits + mantissa_bits) | exponent << np.uint64(mantissa_bits) | mantissa
        values = patterns.astype(unsigned(dtype)).view(dtype)
        place = (words >> np.uint64(32)) % np.uint64(8 * special.size)
        return np.where(place < special.size, special[np.minimum(place, np.uint64(special.size - 1))], values).reshape(shape)

    def integers(self, shape: Shape, low: int, high: int, dtype: Any) -> Array:
        words = self._words(int(np.prod(shape)))
        return ((words >> np.uint64(33)) % np.uint64(high - low)).astype(np.int64).__add__(low).astype(dtype).reshape(shape)


def sha256(arrays: Iterable[Array]) -> str:
    return sha256_of_bytes(np.ascontiguousarray(array).tobytes() for array in arrays)


def sha256_of_bytes(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class GoldenCase:
    def __init__(self, operation: Operation, dtype: np.dtype[Any], shape: Shape) -> None:
        self.operation, self.dtype, self.shape = operation, dtype, shape
        self.name = f"{operation.name} {dtype.name} {'x'.join(map(str, shape))}"
        self.arrays = operation.make(shape, dtype, CounterSource())

    def hash_of(self) -> str:
        return sha256(self.operation.run(self.arrays, self.shape, self.dtype))

    def hash_of_reference(self) -> str:
        return sha256(self.operation.expected(self.arrays, self.shape, self.dtype))


def golden_cases(operations: Sequence[Operation] = OPERATIONS, shapes: Sequence[Shape] = SHAPES) -> list[GoldenCase]:
    return [
        GoldenCase(operation, dtype, shape) for operation, dtype in cases() if operation in operations for shape in shapes
    ]


def read() -> dict[str, str]:
    hashes: dict[str, str] = json.loads(PATH.read_text())
    return hashes


def differences(shapes: Sequence[Shape] = SHAPES) -> list[str]:
    got = {case.name: case.hash_of() for case in golden_cases(shapes=shapes)}
    wanted = {name: sha for name, sha in read().items() if name in got or shapes is SHAPES}
    return sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true")
    action.add_argument("--renew", action="store_true")
    if parser.parse_args().renew:
        PATH.write_text(json.dumps({case.name: case.hash_of() for case in golden_cases()}, indent=1) + "\n")
        return 0
    different = differences()
    for name in different:
        print(f"differs: {name}")
    print(f"CPU level {tersor.cpu_level()}: {len(different)} of {len(read())} golden hashes differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
