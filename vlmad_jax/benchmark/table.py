"""The results of a benchmark as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = (
    ("", 22),
    ("images/s", 11),
    ("min", 9),
    ("max", 9),
    ("rounds", 7),
    ("compile s", 10),
    ("peak GB", 8),
    ("matmul GFLOP/s", 15),
    ("published", 10),
    ("executed", 9),
)


OPTION_LABELS = {
    "window_stride": "window stride",
    "merge_tokens": "merge tokens",
    "multi_scale_sizes": "multi-scale sizes",
}


def table(results: dict[str, Any]) -> str:
    """Return the results of `run` in at most 110 columns.

    The last two columns are shares of the machine's matmul rate.
    """
    setting, machine, work = results["setting"], results["machine"], results["gflop_per_image"]
    windows = f"windows {join_numbers(setting['window_sizes'])}, " if setting.get("window_sizes") else ""
    options = "".join(
        f"{label} {join_numbers(setting[name])}, "
        for name, label in OPTION_LABELS.items()
        if setting.get(name) is not None
    )
    work_names = {"train": "training step", "train_cached": "training step on cached features"}
    shots = f"{setting['shots']}-shot" if setting["shots"] else "zero-shot"
    work_name = work_names.get(setting["work"], shots)
    rows = [[name for name, _ in COLUMNS]]
    for implementation, figures in results["implementations"].items():
        speed, share = figures["images_per_second"], figures["share_of_matmul_rate"]
        rows.append(
            [
                implementation,
                f"{speed['median']:.4g}",
                f"{speed['min']:.4g}",
                f"{speed['max']:.4g}",
                f"{figures['rounds']}",
                f"{figures['compile_seconds']:.1f}",
                f"{figures['peak_memory_bytes'] / 1e9:.2f}",
                f"{figures['matmul']['gflop_per_second']:.4g}",
                f"{share['published']:.1%}",
                f"{share['executed']:.1%}",
            ]
        )
    lines = [
        f"{setting['method']} {work_name}, {setting['arch']}, {windows}{options}"
        f"batch {setting['batch_size']}",
        f"{machine['device']}, {machine['cores']} cores, jax {machine['jax']}, "
        f"load average {results['load_average']:.1f} before",
        f"instruction sets of the processor: {', '.join(machine['instruction_sets']) or 'unknown'}",
        f"work of an image: {work['published']:.4g} GFLOP as published, {work['executed']:.4g} executed",
        "",
        *("".join(cell.rjust(width) for cell, (_, width) in zip(row, COLUMNS, strict=True)) for row in rows),
    ]
    return "\n".join([*lines, *comparison_lines(results)])


def comparison_lines(results: dict[str, Any]) -> list[str]:
    """Return a line for each of our implementations and each of the peer's."""
    lines = [
        f"{name} is {ratio:.2f} times as fast as {peer}; maps differ by at most "
        f"{results['differences'][name][peer]:.1e}"
        for name, ratios in results.get("ratios", {}).items()
        for peer, ratio in ratios.items()
    ]
    return ["", *lines] if lines else []


def join_numbers(value: int | Sequence[int]) -> str:
    """Format a number or several, as in "3" or "2,3"."""
    return str(value) if isinstance(value, int) else ",".join(map(str, value))
