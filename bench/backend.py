"""``python -m bench.backend``: compressed-tensors' own quantization and the same with tersor as its back end.

A release with back ends, 0.20 or later, is taken from ``.venv/backends``, where ``make test`` installs it, or from where
Python finds one. Back ends cannot be taken back, so each way runs in a process of its own; the two take turns, and a ratio
is taken within a turn.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine, results
from bench.operation import LARGE, SIZES
from bench.report import duration, heading_table, number, wide_console

ROUNDS = 9
BACKENDS = Path(sys.prefix) / "backends"
EAGER, TERSOR = "eager", "tersor"
GROUP = 128
# dtype, bits, whether symmetric, strategy.
CASES = [
    (dtype, bits, symmetric, strategy)
    for dtype in ("float32", "bfloat16")
    for bits, symmetric, strategy in ((8, True, "channel"), (4, True, "group"), (4, False, "group"))
]


def title_of(case: tuple[str, int, bool, str]) -> str:
    dtype, bits, symmetric, strategy = case
    return f"int{bits} by {strategy}s, {'symmetric' if symmetric else 'asymmetric'}, {dtype}"


# --- a process of one way --------------------------------------------------------------------------------------------


def prepared(case: tuple[str, int, bool, str]) -> Any:
    """A call of compressed-tensors' ``quantize`` on a weight."""
    import torch
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import quantize
    from compressed_tensors.quantization.utils import calculate_qparams

    dtype, bits, symmetric, strategy = case
    rows, cols = SIZES[LARGE]
    w = torch.randn(rows, cols, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype))
    size = GROUP if strategy == "group" else None
    args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=size)
    parts = w.reshape(rows, -1, GROUP) if size else w.unsqueeze(1)
    scale, zero_point = calculate_qparams(parts.amin(-1), parts.amax(-1), args)
    return lambda: quantize(w, scale, None if symmetric else zero_point, args, dtype=torch.int8)


def serve(way: str) -> None:
    """For each line of input, the number of a case: seconds of a call, and a digest of its codes."""
    if BACKENDS.exists():
        sys.path.insert(0, str(BACKENDS))
    if way == TERSOR:
        import tersor.integrations.compressed_tensors as backend

        backend.register()
    number_of, call = -1, None
    for line in sys.stdin:
        if int(line) != number_of:
            number_of = int(line)
            call = prepared(CASES[number_of])
            call()
        began = time.perf_counter()
        codes = call()  # type: ignore[misc]
        seconds = time.perf_counter() - began
        print(seconds, hashlib.sha256(codes.numpy()).hexdigest(), flush=True)


# --- a run -----------------------------------------------------------------------------------------------------------


def ask(worker: subprocess.Popen[str], case: int) -> tuple[float, str]:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(f"{case}\n")
    worker.stdin.flush()
    seconds, codes = worker.stdout.readline().split()
    return float(seconds), codes


def measure(workers: dict[str, subprocess.Popen[str]], case: int, rounds: int) -> results.Row:
    turns = [{way: ask(worker, case) for way, worker in workers.items()} for _ in range(rounds)]
    return {
        "case": title_of(CASES[case]),
        "seconds": {way: statistics.median(turn[way][0] for turn in turns) for way in workers},
        "eager_to_tersor": statistics.median(turn[EAGER][0] / turn[TERSOR][0] for turn in turns),
        "right": all(turn[EAGER][1] == turn[TERSOR][1] for turn in turns),
    }


def main(arguments: list[str] | None = None) -> int:
    """The exit status is 1 where codes differ."""
    parser = argparse.ArgumentParser(prog="python -m bench.backend", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="%(default)s if not given")
    parser.add_argument("--output", type=Path, help="the JSON file; bench/results/<machine>-backend.json if not given")
    options = parser.parse_args(arguments)
    console = wide_console()
    command = [sys.executable, "-c", "import sys; from bench.backend import serve; serve(sys.argv[1])"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = {way: subprocess.Popen([*command, way], **pipes) for way in (EAGER, TERSOR)}
    built = [measure(workers, case, options.rounds) for case in range(len(CASES))]
    for worker in workers.values():
        worker.communicate()
    table = heading_table(f"quantize of compressed-tensors, {LARGE.replace('x', ' x ')}")
    for heading in ("case", "eager", "tersor", "eager/tersor", "same codes"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for row in built:
        seconds = row["seconds"]
        table.add_row(
            row["case"],
            duration(seconds[EAGER]),
            duration(seconds[TERSOR]),
            number(row["eager_to_tersor"]),
            "yes" if row["right"] else "[bold red]no[/]",
        )
    console.print(table)
    described = machine.describe()
    for package in importlib.metadata.distributions(name="compressed-tensors", path=[str(BACKENDS)]):
        described["versions"]["compressed-tensors"] = package.version
    path = options.output or results.FOLDER / f"{machine.slug(described)}-backend.json"
    results.save(built, described, options.rounds, path)
    console.print(f"wrote {path.name}")
    return 0 if all(row["right"] for row in built) else 1


if __name__ == "__main__":
    sys.exit(main())
