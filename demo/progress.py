"""What is going on, for whoever waits: a bar on a terminal, a line for each step in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Steps:
    """A known number of steps, each announced as it begins."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._start = time.perf_counter()
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=total)
        self._begun = 0
        self._total = total

    def __enter__(self) -> Steps:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, description: str) -> None:
        """Ends the step before, too."""
        self._progress.update(self._task, completed=self._begun, description=description)
        self._begun += 1
        if not self._console.is_terminal:
            elapsed = time.perf_counter() - self._start
            self._console.print(f"[{self._begun}/{self._total}, {elapsed:.0f} s] {description}", markup=False)
