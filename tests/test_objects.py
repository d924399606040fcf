"""What the compiler and the linker made: kernels compiled with instruction-set flags leave nothing behind that the
rest of the module could call, and the extension is a good guest in any process.

The objects lie in the build folder: TERSOR_BUILD_DIR, or the newest folder below build/ that has them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
from tersor import _core

ROOT = Path(__file__).resolve().parent.parent
MODULE = Path(_core.__file__)
X86_LEVELS = ("baseline", "avx2", "avx512")

# What kernels may call: the C library's memory functions, and its correctly rounded fma where the level has no
# instruction for it.
ALLOWED_CALLS = {"memcpy", "memmove", "memset", "memcmp", "fma", "fmaf", "_GLOBAL_OFFSET_TABLE_"}


@cache
def level_objects() -> dict[str, list[Path]]:
    folders = (
        [Path(os.environ["TERSOR_BUILD_DIR"])] if os.environ.get("TERSOR_BUILD_DIR") else sorted((ROOT / "build").glob("*"))
    )
    found: dict[str, list[Path]] = {}
    newest = 0.0
    for folder in folders:
        objects: dict[str, list[Path]] = {}
        for path in folder.rglob("*.o"):
            match = re.search(r"tersor_cpu_(\w+)\.dir", str(path))
            if match:
                objects.setdefault(match.group(1), []).append(path)
        when = max((path.stat().st_mtime for paths in objects.values() for path in paths), default=0.0)
        if when > newest and not is_sanitized(objects):
            found, newest = objects, when
    return found


def is_sanitized(objects: dict[str, list[Path]]) -> bool:
    """Sanitizers add calls and initialisers of their own."""
    return any(
        re.search(r"__(asan|tsan|ubsan)_", output_of("nm", str(path))) for paths in objects.values() for path in paths[:1]
    )


def output_of(tool: str, *arguments: str) -> str:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (Debian package binutils)")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def objects() -> list[tuple[str, Path]]:
    pairs = [(level, path) for level, paths in level_objects().items() for path in paths]
    if not pairs:
        pytest.skip("no kernel objects below build/ or TERSOR_BUILD_DIR: installed from a wheel, or built elsewhere")
    return pairs


def test_every_level_has_every_family(objects: list[tuple[str, Path]]) -> None:
    families = {level: {path.name.split(".")[0] for path in paths} for level, paths in level_objects().items()}
    assert set(families) >= set(_core.cpu_levels())
    assert len({frozenset(names) for names in families.values()}) == 1, families


def test_no_symbol_outside_the_level(objects: list[tuple[str, Path]]) -> None:
    """A weak function outside the level's namespace is one that the linker may keep for everybody."""
    for level, path in objects:
        for line in output_of("nm", "-C", "--defined-only", "--extern-only", str(path)).splitlines():
            _, kind, symbol = line.split(maxsplit=2)
            assert symbol.startswith(f"tersor::cpu::{level}::"), f"{level}/{path.name}: {kind} {symbol}"


def test_the_table_is_the_one_strong_symbol(objects: list[tuple[str, Path]]) -> None:
    """Kernels are reached through their table alone. Templates leave weak copies, of which the linker keeps one a
    level."""
    for level, path in objects:
        lines = [
            line.split(maxsplit=2)
            for line in output_of("nm", "-C", "--defined-only", "--extern-only", str(path)).splitlines()
        ]
        strong = [symbol.rpartition("::")[2] for _, kind, symbol in lines if kind in "TRDB"]
        assert strong == [f"{path.name.split('.')[0]}_kernels"], f"{level}/{path.name}"


def test_no_call_out_of_the_level(objects: list[tuple[str, Path]]) -> None:
    for level, path in objects:
        called = {line.split()[-1] for line in output_of("nm", "--undefined-only", str(path)).splitlines()}
        assert called <= ALLOWED_CALLS, f"{level}/{path.name} calls {called - ALLOWED_CALLS}"
        if level != "baseline":
            assert not called & {"fma", "fmaf"}, f"{level}/{path.name}: a fused multiply-add that is no instruction"


def test_no_dynamic_initialiser(objects: list[tuple[str, Path]]) -> None:
    """It would run at import, before anybody asked what this CPU can."""
    for level, path in objects:
        sections = output_of("readelf", "-S", "-W", str(path))
        assert not re.search(r"\.(init_array|ctors|fini_array)", sections), f"{level}/{path.name}"
        assert "_GLOBAL__sub_I" not in output_of("nm", str(path)), f"{level}/{path.name}"


def registers_in(path: Path) -> set[str]:
    code = output_of("objdump", "-d", "--no-show-raw-insn", str(path))
    return set(re.findall(r"%(xmm|ymm|zmm)\d", code)) | set(re.findall(r"\t(v)[a-z]\w+ ", code))


def test_each_level_uses_its_own_registers(objects: list[tuple[str, Path]]) -> None:
    """No AVX in the baseline, no 64-byte register in AVX2; and the higher levels were really compiled for them."""
    seen: dict[str, set[str]] = {}
    for level, path in objects:
        if level in X86_LEVELS:
            seen.setdefault(level, set()).update(registers_in(path))
    if not seen:
        pytest.skip("this machine has no x86 levels")
    assert seen["baseline"] == {"xmm"}
    assert "ymm" in seen["avx2"] and "zmm" not in seen["avx2"]
    assert "zmm" in seen["avx512"]


def test_no_avx_outside_the_kernels(objects: list[tuple[str, Path]]) -> None:
    """core, ops and bind run on every machine."""
    if not set(_core.cpu_levels()) & set(X86_LEVELS):
        pytest.skip("this machine has no x86 levels")
    folder = objects[0][1]
    while folder.name != "CMakeFiles":
        folder = folder.parent
    others = [path for path in folder.rglob("*.cpp.o") if "tersor_cpu_" not in str(path) and "simd_test" not in str(path)]
    assert len(others) > 10
    for path in others:
        assert registers_in(path) <= {"xmm"}, path.name


# --- the extension module --------------------------------------------------------------------------------------------


def test_module_needs_no_openmp_no_torch_no_cuda() -> None:
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "-d", str(MODULE))))
    allowed = re.compile(r"lib(stdc\+\+|gcc_s|c|m|pthread|dl|asan|tsan|ubsan)\.so|ld-linux")
    assert needed, "readelf showed no NEEDED entry"
    assert [name for name in needed if not allowed.match(name)] == []


def test_module_exports_its_entry_and_the_documented_functions_alone() -> None:
    """Nothing of the standard library's or pybind11's that another extension's copy could be mistaken for."""
    lines = output_of("nm", "-D", "--defined-only", str(MODULE)).splitlines()
    assert {line.split()[-1].partition("@")[0] for line in lines} == {
        "PyInit__core",
        "tersor_get_num_threads",
        "tersor_set_num_threads",
    }


def test_stack_is_not_executable() -> None:
    """One assembler file without a note would make the whole process's stack executable."""
    program_headers = output_of("readelf", "-l", "-W", str(MODULE))
    assert re.search(r"GNU_STACK.*\bRW\b", program_headers)
    assert not re.search(r"LOAD.*\bRWE\b", program_headers)
