"""CPU levels: each can be forced, a bad name is a clear error, and a machine without AVX runs the baseline, with the
same bits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tersor
from conftest import LEVELS, needs_plain_build
from tersor import _core

ROOT = Path(__file__).resolve().parent.parent
QEMU_SECONDS = 240  # about 20 s on an idle core

# The long row, most of the work, tells about chunks and threads; an emulated machine is asked about instructions.
CHECK_GOLDEN = """
import sys
sys.path.insert(0, 'tests')
import golden, tersor
shapes = golden.SHAPES[:2]
print(tersor.cpu_levels(), tersor.cpu_level(), golden.differences(shapes))
"""
CALL_TWICE = """
import numpy, tersor
for _ in range(2):
    try:
        tersor.softmax(numpy.ones(4, 'f4'))
    except ValueError as error:
        print(error)
"""


def run(code: str, *launcher: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    merged = {**os.environ, **environment}
    variables = {name: value for name, value in merged.items() if value is not None}
    command = [*launcher, sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, env=variables, timeout=QEMU_SECONDS, check=False, cwd=ROOT
    )


def test_levels_are_lowest_first_and_the_best_is_the_default() -> None:
    known = ("baseline", "avx2", "avx512") if "neon" not in LEVELS else ("neon",)
    assert known[: len(LEVELS)] == LEVELS
    assert tersor.cpu_levels() == LEVELS
    result = run("import tersor; print(tersor.cpu_level())", TERSOR_CPU_LEVEL=None)
    assert result.stdout.strip() == LEVELS[-1]


@pytest.mark.parametrize("name", LEVELS)
def test_variable_forces_a_level(name: str) -> None:
    result = run(CHECK_GOLDEN, TERSOR_CPU_LEVEL=name)
    assert result.stdout.strip() == f"{LEVELS} {name} []", result.stderr


@pytest.mark.parametrize("name", LEVELS)
def test_function_forces_a_level(name: str) -> None:
    _core.set_cpu_level(name)
    assert tersor.cpu_level() == name


def test_empty_variable_is_no_variable() -> None:
    assert run("import tersor; print(tersor.cpu_level())", TERSOR_CPU_LEVEL="").stdout.strip() == LEVELS[-1]


@pytest.mark.parametrize("name", ["pentium", "AVX2", "avx2 ", "avx10", "neon" if "baseline" in LEVELS else "avx2"])
def test_bad_name(name: str) -> None:
    """Whoever sets it learns so with the first call, not from wrong results or a crash; and no call goes through."""
    result = run(CALL_TWICE, TERSOR_CPU_LEVEL=name)
    text = result.stdout + result.stderr
    assert f"'{name}'" in text and "choose one of: " + ", ".join(LEVELS) in text, text
    assert "ValueError" in result.stderr or result.stdout.count("choose one of") == 2, text


def test_bad_name_leaves_the_level_as_it_was() -> None:
    before = tersor.cpu_level()
    with pytest.raises(ValueError, match="choose one of"):
        _core.set_cpu_level("pentium")
    assert tersor.cpu_level() == before


# --- other machines, emulated ----------------------------------------------------------------------------------------


def emulator() -> str:
    found = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if found is None:
        pytest.skip("qemu-x86_64 is not installed (Debian package qemu-user)")
    if "baseline" not in LEVELS:
        pytest.skip("this machine is no x86-64")
    return found


@needs_plain_build
@pytest.mark.parametrize(
    "cpu, levels",
    [
        # 2008: SSE4.2, no AVX, no FMA. An AVX instruction anywhere in the module would be an illegal one here.
        ("Nehalem", ("baseline",)),
        # 2013: AVX2 and FMA.
        ("Haswell", ("baseline", "avx2")),
    ],
)
def test_same_bits_on_an_older_machine(cpu: str, levels: tuple[str, ...]) -> None:
    result = run(CHECK_GOLDEN, emulator(), "-cpu", cpu, TERSOR_CPU_LEVEL=None, TERSOR_NUM_THREADS="2")
    assert result.returncode == 0, f"exit code {result.returncode} (-4: illegal instruction)\n{result.stderr}"
    assert result.stdout.strip() == f"{levels} {levels[-1]} []", result.stderr


@needs_plain_build
@pytest.mark.parametrize(
    "cpu, levels",
    [
        ("SandyBridge", ("baseline",)),  # AVX, but neither AVX2 nor FMA
        ("Haswell,-fma", ("baseline",)),  # each feature that the compiler was allowed to use counts
        ("Haswell,-f16c", ("baseline",)),
        ("Haswell,-bmi2", ("baseline",)),
    ],
)
def test_level_is_chosen_by_what_the_machine_has(cpu: str, levels: tuple[str, ...]) -> None:
    result = run("import tersor; print(tersor.cpu_levels())", emulator(), "-cpu", cpu, TERSOR_CPU_LEVEL=None)
    assert result.stdout.strip() == str(levels), result.stderr


@needs_plain_build
def test_level_that_the_machine_lacks() -> None:
    result = run(
        "import numpy, tersor; tersor.softmax(numpy.ones(4, 'f4'))",
        emulator(),
        "-cpu",
        "Nehalem",
        TERSOR_CPU_LEVEL="avx2",
    )
    assert result.returncode == 1, f"exit code {result.returncode}"
    assert "CPU level 'avx2' is not one that this machine runs; choose one of: baseline" in result.stderr
