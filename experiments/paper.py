r"""Reproduce the published comparison of WinCLIP and AnomalyCLIP on any data set.

    python -m experiments.paper --dataset=synthetic
    python -m experiments.paper --dataset=mvtec_ad --data_dir=~/mvtec_ad --out=paper \
        --weights=openai/clip-vit-large-patch14-336 --params=9_12_4_multiscale/epoch_15.pth \
        --feature_layers=24

The authors trained 9_12_4_multiscale on VisA to test MVTec AD, and 9_12_4_multiscale_visa on MVTec AD to test
VisA. The command warns when parameters are tested on the data set that they were trained on.

The command writes OUT/report.html, one page that opens without a network; OUT/metrics.json with all numbers
of the page; OUT/tables/*.csv and *.md; and OUT/figures/*.png and *.svg. --only=table1,figure5 makes only some
parts. All parts share the embeddings of all images in OUT/embeddings. Run parts are stored, and the same
command resumes an interrupted run.

--domains=mvtec_ad=~/mvtec_ad,visa=~/visa trains on each of these data sets and tests on the others.
--prompts=FILE adds your own prompts: {"normal": ["flawless {}"], "anomalous": ["{} with a crack"]}.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path, define_path_list
from vlmad_jax.data import DATASETS
from vlmad_jax.errors import InputError
from vlmad_jax.methods import AnomalyCLIP
from vlmad_jax.studies.config import Domain, PaperConfig, read_prompts
from vlmad_jax.studies.report import STUDIES, report

common.define_shared_flags()
DEFAULT = PaperConfig("", "")
common.define_method_options(AnomalyCLIP.options)
ONLY = flags.DEFINE_list("only", [], f"Parts to make: {', '.join(STUDIES)}; all if not given.")
SHOTS = flags.DEFINE_list(
    "shots", list(map(str, DEFAULT.shots)), "Numbers of reference images of each category, besides 0."
)
SEEDS = flags.DEFINE_list("seeds", list(map(str, DEFAULT.seeds)), "Seeds of the draws of reference images.")
PROMPTS = define_path("prompts", None, "JSON file of your own prompts.")
DOMAINS = define_path_list("domains", [], "Data sets to train on and test on, as NAME or NAME=DIRECTORY.")
EPOCHS = flags.DEFINE_integer("epochs", DEFAULT.epochs, "Epochs of training on each domain.", lower_bound=1)
CONTRASTS = flags.DEFINE_list(
    "contrasts", [], "Upper bounds of low and medium contrast; by default terciles."
)


def domains_from(values: list[str], dataset: str) -> tuple[Domain, ...]:
    """Return the value of `--domains`; by default both synthetic sets if `dataset` is synthetic."""
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
    """Return the value of `--contrasts`."""
    if not values:
        return None
    try:
        low, high = map(float, values)
    except ValueError:
        given = ",".join(values)
        raise InputError(f"--contrasts={given} are not two numbers; give for example 0.5,1.5") from None
    return low, high


def main() -> None:
    """Make the report that the flags describe."""
    values = flags.FLAGS
    shared = common.shared_settings()
    config = PaperConfig(
        **shared,
        anomalyclip=common.method_options(AnomalyCLIP.options),
        shots=common.numbers_from("shots", SHOTS.value),
        seeds=common.numbers_from("seeds", SEEDS.value),
        prompts=None if PROMPTS.value is None else read_prompts(PROMPTS.value),
        domains=domains_from(DOMAINS.value, shared["dataset"]),
        epochs=EPOCHS.value,
        contrasts=contrasts_from(CONTRASTS.value),
    )
    out = Path(values.out) if values.out else common.folder("paper", config, config.dataset)
    report(config, out, ONLY.value, values.resume, values.workers)
    print(f"the report is {out / 'report.html'}, and its numbers are in {out / 'metrics.json'}")
    common.mention_bundled(config.weights)


if __name__ == "__main__":
    common.main(main)
