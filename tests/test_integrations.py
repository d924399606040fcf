"""tersor inside compressed-tensors: a release with back ends, in a process of its own, since the other tests load an older
one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BACKENDS = Path(sys.prefix) / "backends"


@pytest.mark.skipif(not BACKENDS.exists(), reason="compressed-tensors 0.20 is not installed in .venv/backends")
def test_compressed_tensors_quantizes_to_the_same_bits() -> None:
    """Every dtype, width, strategy and dtype of codes, before and after registering; and that tersor was called."""
    pytest.importorskip("torch", reason="torch is not installed")
    script = Path(__file__).with_name("compressed_tensors_backend.py")
    run = subprocess.run([sys.executable, str(script), str(BACKENDS)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split() == ["72", "alike,", "72", "by", "tersor"], run.stdout


def test_older_releases_are_refused() -> None:
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    with pytest.raises(ImportError, match=r"needs compressed-tensors 0\.20 or later.*pip install"):
        import tersor.integrations.compressed_tensors  # noqa: F401
