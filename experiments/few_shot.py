"""Evaluates a method with a few good samples of each product.

    python -m experiments.few_shot --method=winclip --shots=4

Needs no download. On two cores of an AMD EPYC it takes 16 s and ends with a mean image AUROC of 0.863 and
pixel AUROC of 0.919.

The samples are drawn from the good training pictures by `--seed`; which they were is written to
`references.json` of the results, and `--references` takes such a file instead of drawing.
"""

from absl import flags

from experiments import common

common.define_flags(sample_flags=True)


def main() -> None:
    """Flags in, a table and files out."""
    config = common.config_from_flags(flags.FLAGS.shots, flags.FLAGS.references)
    common.run(config, common.out_from_flags("few_shot", config))


if __name__ == "__main__":
    common.main(main)
