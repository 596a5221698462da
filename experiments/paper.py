"""Reproduces the tables and figures of a comparison of WinCLIP and AnomalyCLIP, on any data set.

    python -m experiments.paper --dataset=synthetic
    python -m experiments.paper --dataset=mvtec_ad --data_dir=~/mvtec_ad --out=paper \\
        --weights=openai/clip-vit-large-patch14-336 --params=9_12_4_multiscale/epoch_15.pth

The authors trained 9_12_4_multiscale on VisA, to test MVTec AD, and 9_12_4_multiscale_visa on MVTec AD, to
test VisA. A warning says where parameters are tested on what they were trained on.

Writes OUT/report.html, one page that opens without a network; OUT/metrics.json, all its numbers;
OUT/tables/*.csv and *.md; OUT/figures/*.png and *.svg. --only=table1,figure5 makes a part; all parts share
the embeddings of all images, in OUT/embeddings, and what was run once is kept, so that a second start goes
on, or only writes the files again.

--domains=mvtec_ad=~/mvtec_ad,visa=~/visa learns on each data set and tests on each other one.
--words=FILE compares your own sentences: {"good": ["flawless {}"], "defective": ["{} with a crack"]}.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path, define_path_list
from vlmad_jax.data import DATASETS
from vlmad_jax.errors import InputError
from vlmad_jax.studies.config import Domain, PaperConfig, read_words
from vlmad_jax.studies.report import STUDIES, report

common.define_shared_flags()
DEFAULT = PaperConfig("", "")
PARAMS = define_path("params", None, "AnomalyCLIP's prompts; those bundled with the weights if none.")
ONLY = flags.DEFINE_list("only", [], f"What to make, of {', '.join(STUDIES)}; everything if not given.")
SHOTS = flags.DEFINE_list("shots", list(map(str, DEFAULT.shots)), "Good samples of each category, beside 0.")
SEEDS = flags.DEFINE_list("seeds", list(map(str, DEFAULT.seeds)), "Of the draws of good samples.")
WORDS = define_path("words", None, "A JSON file of your own sentences.")
DOMAINS = define_path_list("domains", [], "Data sets to learn from and test on, NAME or NAME=DIRECTORY.")
EPOCHS = flags.DEFINE_integer("epochs", DEFAULT.epochs, "Of learning on each of them.", lower_bound=1)
CONTRASTS = flags.DEFINE_list("contrasts", [], "Bounds of low and medium contrast; terciles if not given.")


def domains_from(values: list[str], dataset: str) -> tuple[Domain, ...]:
    """The value of `--domains`; of synthetic images both sets, if it is not given."""
    if not values:
        return (Domain("synthetic_train"), Domain("synthetic")) if dataset == "synthetic" else ()
    pairs = [value.partition("=") for value in values]
    for name, _, _ in pairs:
        if name not in DATASETS:
            raise InputError(f"--domains: unknown data set {name!r}; choose from {', '.join(DATASETS)}")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise InputError(f"--domains={','.join(values)}: give each data set once")
    return tuple(Domain(name, directory or None) for name, _, directory in pairs)


def contrasts_from(values: list[str]) -> tuple[float, float] | None:
    """The value of `--contrasts`."""
    if not values:
        return None
    try:
        low, high = map(float, values)
    except ValueError:
        given = ",".join(values)
        raise InputError(f"--contrasts={given} are not two numbers; give for example 0.5,1.5") from None
    return low, high


def main() -> None:
    """Flags in, a report out."""
    values = flags.FLAGS
    shared = common.shared_settings()
    config = PaperConfig(
        **shared,
        params=PARAMS.value,
        shots=common.numbers_from("shots", SHOTS.value),
        seeds=common.numbers_from("seeds", SEEDS.value),
        words=None if WORDS.value is None else read_words(WORDS.value),
        domains=domains_from(DOMAINS.value, shared["dataset"]),
        epochs=EPOCHS.value,
        contrasts=contrasts_from(CONTRASTS.value),
    )
    out = Path(values.out) if values.out else common.folder("paper", config, config.dataset)
    report(config, out, ONLY.value, values.resume, values.workers)
    print(f"the report is {out / 'report.html'}, its numbers are in {out / 'metrics.json'}")
    common.mention_bundled(config.weights)


if __name__ == "__main__":
    common.main(main)
