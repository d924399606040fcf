"""The C++ tests that CMake built (-DTERSOR_CPP_TESTS=ON): one program for each CPU level's SIMD layer, and others."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import LEVELS

ROOT = Path(__file__).resolve().parent.parent


def programs() -> list[Path]:
    """The newest build of each; the CPU levels' SIMD tests are called simd_test_<level>."""
    folders = [Path(os.environ["TERSOR_BUILD_DIR"])] if os.environ.get("TERSOR_BUILD_DIR") else [ROOT / "build"]
    found: dict[str, Path] = {}
    for path in sorted((path for folder in folders for path in folder.rglob("*_test*")), key=lambda p: p.stat().st_mtime):
        if path.is_file() and os.access(path, os.X_OK) and not path.suffix:
            found[path.name] = path
    return [found[name] for name in sorted(found)]


PROGRAMS = programs()


@pytest.mark.skipif(not PROGRAMS, reason="no C++ test below build/ or TERSOR_BUILD_DIR: build with -DTERSOR_CPP_TESTS=ON")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_program(program: Path) -> None:
    result = subprocess.run([str(program)], capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    counts = re.search(r"(\d+) passed, (\d+) failed", result.stdout)
    assert counts is not None, result.stdout
    assert int(counts[2]) == 0
    level = program.name.removeprefix("simd_test_")
    if level == program.name or level in LEVELS:
        assert int(counts[1]) > 0, "it checked nothing"


@pytest.mark.skipif(not PROGRAMS, reason="no C++ test below build/ or TERSOR_BUILD_DIR: build with -DTERSOR_CPP_TESTS=ON")
def test_every_level_s_simd_layer_is_tested() -> None:
    assert {f"simd_test_{level}" for level in LEVELS} <= {program.name for program in PROGRAMS}
