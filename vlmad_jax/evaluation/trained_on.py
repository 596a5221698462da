"""The data set that learned parameters were trained on, and a warning if they are tested on it.

Our training stores it beside the parameters. Files of the methods' authors are recognised by their content,
or by the names that the authors gave them: AnomalyCLIP's `train.sh` trains `9_12_4_multiscale` on VisA to
test MVTec AD, and `9_12_4_multiscale_visa` on MVTec AD to test VisA. APRIL-GAN's files are named after the
data set that they were trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmad_jax.backbones.checkpoints.hub import BUNDLED_PARAMS, is_bundled
from vlmad_jax.data.samples import GOOD, DataSet, Sample
from vlmad_jax.methods.learned import is_params_folder, read_description
from vlmad_jax.report.published import published_defects
from vlmad_jax.runtime.notices import print_stderr, warn

# SHA-256 of AnomalyCLIP's epoch_15.pth in its repository at 3911738.
BY_CONTENT = {
    "94ce202da3e6486a864b904fdfed5057de75846c5834e446fd1d2fe7f97acb44": "visa",
    "415c5dcb52668b8c33fb9c1a351c686d632b919df5b384d63fa9ce7a2338ced4": "mvtec_ad",
}
BY_NAME = {
    "9_12_4_multiscale": "visa",
    "9_12_4_multiscale_visa": "mvtec_ad",
    "visa_pretrained": "visa",
    "mvtec_pretrained": "mvtec_ad",
}
VISA_CATEGORIES = {
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "pipe_fryum", "macaroni1", "macaroni2"),
    *("pcb1", "pcb2", "pcb3", "pcb4"),
}
# Digits of an image's digest that are stored beside parameters. Among ten million images, about two share
# them by chance.
DIGITS = 12


@dataclass(frozen=True)
class Training:
    """The training data of learned parameters.

    Attributes:
      dataset: A name of `data.DATASETS`.
      known_by: How the data set was recognised, for a message.
      categories: The categories; all if empty.
      images: The first `DIGITS` digits of the digest of each image; empty if unknown.
    """

    dataset: str
    known_by: str
    categories: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()


def record(dataset: DataSet, samples: Iterable[Sample]) -> dict[str, Any]:
    """Return the entry that training stores beside its parameters: data set, categories and images."""
    images = {dataset.contents[sample.path][:DIGITS] for sample in samples}
    return {"dataset": dataset.name, "categories": list(dataset.categories), "images": sorted(images)}


def training_of(path: str | Path) -> Training | None:
    """Return the training data of the parameters at `path`; None if it is unknown.

    Raises:
      InputError: A folder has no readable description.
    """
    path = Path(path).expanduser()
    if not is_params_folder(path):
        return _of_authors_file(path)
    found = read_description(path).get("trained_on")
    if found is None:
        return None
    categories, images = (frozenset(found.get(name, ())) for name in ("categories", "images"))
    return Training(found["dataset"], "its params.json", categories, images)


def _of_authors_file(path: Path) -> Training | None:
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    if content in BY_CONTENT:
        return Training(BY_CONTENT[content], "its content")
    resolved = path.resolve()
    names = [path.stem, *reversed(path.parent.parts), resolved.stem, *reversed(resolved.parent.parts)]
    known = next((name for name in map(str.lower, names) if name in BY_NAME), None)
    return None if known is None else Training(BY_NAME[known], f"the name {known}")


def report_training_data(method: str, weights: str, params: str | None, dataset: DataSet) -> None:
    """Report the training data of files of the authors, and warn if parameters are tested on their own.

    Args:
      method: The name of a method that takes learned parameters.
      weights: The directory or hub id of the backbone.
      params: The path of the parameters; None means those bundled with the weights.
      dataset: The tested data set.
    """
    bundled = {name: str(path) for name, path in BUNDLED_PARAMS.items()} if is_bundled(weights) else {}
    path = params or bundled.get("anomalyclip" if method == "hybrid" else method)
    training = None if path is None else training_of(path)
    if path is None or training is None:
        return
    if not is_params_folder(Path(path).expanduser()):
        print_stderr(f"{path}: was trained on {training.dataset}, according to {training.known_by}")
    if overlap := overlap_of(training, dataset):
        warn(
            f"{path}: was trained on {training.dataset}, and {overlap}, so the results say nothing about "
            "unseen objects; test another data set, or give --params trained on another"
        )


def overlap_of(training: Training, dataset: DataSet) -> str | None:
    """Describe the overlap of the training data with the tested data set; None if none is known."""
    tested = [sample for name in dataset.categories for sample in dataset.select(name, "test")]
    if training.images:
        seen = sum(dataset.contents[sample.path][:DIGITS] in training.images for sample in tested)
        if seen:
            return f"{seen} of the {len(tested)} tested images are among those"
    names = set(dataset.categories) & (training.categories or {*dataset.categories})
    if dataset.name == training.dataset != "folder" and names:
        return "that is the tested data set"
    if dataset.name == "folder" and training.dataset in resembled(dataset):
        return f"{dataset.root} looks like it"
    return None


def resembled(dataset: DataSet) -> set[str]:
    """Return the published data sets that a folder resembles in the names of its categories and defects."""
    found = set()
    defects = {
        name: {sample.defect for sample in dataset.select(name, "test")} - {GOOD}
        for name in dataset.categories
    }
    published = {name: set(kinds) for name, kinds in published_defects().items()}
    if any(defects[name] == published[name] for name in defects.keys() & published.keys()):
        found.add("mvtec_ad")
    visa = [name for name in defects if name in VISA_CATEGORIES and defects[name] in ({"bad"}, {"anomaly"})]
    # A single category with such a name can be the user's own.
    if len(visa) > 1:
        found.add("visa")
    return found
