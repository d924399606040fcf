"""The bandwidth probes of ``probe/probes.cpp``, built on first use with the compiler at hand."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.operands import integers
from bench.operation import Array, Arrays

SOURCE = Path(__file__).parent / "probe" / "probes.cpp"
BUILD_FOLDER = Path(__file__).parent.parent / "build" / "bench"
FLAGS = ["-std=c++20", "-O3", "-march=native", "-shared", "-fPIC", "-pthread"]
# In cache one pass takes microseconds: passes repeat for about this long.
IN_CACHE_SECONDS = 1e-3
SLOWEST_IN_CACHE_BANDWIDTH = 50e9


def build() -> Path:
    """Compiles the probes unless this source was built for this kind of machine before."""
    compiler = os.environ.get("CXX", "g++")
    identity = SOURCE.read_bytes() + " ".join([compiler, *FLAGS, platform.machine(), cpu_flags()]).encode()
    library = BUILD_FOLDER / f"probes-{hashlib.sha256(identity).hexdigest()[:12]}.so"
    if not library.exists():
        BUILD_FOLDER.mkdir(parents=True, exist_ok=True)
        # Another run may be loading the file: it appears whole or not at all.
        unfinished = library.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *FLAGS, str(SOURCE), "-o", str(unfinished)], check=True)
        unfinished.replace(library)
    return library


def cpu_flags() -> str:
    """What ``-march=native`` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


@dataclass(frozen=True)
class Traffic:
    """The bytes that an operation must move, and whether they are expected in a cache."""

    read_bytes: int
    written_bytes: int
    in_place: bool
    in_cache: bool

    @classmethod
    def of(cls, arrays: Arrays, cache_bytes: int) -> Traffic:
        return cls(arrays.read_bytes, arrays.written_bytes, arrays.in_place, arrays.footprint <= cache_bytes)

    def reading(self, read_bytes: int) -> Traffic:
        """A pass that reads so many of the bytes and writes none."""
        return Traffic(read_bytes, 0, False, self.in_cache)

    @property
    def bytes(self) -> int:
        return self.read_bytes + self.written_bytes

    @property
    def floor_probe(self) -> str:
        """The probe with this mix of reads and writes."""
        if self.in_place:
            return "in place"
        if not self.written_bytes:
            return "read"
        stores = "copy" if self.in_cache else "streaming copy"
        return stores if self.read_bytes == self.written_bytes else f"mixed {stores}"


def random_bytes(size: int) -> Array:
    """Memory for a probe. Not zeros: Zen 4 writes lines of zeros up to twice as fast as others (measured)."""
    return integers((size,), -128, 127).view(np.uint8)


class Probes:
    """Runs probes at the size of an operation, on memory of their own."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._library = ctypes.CDLL(str(build()))
        address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for name, arguments in {
            "read": [address, size, number, number],
            "update": [address, size, number, number],
            "copy": [address, address, size, number, number, number],
            "mix": [address, size, address, size, number, number, number],
        }.items():
            function = getattr(self._library, f"probe_{name}")
            function.argtypes, function.restype = arguments, ctypes.c_double
        self._source = self._target = random_bytes(0)
        self._turn = 0

    def _memory(self, read: int, written: int, in_cache: bool, rotate_over: int) -> tuple[int, int]:
        """Addresses to read from and to write to. In DRAM they move on, so that no call finds what the last one left."""
        span = 0 if in_cache else rotate_over
        if self._source.size < max(read, span):
            self._source = random_bytes(max(read, span))
        if self._target.size < max(written, span):
            self._target = random_bytes(max(written, span))
        self._turn += 1
        addresses = []
        for array, used in ((self._source, read), (self._target, written)):
            places = 1 if in_cache or not used else array.size // used
            addresses.append(array.ctypes.data + (self._turn % places) * used // 64 * 64)
        return addresses[0], addresses[1]

    def seconds(self, probe: str, traffic: Traffic, rotate_over: int) -> float:
        """The time of moving the operation's bytes in the manner of one probe."""
        half = traffic.bytes // 2
        read, written = {
            "read": (traffic.bytes, 0),
            "in place": (half, 0),
            "copy": (half, half),
            "streaming copy": (half, half),
        }.get(probe, (traffic.read_bytes, traffic.written_bytes))
        source, target = self._memory(read, written, traffic.in_cache, rotate_over)
        passes = int(IN_CACHE_SECONDS * SLOWEST_IN_CACHE_BANDWIDTH / traffic.bytes) + 2 if traffic.in_cache else 1
        streaming = int("streaming" in probe)
        seconds: float
        if probe == "read":
            seconds = self._library.probe_read(source, read, self.threads, passes)
        elif probe == "in place":
            seconds = self._library.probe_update(source, read, self.threads, passes)
        elif probe.startswith("mixed"):
            seconds = self._library.probe_mix(source, read, target, written, streaming, self.threads, passes)
        else:
            seconds = self._library.probe_copy(source, target, half, streaming, self.threads, passes)
        return seconds


# Those that are reported for every row; a mixed one joins them where it is the floor.
STANDARD = ("read", "copy", "streaming copy", "in place")
