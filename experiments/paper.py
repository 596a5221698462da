r"""Reproduce the published comparison of WinCLIP and AnomalyCLIP, or compare two other methods like this.

    python -m experiments.paper --dataset=synthetic
    python -m experiments.paper --dataset=synthetic --quick
    python -m experiments.paper --dataset=mvtec_ad --data_dir=~/mvtec_ad --out=paper \
        --weights=openai/clip-vit-large-patch14-336 --params=9_12_4_multiscale/epoch_15.pth \
        --feature_layers=24
    python -m experiments.paper --methods=winclip,subspacead --dataset=synthetic
    python -m experiments.paper --methods=subspacead,patchcore --weights=efficientnet-lite0 --dataset=elpv

The authors trained 9_12_4_multiscale on VisA to test MVTec AD, and 9_12_4_multiscale_visa on MVTec AD to test
VisA. The command warns when parameters are tested on the data set that they were trained on.

The command writes OUT/report.html, one page that opens without a network; OUT/metrics.json with all numbers
of the page; OUT/tables/*.csv and *.md; and OUT/figures/*.png and *.svg. --only=table1,figure5 makes only some
parts. All runs of WinCLIP share the embeddings of all images in OUT/embeddings. Run parts are stored, and the
same command resumes an interrupted run.

The first of the --methods stands in WinCLIP's place and the second in AnomalyCLIP's. A method that needs
reference images is shown with the largest number of --shots. Parts that neither method has are left out, and
the report says so. The flags of methods' options apply to those of the two that have the option;
--params=aprilgan=FILE,coop=FOLDER names the parameters of two methods that learn.

--domains=mvtec_ad=~/mvtec_ad,visa=~/visa trains on each of these data sets and tests on the others.
--prompts=FILE adds your own prompts: {"normal": ["flawless {}"], "anomalous": ["{} with a crack"]}.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common, paper
from vlmad_jax.commands.compared import params_by_method
from vlmad_jax.commands.paths import define_path, define_path_list
from vlmad_jax.methods import METHODS
from vlmad_jax.studies.config import PaperConfig, read_prompts
from vlmad_jax.studies.report import STUDIES, report

common.define_shared_flags()
DEFAULT = PaperConfig("", "")
common.define_method_options(common.COMMON_OPTIONS)
METHOD_NAMES = flags.DEFINE_list("methods", list(DEFAULT.methods), f"Two methods: {', '.join(METHODS)}.")
PARAMS = define_path_list(
    "params",
    [],
    "Learned parameters: a path, or METHOD=PATH,METHOD=PATH if several methods learn. hybrid takes those of "
    "anomalyclip, unless it has its own.",
)
ONLY = flags.DEFINE_list("only", [], f"Parts to make: {', '.join(STUDIES)}; all if not given.")
SHOTS = flags.DEFINE_list(
    "shots", list(map(str, DEFAULT.shots)), "Numbers of reference images of each category, besides 0."
)
SEEDS = flags.DEFINE_list("seeds", list(map(str, DEFAULT.seeds)), "Seeds of the draws of reference images.")
PROMPTS = define_path("prompts", None, "JSON file of your own prompts.")
DOMAINS = define_path_list("domains", [], "Data sets to train on and test on, as NAME or NAME=DIRECTORY.")
EPOCHS = flags.DEFINE_integer("epochs", DEFAULT.epochs, "Epochs of training on each domain.", lower_bound=1)
QUICK = flags.DEFINE_bool("quick", False, "Show less: few images, one draw, no training, no times.")
CONTRASTS = flags.DEFINE_list(
    "contrasts", [], "Upper bounds of low and medium contrast; by default terciles."
)


def main() -> None:
    """Make the report that the flags describe."""
    values = flags.FLAGS
    shared = common.shared_settings()
    methods = tuple(METHOD_NAMES.value)
    config = PaperConfig(
        **shared,
        options=common.method_options(common.COMMON_OPTIONS),
        shots=common.numbers_from("shots", SHOTS.value),
        seeds=common.numbers_from("seeds", SEEDS.value),
        prompts=None if PROMPTS.value is None else read_prompts(PROMPTS.value),
        domains=paper.domains_from(DOMAINS.value, shared["dataset"]),
        epochs=EPOCHS.value,
        contrasts=paper.contrasts_from(CONTRASTS.value),
        methods=methods,
        params=tuple(params_by_method(PARAMS.value, methods).items()),
        quick=QUICK.value,
    )
    out = Path(values.out) if values.out else common.folder("paper", config, config.dataset)
    report(config, out, ONLY.value, values.resume, values.workers)
    print(f"the report is {out / 'report.html'}, and its numbers are in {out / 'metrics.json'}")
    common.mention_bundled(config.weights)


if __name__ == "__main__":
    common.main(main)
