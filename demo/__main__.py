"""Runs the demonstration: ``python -m demo``. ``TERSOR_NUM_THREADS=1 python -m demo`` compares on one thread."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from demo.checks import CheckFailed

OUTPUT = Path(__file__).parent / "output"


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 where a check fails."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Compress two trained models and measure it.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the files (default: %(default)s)")
    output: Path = parser.parse_args(arguments).output
    console = Console(highlight=False)
    start = time.perf_counter()
    console.print("Loading torch, scikit-learn and matplotlib ...")
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of other libraries would break into those of the steps
    # Imported only now, because it takes seconds in which nothing would show.
    from demo.run import run

    try:
        run(console, output)
    except CheckFailed as failure:
        Console(stderr=True).print(f"A check failed: {failure}", style="bold red", markup=False, soft_wrap=True)
        return 1
    console.print(f"All checks passed. {time.perf_counter() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
