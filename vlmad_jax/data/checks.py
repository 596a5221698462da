"""What must hold of a data set before anything is computed from it."""

from collections.abc import Iterator, Sequence

from vlmad_jax.data.images import shown_size
from vlmad_jax.data.samples import DataSet, LeftOut, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import named
from vlmad_jax.runtime.notices import say

# A mask that marks more of its image than this may be drawn the other way round.
NEARLY_ALL = 0.8

# What follows where masks are missing: of evaluations, and of training.
LEFT_OUT, UNTRAINED = "pixel metrics are left out", "pixels cannot be learned from"


def choose_categories(dataset: DataSet, chosen: Sequence[str]) -> tuple[Sample, ...]:
    """The samples of the chosen categories, or all when none is chosen; InputError for an unknown one.

    A category is known in either spelling of Unicode, the exact one first.
    """
    there = {category: category for category in dataset.categories}
    wanted = set()
    for category in chosen:
        found = named(category, there)
        if found is None:
            known = ", ".join(dataset.categories)
            raise InputError(f"--categories: {dataset.name} has no category {category!r}; known: {known}")
        wanted.add(found)
    return tuple(s for s in dataset.samples if not chosen or s.category in wanted)


def check(dataset: DataSet) -> None:
    """Raise InputError for a category without test images or good ones, or a mask of the wrong size.

    Sizes are read from the headers. An image whose header is broken passes: whoever reads it counts it.
    """
    for category in dataset.categories:
        samples = [sample for sample in dataset.samples if sample.category == category]
        if not any(sample.label == 0 for sample in samples):
            raise InputError(
                f"{dataset.root}: category {category!r} has no good images; add some or leave it out"
            )
        if not any(sample.split == "test" for sample in samples):
            raise InputError(
                f"{dataset.root}: category {category!r} has no test images; add some or leave it out"
            )
    for sample in dataset.samples:
        for mask in sample.masks if sample.label else ():
            _check_mask(sample.path, mask)


def _check_mask(image: str, mask: str) -> None:
    try:
        width, height = shown_size(image)
    except InputError:
        return
    if (found := shown_size(mask)) != (width, height):
        sizes = f"{found[0]} x {found[1]}, but its image is {width} x {height}"
        raise InputError(f"{mask}: the mask is {sizes} ({image}); draw it at the size of the image")


def tell(dataset: DataSet, consequence: str | None = LEFT_OUT) -> None:
    """Writes the notices of a data set; of masks only where there is a consequence of missing ones."""
    lines = notices_of_files(dataset)
    if consequence is not None:
        lines += notices_of_masks(dataset, consequence)
    for line in lines:
        say(line)


def notices_of_files(dataset: DataSet) -> list[str]:
    """What lies there and is not read: how many, why, and the first of them."""
    by_reason: dict[str, list[LeftOut]] = {}
    for entry in dataset.left_out:
        by_reason.setdefault(entry.reason, []).append(entry)
    return [
        f"left out: {_counted(len(entries), reason)} ({dataset.relative(entries[0].path)})"
        for reason, entries in by_reason.items()
    ]


def _counted(count: int, reason: str) -> str:
    """A number of what a reason begins with: "2 images in a hidden folder"."""
    noun, _, rest = reason.partition(" ")
    return f"{count} {noun}{'s' if count > 1 else ''} {rest}"


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
        lines += _odd(dataset, category, samples)
    if without == list(dataset.categories):
        lines.append(f"no category has masks of its defective images, so {consequence}")
    elif without:
        lines.append(f"{', '.join(without)}: no masks of defective images, so their {consequence}")
    return lines


def _missing(dataset: DataSet, category: str, defective: Sequence[Sample], consequence: str) -> Iterator[str]:
    so = f"so its {consequence}"
    if lacking := [sample for sample in defective if not sample.masks]:
        which = _which(len(lacking), len(defective), "has no mask", "have no mask")
        yield f"{category}: {which} ({dataset.relative(lacking[0].path)}), {so}"
    if empty := [sample for sample in defective if sample.marked == 0]:
        which = _which(len(empty), len(defective), *_MARKING)
        yield f"{category}: {which} nothing ({dataset.relative(empty[0].masks[0])}), {so}; draw it above 0"


def _odd(dataset: DataSet, category: str, samples: Sequence[Sample]) -> Iterator[str]:
    defective = [sample for sample in samples if sample.label]
    if large := [sample for sample in defective if (sample.marked or 0) > NEARLY_ALL]:
        first = f"{dataset.relative(large[0].masks[0])}, {large[0].marked:.0%}"
        share = "everything" if all(sample.marked == 1 for sample in large) else "nearly everything"
        yield (
            f"{category}: {_which(len(large), len(defective), *_MARKING)} {share} ({first}); they count as "
            "they are, above 0 is anomalous: turn them round if they are drawn the other way"
        )
    good = [sample for sample in samples if not sample.label]
    if marked := [sample for sample in good if sample.marked]:
        which = _which(len(marked), len(good), *_MARKING, kind="good")
        yield (
            f"{category}: {which} something ({dataset.relative(marked[0].masks[0])}); good images count as "
            "normal everywhere: move them to a defect, or remove these masks"
        )


_MARKING = "has a mask that marks", "have masks that mark"


def _which(count: int, of_all: int, one: str, more: str, kind: str = "defective") -> str:
    return f"{count} of {of_all} {kind} images {one if count == 1 else more}"
