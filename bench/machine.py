"""What the numbers were measured on, without anything that names the host."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import tersor

PACKAGES = ("tersor", "numpy", "ml_dtypes", "torch", "numba", "onnxruntime", "fbgemm-gpu-cpu", "compressed-tensors")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
ASSUMED_LAST_LEVEL = 32 << 20


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.*)$", text, re.MULTILINE))
    if "model name" not in fields:
        return platform.machine()
    # Clouds shorten the name; family and model still tell the generation.
    return f"{fields['model name'].strip()} (family {fields.get('cpu family')}, model {fields.get('model')})"


def cache_bytes() -> dict[str, int]:
    """L1 to L3 as the first core sees them."""
    found = {}
    for index in sorted(CACHES.glob("index*")):
        kind, size = (index / "type").read_text().strip(), (index / "size").read_text().strip()
        if kind != "Instruction":
            unit = {"K": 1 << 10, "M": 1 << 20}.get(size[-1], 1)
            found[f"L{(index / 'level').read_text().strip()}"] = int(size.rstrip("KM")) * unit
    return found


def last_level_cache_bytes() -> int:
    return max(cache_bytes().values(), default=ASSUMED_LAST_LEVEL)


def huge_pages() -> str:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return "unknown"
    return "".join(re.findall(r"\[(\w+)\]", text))


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, Any]:
    """Everything that changes the numbers."""
    return {
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "cores": cores(),
        "caches": cache_bytes(),
        "cpu_level": tersor.cpu_level(),
        "threads": tersor.get_num_threads(),
        "huge_pages": huge_pages(),
        "system": platform.system(),
        "versions": versions(),
    }


def slug(machine: dict[str, Any]) -> str:
    """A file name for this kind of machine."""
    name = re.sub(r"\(.*?\)|processor|cpu|@.*", " ", machine["cpu"], flags=re.IGNORECASE)
    words = re.findall(r"[a-z0-9.]+", name.lower())
    return "-".join([*words, str(machine["cores"]), "cores", str(machine["cpu_level"])])
