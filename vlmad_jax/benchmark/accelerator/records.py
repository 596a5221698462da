"""The results of a run: one JSON object a line, and the same as tables."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LINES, TABLES = "benchmark_gpu.jsonl", "benchmark_gpu.md"
# The tables, in their order: the kind of a record -> the heading and the columns.
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "machine": ("Machine", ("device", "memory_gb", "cores", "python", "jax", "torch", "plan")),
    "matmul": ("Matrix products", ("library", "dtype", "result", "side", "tflops")),
    "parity": (
        "Differences from the reference numbers",
        ("dtype", "method", "quantity", "difference", "largest", "limit", "within"),
    ),
    "speed": (
        "Speed",
        (
            "library",
            "method",
            "dtype",
            "batch",
            "images_per_s",
            "share_of_peak",
            "peak_tflops",
            "compile_s",
            "memory_gb",
            "difference",
            "choice",
        ),
    ),
    "attention": ("Attention", ("shape", "dtype", "way", "microseconds", "tflops", "difference")),
    "trace": ("Time by kernel", ("method", "batch", "kernel", "calls", "milliseconds", "share")),
    "failure": ("What failed", ("step", "what", "error")),
}


class Records:
    """The results of one step, written to the files of a run as they come.

    Args:
      out: The folder of the run, which earlier steps may have written to.
      step: The name of the step.
    """

    def __init__(self, out: Path, step: str) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.step = out, step

    def add(self, kind: str, **values: Any) -> None:
        """Append one record, and write the tables again."""
        record = {"kind": kind, "step": self.step, "time": round(time.time(), 1), **values}
        with (self.out / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        (self.out / TABLES).write_text(tables(read(self.out / LINES)), encoding="utf-8")
        shown = " ".join(f"{name}={short(value)}" for name, value in values.items() if value is not None)
        print(f"{self.step}: {kind} {shown}", flush=True)

    def failure(self, what: str, error: BaseException) -> None:
        """Record that a part of the step failed, after which the step goes on."""
        self.add("failure", what=what, error=f"{type(error).__name__}: {error}"[:300].replace("\n", " "))


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file; a line that was cut short is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def tables(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the records as Markdown, a table for each kind."""
    parts = []
    for kind, (heading, columns) in KINDS.items():
        rows = [x for x in records if x["kind"] == kind]
        used = [name for name in columns if any(row.get(name) is not None for row in rows)]
        if rows:
            parts.append(f"## {heading}\n\n" + "\n".join(lines_of(rows, used)))
    return "\n\n".join(parts) + "\n"


def lines_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return the lines of one Markdown table."""
    cells = [[short(row.get(name)) for name in columns] for row in rows]
    head = [name.replace("_", " ") for name in columns]
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(columns), *cells)]


def short(value: Any) -> str:
    """Format a value for a table: numbers with three digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value).replace("|", "/")


@contextlib.contextmanager
def recorded(records: Records, what: str) -> Iterator[None]:
    """Record a failure of one part of a step, so that the step goes on."""
    try:
        yield
    except Exception as error:
        records.failure(what, error)
