"""``python -m bench.readme results/<machine>.json``: rows of large arrays that have a goal become the README's table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.operation import SMALL
from bench.report import duration
from bench.results import FOLDER, Row

README = Path(__file__).parent.parent / "README.md"
HEADER = "| operation | dtype | shape | time | x floor | NumPy | best peer |\n|---|---|---|---|---|---|---|\n"


def lines(rows: list[Row]) -> list[str]:
    """One for each row of large arrays that has a goal."""
    return [line(row) for row in rows if row["floor"] and row["goal"] and row["size"] != SMALL]


def line(row: Row) -> str:
    longer, peer = row["times_longer_than_tersor"], row["best_peer"]
    cells = (
        f"`{row['operation']}` {row['variant']}".strip(),
        row["dtype"],
        " x ".join(str(length) for length in row["shape"]),
        duration(row["seconds"]["tersor"]),
        f"{row['floor']['ratio']:.2f}",
        f"{longer['numpy']:.1f}" if "numpy" in longer else "-",
        f"{peer}, {longer[peer]:.1f}" if peer in longer else "-",
    )
    return f"| {' | '.join(cells)} |"


def with_table(text: str, rows: list[Row]) -> str:
    """The README with these rows in its table."""
    begin = text.index(HEADER) + len(HEADER)
    end = text.index("\n\n", begin)
    return text[:begin] + "\n".join(lines(rows)) + text[end:]


def main() -> None:
    """Rewrite the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("results", type=Path, help=f"a file of {FOLDER.name}/")
    rows: list[Row] = json.loads(parser.parse_args().results.read_text())["rows"]
    README.write_text(with_table(README.read_text(), rows))


if __name__ == "__main__":
    main()
