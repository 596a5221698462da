"""The reference images of an evaluation."""

from __future__ import annotations

from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.references import draw_references, read_manifest
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig


def choose_references(config: EvaluationConfig, dataset: DataSet) -> dict[str, tuple[Sample, ...]]:
    """Return the reference images of each category, drawn or from the list; {} for zero-shot."""
    shots = config.shots
    if shots == 0 or shots == "batched":
        return {}
    if config.reference_list is None:
        return {name: draw_references(dataset, name, shots, config.seed) for name in dataset.categories}
    references = read_manifest(config.reference_list, dataset)
    for category, samples in references.items():
        if len(samples) != config.shots and config.shots != "all":
            raise InputError(
                f"{config.reference_list}: lists {len(samples)} images of {category}, "
                f"not --shots={config.shots}; give --shots={len(samples)}"
            )
    return references
