"""What people are told of a data set before anything is computed from it, a line each, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from tqdm import tqdm

from vlmad_jax.data.samples import DataSet, LeftOut, Sample
from vlmad_jax.names import one_line

# A mask that marks more of its image than this may be drawn the other way round.
NEARLY_ALL = 0.8

# What follows where masks are missing: of evaluations, and of training.
LEFT_OUT, UNTRAINED = "pixel metrics are left out", "pixels cannot be learned from"


def tell(dataset: DataSet, consequence: str | None = LEFT_OUT) -> None:
    """Writes the notices of a data set; of masks only where there is a consequence of missing ones."""
    lines = notices_of_files(dataset)
    if consequence is not None:
        lines += notices_of_masks(dataset, consequence)
    for line in lines:
        tqdm.write(one_line(line), file=sys.stderr)


def notices_of_files(dataset: DataSet) -> list[str]:
    """What lies there and is not read: how many, why, and the first of them."""
    by_reason: dict[str, list[LeftOut]] = {}
    for entry in dataset.left_out:
        by_reason.setdefault(entry.reason, []).append(entry)
    return [
        f"left out: {len(entries)} {reason} ({dataset.relative(entries[0].path)})"
        for reason, entries in by_reason.items()
    ]


def notices_of_masks(dataset: DataSet, consequence: str) -> list[str]:
    """Of each category: masks that are missing, or mark nothing, nearly everything, or a good image."""
    lines: list[str] = []
    without = []
    for category in dataset.categories:
        samples = dataset.select(category, "test")
        defective = [sample for sample in samples if sample.label]
        if defective and not any(sample.masks for sample in defective):
            without.append(category)
            continue
        lines += _missing(dataset, category, defective, consequence)
        lines += _odd(dataset, category, [sample for sample in samples if sample.marked is not None])
    if without == list(dataset.categories):
        lines.append(f"no category has masks of its defective images, so {consequence}")
    elif without:
        lines.append(f"{', '.join(without)}: no masks of defective images, so their {consequence}")
    return lines


def _missing(dataset: DataSet, category: str, defective: Sequence[Sample], consequence: str) -> Iterable[str]:
    of_all, so = f"of {len(defective)} defective images", f"so its {consequence}"
    lacking = [sample for sample in defective if not sample.masks]
    if lacking:
        verb = "has" if len(lacking) == 1 else "have"
        first = dataset.relative(lacking[0].path)
        yield f"{category}: {len(lacking)} {of_all} {verb} no mask ({first}), {so}"
    empty = [sample for sample in defective if sample.marked == 0]
    if empty:
        verb = "has a mask that marks" if len(empty) == 1 else "have masks that mark"
        first = dataset.relative(empty[0].masks[0])
        yield f"{category}: {len(empty)} {of_all} {verb} nothing ({first}), {so}; draw it above 0"


def _odd(dataset: DataSet, category: str, samples: Sequence[Sample]) -> Iterable[str]:
    defective = [sample for sample in samples if sample.label]
    large = [sample for sample in defective if (sample.marked or 0) > NEARLY_ALL]
    if large:
        first = f"{dataset.relative(large[0].masks[0])}, {large[0].marked:.0%}"
        whole = all(sample.marked == 1 for sample in large)
        share = "everything" if whole else "nearly everything"
        yield (
            f"{category}: {_masks(len(large))} of {len(defective)} defective images {share} ({first}); they "
            "count as they are, above 0 is anomalous: turn them round if they are drawn the other way"
        )
    good = [sample for sample in samples if not sample.label]
    marked = [sample for sample in good if sample.marked]
    if marked:
        first = dataset.relative(marked[0].masks[0])
        yield (
            f"{category}: {_masks(len(marked))} of good images something ({first}); good images count as "
            "normal everywhere: move them to a defect, or remove these masks"
        )


def _masks(count: int) -> str:
    return "1 mask marks" if count == 1 else f"{count} masks mark"
