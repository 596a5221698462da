"""Checks of a data set before anything is computed from it: errors, and notices for the user."""

from collections.abc import Iterator, Sequence

from vlmad_jax.data.counts import count_notices
from vlmad_jax.data.samples import DataSet, Sample, Skipped
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import lookup_name
from vlmad_jax.runtime.notices import print_stderr

# A mask that marks a larger share of its image than this may be inverted.
NEARLY_ALL = 0.8

# The consequence of missing masks for an evaluation, and for training.
NO_PIXEL_METRICS, NO_PIXEL_TRAINING = "pixel metrics are skipped", "pixels are not trained on"


def select_categories(dataset: DataSet, chosen: Sequence[str]) -> tuple[Sample, ...]:
    """Return the samples of the chosen categories, or all samples if none is chosen.

    The name of a category may have another Unicode spelling; an exact match takes precedence.

    Raises:
      InputError: A category is unknown.
    """
    known = {category: category for category in dataset.categories}
    wanted = set()
    for category in chosen:
        found = lookup_name(category, known)
        if found is None:
            choices = ", ".join(dataset.categories)
            raise InputError(f"--categories: {dataset.name} has no category {category!r}; known: {choices}")
        wanted.add(found)
    return tuple(s for s in dataset.samples if not chosen or s.category in wanted)


def check_dataset(dataset: DataSet) -> None:
    """Check that every category has normal and test images, and that masks have the size of their image.

    An image with a damaged header passes: its reader reports it. A data set of anomalous images alone needs
    no normal ones.

    Raises:
      InputError: A check fails.
    """
    for category in dataset.categories:
        samples = [sample for sample in dataset.samples if sample.category == category]
        if not (dataset.one_class or any(sample.label == 0 for sample in samples)):
            raise InputError(
                f"{dataset.root}: category {category!r} has no normal images; add some or exclude it"
            )
        if not any(sample.split == "test" for sample in samples):
            raise InputError(
                f"{dataset.root}: category {category!r} has no test images; add some or exclude it"
            )
    for sample in dataset.samples:
        if sample.fault:
            raise InputError(sample.fault)


def print_notices(dataset: DataSet, consequence: str | None = NO_PIXEL_METRICS) -> None:
    """Print notices about counts, about skipped files, and about masks unless `consequence` is None."""
    lines = count_notices(dataset) + file_notices(dataset)
    if consequence is not None:
        lines += mask_notices(dataset, consequence)
    for line in lines:
        print_stderr(line)


def file_notices(dataset: DataSet) -> list[str]:
    """Return one notice per reason for skipping files: their number, the reason, and the first file."""
    by_reason: dict[str, list[Skipped]] = {}
    for entry in dataset.skipped:
        by_reason.setdefault(entry.reason, []).append(entry)
    return [
        f"skipped: {_counted(len(entries), reason)} ({dataset.relative(entries[0].path)})"
        for reason, entries in by_reason.items()
    ]


def _counted(count: int, reason: str) -> str:
    """Return a reason with a number before its first word, for example "2 images in a hidden folder"."""
    noun, _, rest = reason.partition(" ")
    return f"{count} {noun}{'s' if count > 1 else ''} {rest}"


def mask_notices(dataset: DataSet, consequence: str) -> list[str]:
    """Return notices for missing masks, and for masks that mark nothing, too much, or a normal image."""
    lines: list[str] = []
    without = []
    for category in dataset.categories:
        samples = dataset.select(category, "test")
        anomalous = [sample for sample in samples if sample.label]
        if anomalous and not any(sample.masks for sample in anomalous):
            without.append(category)
            continue
        lines += _missing_masks(dataset, category, anomalous, consequence)
        lines += _suspicious_masks(dataset, category, samples)
    if without == list(dataset.categories):
        lines.append(f"no category has masks of its anomalous images, so {consequence}")
    elif without:
        lines.append(f"{', '.join(without)}: no masks of anomalous images, so their {consequence}")
    return lines


def _missing_masks(
    dataset: DataSet, category: str, anomalous: Sequence[Sample], consequence: str
) -> Iterator[str]:
    so = f"so its {consequence}"
    if lacking := [sample for sample in anomalous if not sample.masks]:
        which = _which(len(lacking), len(anomalous), "has no mask", "have no mask")
        yield f"{category}: {which} ({dataset.relative(lacking[0].path)}), {so}"
    if empty := [sample for sample in anomalous if sample.marked == 0]:
        which = _which(len(empty), len(anomalous), *_MARKING)
        yield f"{category}: {which} nothing ({dataset.relative(empty[0].masks[0])}), {so}; draw it above 0"


def _suspicious_masks(dataset: DataSet, category: str, samples: Sequence[Sample]) -> Iterator[str]:
    anomalous = [sample for sample in samples if sample.label]
    if large := [sample for sample in anomalous if (sample.marked or 0) > NEARLY_ALL]:
        first = f"{dataset.relative(large[0].masks[0])}, {large[0].marked:.0%}"
        share = "everything" if all(sample.marked == 1 for sample in large) else "nearly everything"
        yield (
            f"{category}: {_which(len(large), len(anomalous), *_MARKING)} {share} ({first}); values "
            "above 0 count as anomalous: invert the masks if 0 means anomalous"
        )
    normal = [sample for sample in samples if not sample.label]
    if marked := [sample for sample in normal if sample.marked]:
        which = _which(len(marked), len(normal), *_MARKING, kind="normal")
        yield (
            f"{category}: {which} something ({dataset.relative(marked[0].masks[0])}); its "
            "masks are ignored: move the image to a defect, or remove the masks"
        )


_MARKING = "has a mask that marks", "have masks that mark"


def _which(count: int, of_all: int, one: str, more: str, kind: str = "anomalous") -> str:
    return f"{count} of {of_all} {kind} images {one if count == 1 else more}"
