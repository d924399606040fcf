"""The rules of the repository's layout, as CONTRIBUTING.md and csrc/README.md give them: file sizes, names, layers, and
what an import brings in."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (".py", ".pyi", ".cpp", ".h", ".cu", ".cuh", ".cmake")
FAMILIES = ("prune", "select", "bitmask", "compress", "quantize", "pack", "softmax", "structured", "information", "matmul")
# Families whose Python is a package, with kernels for some of its modules.
PACKAGES = ("formats",)

HARD_LIMIT = 800
SOFT_LIMIT = 500
# Files that may pass the soft limit, and why.
LONG_FILES: dict[str, str] = {}

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "misc", "third_party"}

# An include points to the file's own folder or to one below it.
LAYERS: dict[str, set[str]] = {
    "core": {"core"},
    "cpu": {"cpu", "core"},
    "cuda": {"cuda", "core"},
    "ops": {"ops", "cpu", "cuda", "core"},
    "bind": {"bind", "ops", "cuda", "core"},
}


def tracked_files() -> list[Path]:
    """What git holds or would hold; every file outside the ignored folders where there is no git."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode == 0 and listing.stdout:
        return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).is_file()]
    folders = [ROOT / name for name in ("csrc", "python", "tests", "bench", "demo", "cmake")]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]


FILES = tracked_files()


def sources(folder: str = "", endings: tuple[str, ...] = SOURCES) -> Iterator[Path]:
    for path in FILES:
        if path.suffix in endings and path.is_relative_to(ROOT / folder):
            yield path


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_of(path: Path) -> str:
    """A C++ file without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


# --- sizes and names -------------------------------------------------------------------------------------------------


def test_no_file_is_too_long() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in sources()}
    assert lengths, "found no sources"
    assert {name: n for name, n in lengths.items() if n > HARD_LIMIT} == {}
    assert {name: n for name, n in lengths.items() if n > SOFT_LIMIT and name not in LONG_FILES} == {}
    assert {name for name in LONG_FILES if lengths.get(name, 0) <= SOFT_LIMIT} == set(), "take these off the list"


def test_no_level_header_is_too_long() -> None:
    lengths = {
        path.name: len(path.read_text().splitlines())
        for path in sources("csrc/cpu", (".h",))
        if path.name.startswith("simd_")
    }
    assert len(lengths) >= 4
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_no_vague_names() -> None:
    vague = [
        name_of(path) for path in FILES if {part.split(".")[0] for part in path.relative_to(ROOT).parts} & FORBIDDEN_NAMES
    ]
    assert vague == []


def test_no_boast_in_a_name() -> None:
    """Never fast, new, v2, optimized: names that age."""
    boast = re.compile(r"(^|[_\-.])(fast|new|old|v2|optimi[sz]ed|improved|final)([_\-.]|$)")
    assert [name_of(path) for path in sources() if boast.search(path.stem)] == []


def test_no_generated_or_binary_file() -> None:
    unwanted = (".so", ".o", ".a", ".pyc", ".whl", ".pt", ".onnx", ".safetensors", ".npy", ".npz")
    assert [name_of(path) for path in FILES if path.suffix in unwanted] == []


# --- one family, one stem --------------------------------------------------------------------------------------------

FAMILY_FILES = [
    "python/tersor/{}.py",
    "csrc/bind/{}.cpp",
    "csrc/ops/{}.h",
    "csrc/ops/{}.cpp",
    "csrc/cpu/{}.cpp",
    "tests/test_{}.py",
    "bench/bench_{}.py",
]


# formats is a package in Python, and below that files of kinds of formats alone, whose names begin with its own.
@pytest.mark.parametrize("family", FAMILIES)
def test_family_has_its_stem_at_every_layer(family: str) -> None:
    missing = [pattern.format(family) for pattern in FAMILY_FILES if not (ROOT / pattern.format(family)).is_file()]
    assert missing == []


def test_every_kernel_file_belongs_to_a_family() -> None:
    """A family with several has names that begin with it: prune, prune_nm. Random numbers are for several families."""
    stems = {path.stem for folder in ("csrc/cpu", "csrc/cuda") for path in sources(folder, (".cpp", ".cu"))}
    assert {stem for stem in stems if stem.partition("_")[0] not in FAMILIES + PACKAGES} - {
        "dispatch",
        "module",
        "backend",
        "random",
        "transpose",
    } == set()


def test_each_kernel_file_has_its_table() -> None:
    stems = {path.stem for path in sources("csrc/cpu", (".cpp",))} - {"dispatch"}
    for stem in stems:
        table = "".join(part.capitalize() for part in stem.split("_")) + "Kernels"
        declaration = f"TERSOR_DECLARE_TABLE({table}, {stem}_kernels)"
        assert declaration in (ROOT / f"csrc/cpu/{stem}.h").read_text(), stem


# --- layers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_includes_point_only_downwards(layer: str) -> None:
    found = 0
    for path in sources(f"csrc/{layer}"):
        for target in re.findall(r'#include "(\w+)/', path.read_text()):
            found += 1
            assert target in LAYERS[layer], f"{name_of(path)} includes {target}/"
    assert found, "found no includes"


@pytest.mark.parametrize("layer", ["core", "cpu", "ops"])
def test_no_python_and_no_cuda_below_bind(layer: str) -> None:
    for path in sources(f"csrc/{layer}"):
        assert not re.search(r"pybind11|Python\.h|\bPyObject|\bPyErr_|<cuda|cuda_runtime", code_of(path)), name_of(path)


def test_intrinsics_stand_in_the_simd_headers_alone() -> None:
    # core/float_environment.h reads and writes the control register of the floating-point unit: that is no arithmetic.
    control_register = {"csrc/core/float_environment.h"}
    intrinsic = re.compile(
        r"\b_mm(256|512)?_\w+|\b__m(128|256|512)\w*\b|immintrin|arm_neon"
        r"|\bv\w+q?_[fsu](8|16|32|64)\b|__builtin_ia32_(?!pause|sfence)"
    )
    for path in sources("csrc", (".cpp", ".h")):
        if path.parent.name == "cpu" and path.name.startswith("simd_"):
            continue
        used = {match.group(0) for match in intrinsic.finditer(code_of(path))}
        if name_of(path) in control_register:
            used -= {"_mm_getcsr", "_mm_setcsr"}
        assert used == set(), f"{name_of(path)} uses {used}"


def test_kernels_include_no_heavy_header() -> None:
    """Their inline functions would be compiled with instruction-set flags, and the linker may keep that copy for
    everybody."""
    allowed = {
        "cstddef",
        "cstdint",
        "cstring",
        "utility",
        "type_traits",
        "concepts",
        "bit",
        "limits",
        "cmath",
        "immintrin.h",
        "arm_neon.h",
    }
    for path in sources("csrc/cpu"):
        if path.name == "dispatch.cpp":
            continue
        used = set(re.findall(r"#include <([\w./]+)>", path.read_text()))
        assert used <= allowed, f"{name_of(path)} includes {used - allowed}"


def test_headers_guard_themselves() -> None:
    for path in sources("csrc", (".h", ".cuh")):
        assert path.read_text().startswith("#pragma once\n"), name_of(path)


def test_at_most_five_macros() -> None:
    """Those that stay defined, over all of csrc."""
    macros: set[str] = set()
    for path in sources("csrc"):
        text = path.read_text()
        macros |= set(re.findall(r"^\s*#define (\w+)", text, re.MULTILINE)) - set(
            re.findall(r"^\s*#undef (\w+)", text, re.MULTILINE)
        )
    shared = {name for name in macros if sum(name in path.read_text() for path in sources("csrc")) > 1}
    assert len(shared) <= 5, sorted(shared)


def test_python_modules_import_only_downwards() -> None:
    """A family imports _core and the private modules; none imports another family, tersor.reference or torch."""
    modules = [path for path in sources("python/tersor", (".py",)) if path.stem.partition("_")[0] in FAMILIES]
    for path in modules:
        if path.parent.name != "tersor":
            continue
        imported = set(re.findall(r"^\s*(?:from|import) ([\w.]+)", path.read_text(), re.MULTILINE))
        own = {name for name in imported if name.startswith("tersor")}
        assert all(name == "tersor" or name.startswith("tersor._") for name in own), name_of(path)
        assert not imported & {"torch", "ml_dtypes", "jax", "cupy", "tensorflow"}, name_of(path)


# --- what an import brings in ----------------------------------------------------------------------------------------


def test_import_needs_numpy_alone() -> None:
    """And no other framework is imported on the way, though all are installed here."""
    script = "import sys, tersor; print(*({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    result = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    # What Python itself, a virtual environment, an editable install and NumPy's own extension modules put there.
    scaffolding = (
        "__main__",
        "__mp_main__",
        "sitecustomize",
        "_distutils_hack",
        "_virtualenv",
        "__editable__",
        "_editable_",
        "_cython",
        "cython_",
    )
    loaded = {name for name in result.stdout.split() if not name.startswith(scaffolding)}
    assert loaded == {"numpy", "tersor"}


def test_no_optional_module_is_imported_by_a_call() -> None:
    script = (
        "import sys, numpy as np, tersor\n"
        "w = np.ones((3, 40), np.float32)\n"
        "tersor.prune_threshold(w, 0.5); tersor.softmax(w); tersor.quantize_int8(w); tersor.round_fixed(w)\n"
        "tersor.apply_mask(w, tersor.mask_threshold(w, 0.5, packed=True)); tersor.count_nonzero(w)\n"
        "print(*({'torch', 'ml_dtypes', 'jax', 'cupy', 'tensorflow', 'threadpoolctl'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_nothing_is_printed() -> None:
    """The library never prints: no stdio in csrc but to files, no print in python."""
    for path in sources("csrc"):
        assert not re.search(
            r"\bstd::(cout|cerr|clog)\b|(?<![\w:])(printf|puts)\(|fprintf\(\s*std(err|out)|\babort\(|(?<!\w)exit\(",
            code_of(path),
        ), name_of(path)
    for path in sources("python/tersor", (".py",)):
        if path.name != "cli.py":
            assert not re.search(r"^\s*print\(", path.read_text(), re.MULTILINE), name_of(path)
