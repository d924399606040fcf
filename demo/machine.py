"""What the times were measured on."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tersor


@dataclass(frozen=True)
class Machine:
    """``threads`` are tersor's: NumPy does these operations on one."""

    processor: str
    threads: int
    cpu_level: str
    versions: dict[str, str]

    def __str__(self) -> str:
        threads = f"{self.threads} thread" + ("s" if self.threads != 1 else "")
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"{self.processor}; tersor on {threads} at CPU level {self.cpu_level}, NumPy on 1 thread; {versions}"


def this_machine() -> Machine:
    return Machine(
        processor=processor_name(),
        threads=tersor.get_num_threads(),
        cpu_level=tersor.cpu_level(),
        versions={
            "tersor": tersor.__version__,
            "NumPy": np.__version__,
            "torch": version("torch"),
            "Python": platform.python_version(),
        },
    )


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The model's name as Linux tells it; Arm machines and other systems have none there."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
