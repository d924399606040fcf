"""``python -m bench.cuda``: the CUDA kernels against the bandwidth of the card, torch and torch.compile.

Every contender is captured in a CUDA graph that works through several sets of operands, together more than four times
the L2 cache, so that a replay measures kernels on cold data and no launch overhead. Contenders take turns, the copy that
sets the floor among them: clocks drift, and only ratios of one round count. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tersor

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

ROUNDS = 60
RESULTS = Path(__file__).parent / "results"
CEILING_BYTES = 1 << 30
TEMPERATURE = 0.7

Tensors = tuple[Any, ...]
Call = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One row of the table: an operation on one shape, and what else does the same job."""

    op: str
    shape: tuple[int, int]
    dtype: str
    outputs: Callable[[Any], Tensors]
    tersor: Call  # (input, *outputs)
    peers: dict[str, Call]  # the same arguments; what is compiled may allocate its results

    def __str__(self) -> str:
        return f"{self.op} {self.dtype} {self.shape[0]} x {self.shape[1]}"

    def bytes_moved(self, x: Any) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in (x, *self.outputs(x)))


def same(x: Any) -> Tensors:
    return (torch.empty_like(x),)


def codes_and_scale(x: Any) -> Tensors:
    return torch.empty(x.shape, dtype=torch.int8, device=x.device), torch.empty(len(x), 1, device=x.device)


def torch_quantize(x: Any) -> Tensors:
    wide = x.float()
    scale = wide.abs().amax(-1, keepdim=True) / 127
    return torch.round(wide / scale).clamp(-127, 127).to(torch.int8), scale


def cases() -> list[Case]:
    def compiled(function: Call) -> Call:
        fast = torch.compile(function, dynamic=False)
        return lambda x, *outputs: fast(x)

    def prune(shape: tuple[int, int], dtype: str) -> Case:
        return Case(
            "prune_threshold",
            shape,
            dtype,
            same,
            lambda x, out: tersor.prune_threshold(x, 0.5, out=out),
            {
                "torch": lambda x, out: torch.where(x.abs() >= 0.5, x, x.new_zeros(()), out=out),
                "torch hardshrink": lambda x, out: torch.ops.aten.hardshrink.out(x, 0.5, out=out),
                "torch.compile": compiled(lambda x: torch.where(x.abs() >= 0.5, x, 0)),
            },
        )

    def quantize(shape: tuple[int, int], dtype: str) -> Case:
        return Case(
            "quantize_int8",
            shape,
            dtype,
            codes_and_scale,
            lambda x, q, scale: tersor.quantize_int8(x, out=(q, scale)),
            {"torch": lambda x, q, scale: torch_quantize(x), "torch.compile": compiled(torch_quantize)},
        )

    def softmax(shape: tuple[int, int], dtype: str) -> Case:
        return Case(
            "softmax",
            shape,
            dtype,
            same,
            lambda x, out: tersor.softmax(x, TEMPERATURE, out=out),
            {
                "torch, no temperature": lambda x, out: torch.softmax(x, -1, out=out),
                "torch": lambda x, out: torch.softmax(x / TEMPERATURE, -1, out=out),
                "torch.compile": compiled(lambda x: torch.softmax(x / TEMPERATURE, -1)),
            },
        )

    return [
        prune((30518, 32768), "bfloat16"),  # 10**9 entries
        prune((30518, 32768), "float32"),
        quantize((8192, 8192), "bfloat16"),
        quantize((8192, 8192), "float32"),
        quantize((4096, 28672), "bfloat16"),
        quantize((65536, 128), "bfloat16"),
        softmax((4096, 151936), "bfloat16"),
        softmax((4096, 151936), "float32"),
        softmax((4096, 50257), "bfloat16"),  # an odd vocabulary: rows between 16-byte addresses
        softmax((4096, 32000), "float32"),
        softmax((65536, 1024), "bfloat16"),
        softmax((1_000_000, 64), "bfloat16"),
        softmax((16, 128256), "float32"),  # decoding
        softmax((65536, 1000), "float64"),
    ]


# --- measuring ---------------------------------------------------------------------------------------------------------


class Graph:
    """One contender's calls on all sets of operands, captured; None with a reason where it cannot be."""

    def __init__(self, call: Call, operands: list[Tensors]) -> None:
        self.operands = operands  # a replay uses their memory
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # compiled peers compile here
            for _ in range(3):
                call(*operands[0])
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for arguments in operands:
                call(*arguments)
        self.seconds: list[float] = []

    def replay(self) -> None:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        self.graph.replay()
        end.record()
        end.synchronize()
        self.seconds.append(start.elapsed_time(end) * 1e-3 / len(self.operands))


def ceilings() -> dict[str, tuple[Graph, int]]:
    """A copy and a sum of a gigabyte, with the bytes they move. The copy is a kernel: a graph's memcpy is a fifth slower."""
    x = torch.randn(CEILING_BYTES // 4, device="cuda")
    out, total = torch.empty_like(x), torch.empty((), device="cuda")
    return {
        "copy": (Graph(lambda x, out: torch.mul(x, 1, out=out), [(x, out)]), 2 * CEILING_BYTES),
        "read": (Graph(lambda x, out: torch.sum(x, 0, out=out), [(x, total)]), CEILING_BYTES),
    }


def operands_for(case: Case) -> list[Tensors]:
    cold_bytes = max(256 << 20, 4 * torch.cuda.get_device_properties(0).L2_cache_size)
    first = torch.randn(case.shape, device="cuda", dtype=torch.float32).to(getattr(torch, case.dtype))
    sets = max(1, math.ceil(cold_bytes / case.bytes_moved(first)))
    return [(x, *case.outputs(x)) for x in (first, *(first.clone() for _ in range(sets - 1)))]


def is_right(case: Case, x: Any, outputs: Tensors) -> bool:
    """A few rows against float64; the tests are exact about it."""
    rows = x[:32].double()
    if case.op == "prune_threshold":
        return bool((outputs[0][:32] == torch.where(rows.abs() >= 0.5, x[:32], 0)).all())
    if case.op == "softmax":
        exact = torch.softmax(rows / TEMPERATURE, -1)
        return bool(torch.allclose(outputs[0][:32].double(), exact, rtol=1e-2 if "16" in case.dtype else 1e-6, atol=0))
    q, scale = outputs
    return bool(((q[:32].double() * scale[:32].double() - rows).abs() <= 0.501 * scale[:32]).all())


def measure(case: Case, limits: dict[str, tuple[Graph, int]], rounds: int, with_peers: bool) -> dict[str, Any]:
    operands = operands_for(case)
    contenders, skipped = {"tersor": Graph(case.tersor, operands)}, {}
    contenders["tersor"].replay()
    if not is_right(case, operands[0][0], operands[0][1:]):
        sys.exit(f"{case}: wrong result; run tests/test_cuda.py")
    for name, call in case.peers.items() if with_peers else ():
        try:
            contenders[name] = Graph(call, operands)
        except Exception as error:  # one peer that fails must not end the run
            skipped[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
    for graph in (*contenders.values(), *(graph for graph, _ in limits.values())):
        graph.replay()
        graph.seconds.clear()
    for _ in range(rounds):
        for graph, _ in limits.values():
            graph.replay()
        for graph in contenders.values():
            graph.replay()
    moved = case.bytes_moved(operands[0][0])
    copy, copy_bytes = limits["copy"]
    floors = [moved * seconds / copy_bytes for seconds in copy.seconds]
    ratios = [ours / floor for ours, floor in zip(contenders["tersor"].seconds, floors, strict=True)]
    medians = {name: statistics.median(graph.seconds) for name, graph in contenders.items()}
    return {
        "op": case.op,
        "dtype": case.dtype,
        "shape": case.shape,
        "bytes": moved,
        "sets": len(operands),
        "rounds": rounds,
        "microseconds": {name: seconds * 1e6 for name, seconds in medians.items()},
        "gigabytes_per_second": moved / medians["tersor"] * 1e-9,
        "floor_microseconds": statistics.median(floors) * 1e6,
        "times_floor": statistics.median(ratios),
        "skipped": skipped,
    }


def print_row(case: Case, row: dict[str, Any]) -> None:
    times = row["microseconds"]
    others = {name: value for name, value in times.items() if name != "tersor"}
    peers = ", ".join(f"{name} {value:.1f} ({value / times['tersor']:.2f}x)" for name, value in others.items())
    ours = f"{times['tersor']:9.1f} us {row['gigabytes_per_second']:6.0f} GB/s {row['times_floor']:5.2f} x floor"
    print(f"{case!s:45} {ours}   {peers}", flush=True)
    for name, reason in row["skipped"].items():
        print(f"{'':45} {name} is left out: {reason}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cuda", description=__doc__)
    parser.add_argument("--ops", default="", help="such as softmax,quantize_int8")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--output", type=Path, help="the JSON file; bench/results/<card>.json if not given")
    options = parser.parse_args()
    if torch is None:
        sys.exit("bench.cuda needs a GPU and torch, and torch is not installed")
    if not torch.cuda.is_available():
        sys.exit("bench.cuda needs a GPU, and torch.cuda.is_available() is False")
    try:
        from tersor import _cuda
    except ImportError:
        sys.exit("bench.cuda needs a tersor with CUDA kernels: build it where nvcc is found (-DTERSOR_CUDA=ON)")
    _cuda.warmup(0)
    card = torch.cuda.get_device_name(0)
    limits = ceilings()
    wanted = [name for name in options.ops.split(",") if name]
    rows, ceiling_seconds = [], {name: list[float]() for name in limits}
    print(f"{card}, torch {torch.__version__}, medians of {options.rounds} replays, cold L2")
    for case in cases():
        if wanted and case.op not in wanted:
            continue
        rows.append(measure(case, limits, options.rounds, options.peers))
        print_row(case, rows[-1])
        for name, (graph, _) in limits.items():
            ceiling_seconds[name] += graph.seconds
        torch.cuda.empty_cache()
    bandwidth = {name: moved / statistics.median(ceiling_seconds[name]) * 1e-9 for name, (_, moved) in limits.items()}
    print(", ".join(f"{name} {value:.0f} GB/s" for name, value in bandwidth.items()))
    path = options.output or RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', card.lower()).strip('-')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {"card": card, "torch": torch.__version__, "ceilings_gigabytes_per_second": bandwidth, "rows": rows}
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
