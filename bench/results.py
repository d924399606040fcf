"""The JSON form of a run: one row for each case, and the machine."""

from __future__ import annotations

import datetime
import json
import statistics
from pathlib import Path
from typing import Any

from bench.goals import Measure
from bench.measure import Measurement

FORMAT = 1
FOLDER = Path(__file__).parent / "results"

Row = dict[str, Any]


def row(measured: Measurement) -> Row:
    """What the tables, the picture and ``bench.compare`` need of a measurement. Times are in seconds."""
    case, traffic = measured.case, measured.traffic
    seconds = {name: statistics.median(times.values()) for name, times in measured.seconds.items()}
    speedups = {name: statistics.median(ratios) for name in seconds if (ratios := measured.speedups(name))}
    # To someone who holds tensors NumPy is no alternative.
    no_peers = {"tersor", "reference", *(["numpy"] if case.operation.family == "torch" else [])}
    peers = [name for name in seconds if name not in no_peers]
    built: Row = {
        "family": case.operation.family,
        "operation": case.operation.name,
        "variant": case.operation.variant,
        "dtype": case.operation.dtype,
        "size": case.size,
        "shape": list(case.shape),
        "bytes_read": traffic.read_bytes,
        "bytes_written": traffic.written_bytes,
        "in_cache": traffic.in_cache,
        "seconds": seconds,
        "samples": {name: len(times) for name, times in measured.seconds.items()},
        "gigabytes_per_second": traffic.bytes / seconds["tersor"] / 1e9 if "tersor" in seconds else None,
        "floor": floor(measured),
        "probe_gigabytes_per_second": {
            name: traffic.bytes / statistics.median(times) / 1e9 for name, times in measured.probe_seconds.items()
        },
        "times_longer_than_tersor": {name: ratio for name, ratio in speedups.items() if name != "tersor"},
        "best_peer": min(peers, key=seconds.__getitem__, default=None),
        "skipped": measured.skipped,
        "wrong": measured.wrong,
    }
    return {**built, "goal": goal(measured, built)}


def floor(measured: Measurement) -> Row | None:
    """The probe of this mix, and how many times longer everything else took in the same round."""
    if not measured.floor_seconds:
        return None
    ratios = measured.floor_ratios("tersor")
    spread = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {
        "probe": measured.traffic.floor_probe,
        "seconds": statistics.median(measured.floor_seconds.values()),
        "ratio": statistics.median(ratios),
        "quartiles": [spread[0], spread[-1]],
        "ratios": {name: statistics.median(measured.floor_ratios(name)) for name in measured.seconds},
    }


def goal(measured: Measurement, built: Row) -> Row | None:
    """The goal with the value reached, None where it could not be measured."""
    wanted = measured.case.goal
    if wanted is None:
        return None
    value = None
    if wanted.measure is Measure.FLOOR and built["floor"]:
        value = built["floor"]["ratio"]
    elif wanted.measure is Measure.PEER and built["best_peer"]:
        value = built["times_longer_than_tersor"].get(built["best_peer"])
    elif wanted.measure is Measure.MICROSECONDS and "tersor" in built["seconds"]:
        value = built["seconds"]["tersor"] * 1e6
    return {
        "measure": wanted.measure.value,
        "limit": wanted.limit,
        "text": str(wanted),
        "value": value,
        "met": value is not None and wanted.is_met(value),
    }


def title(built: Row) -> str:
    """The name of a row without its size."""
    return f"{built['operation']} {built['variant']}".strip()


def save(rows: list[Row], machine: Row, rounds: int, path: Path) -> Row:
    """Writes a run and returns it."""
    date = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    run = {"format": FORMAT, "date": date, "machine": machine, "rounds": rounds, "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(run), indent=1) + "\n")
    return run


def rounded(value: Any) -> Any:
    """Four digits: the rest is noise, and a diff of two runs shall be readable."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def load(path: Path) -> Row:
    """Reads what ``save`` wrote."""
    run: Row = json.loads(path.read_text())
    if run.get("format") != FORMAT:
        raise ValueError(f"{path.name} is no results file of format {FORMAT}")
    return run
