"""What the documentation says is true: examples run, and every public function documents its arguments, result and
errors."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import tersor
from tersor import formats

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = sorted(tersor.__all__)
OPERATIONS = [
    name
    for name in PUBLIC
    if "out" in inspect.signature(getattr(tersor, name)).parameters or name in ("count_nonzero", "sparsity")
]
MODULES = ["tersor", "tersor.formats", "tersor.torch"]
OPERATIONS_OF_FORMATS = [f"formats.{name}" for name in formats.__all__ if name != "names"]


def has_torch(name: str) -> bool:
    return not name.startswith("tersor.torch") or importlib.util.find_spec("torch") is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_examples(name: str) -> None:
    function = getattr(tersor, name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for test in doctest.DocTestFinder(recurse=False).find(function, name, globs={}):
        result = runner.run(test)
        assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {name} fail"


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_modules(name: str) -> None:
    if not has_torch(name):
        pytest.skip("torch is not installed")
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0


def named(name: str) -> Any:
    return attrgetter(name)(tersor)


def sections_of(documentation: str) -> dict[str, str]:
    """numpydoc: a title underlined with dashes opens a section."""
    pieces = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", inspect.cleandoc(documentation), flags=re.MULTILINE)
    return dict(zip(["summary", *pieces[1::2]], [pieces[0], *pieces[2::2]], strict=True))


@pytest.mark.parametrize("name", OPERATIONS + OPERATIONS_OF_FORMATS)
def test_sections(name: str) -> None:
    sections = sections_of(named(name).__doc__)
    assert {"summary", "Parameters", "Returns", "Raises", "Examples"} <= set(sections), name
    order = ["summary", "Parameters", "Returns", "Raises", "Notes", "Examples"]
    present = [title for title in sections if title in order]
    assert present == sorted(present, key=order.index), "sections in numpydoc's order"
    assert ">>>" in sections["Examples"]
    assert len(sections["summary"].strip().splitlines()[0]) <= 100 and sections["summary"].strip().splitlines()[0].endswith(
        (".", ":", "``.")
    )


@pytest.mark.parametrize("name", OPERATIONS + OPERATIONS_OF_FORMATS)
def test_every_parameter_is_documented(name: str) -> None:
    function = named(name)
    documented = re.findall(r"^(\w[\w, ]*) :", sections_of(function.__doc__)["Parameters"], re.MULTILINE)
    names = [part.strip() for entry in documented for part in entry.split(",")]
    assert names == list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    "name", [name for name in OPERATIONS if "out" in inspect.signature(getattr(tersor, name)).parameters]
)
def test_out_is_keyword_only(name: str) -> None:
    parameter = inspect.signature(getattr(tersor, name)).parameters["out"]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.default is None


@pytest.mark.parametrize("name", PUBLIC)
def test_documented(name: str) -> None:
    documentation: Any = getattr(tersor, name).__doc__
    assert documentation and len(documentation.split()) >= 5


def test_all_is_sorted_and_complete() -> None:
    assert list(tersor.__all__) == PUBLIC
    visible = {name for name, value in vars(tersor).items() if inspect.isfunction(value) or inspect.isclass(value)}
    assert visible == set(PUBLIC)


def test_version_is_the_package_s() -> None:
    metadata = pytest.importorskip("importlib.metadata")
    assert tersor.__version__ == metadata.version("tersor")


# --- documents -------------------------------------------------------------------------------------------------------

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "csrc/README.md", "CHANGELOG.md"]


def document(name: str) -> str:
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"{name} is not written yet")
    return path.read_text()


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_code_of_the_readme_runs() -> None:
    """Block after block in one process, as a reader would type them."""
    blocks = code_blocks(document("README.md"), "python")
    assert blocks, "README.md shows no Python"
    result = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr


def test_sessions_of_the_readme_are_true() -> None:
    blocks = code_blocks(document("README.md"), "pycon")
    globs: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        test = doctest.DocTestParser().get_doctest(block, globs, f"README block {number}", "README.md", 0)
        assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, clear_globs=False).failed == 0
        globs = test.globs


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_a_document_names_exist(name: str) -> None:
    text = document(name)
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text):
        assert ((ROOT / name).parent / target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_make_targets_that_a_document_names_exist(name: str) -> None:
    makefile = ROOT / "Makefile"
    if not makefile.is_file():
        pytest.skip("Makefile is not written yet")
    targets = set(re.findall(r"^([\w-]+):", makefile.read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([\w-]+)", document(name)))
    assert named <= targets
