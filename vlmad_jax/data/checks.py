"""What must hold of a data set before anything is computed from it."""

from collections.abc import Sequence

from vlmad_jax.data.images import shown_size
from vlmad_jax.data.samples import DataSet, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import named


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
