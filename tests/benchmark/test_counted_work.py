"""Tests that the counted work of scoring does not grow.

Unlike seconds, the numbers of operations, programs and bytes do not depend on the machine. Lower the expected
numbers when the work shrinks.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.golden import golden_clip
from tests.methods.detectors import REFERENCES, winclip
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.methods import AnomalyCLIP, Detector, MethodOptions

SIDE = 64  # of the images, in pixels


def zero_shot() -> tuple[Detector, Any]:
    return winclip(), jax.eval_shape(lambda: winclip().prepare("bottle"))


def few_shot() -> tuple[Detector, Any]:
    return winclip(), jax.eval_shape(lambda: winclip().prepare("bottle", REFERENCES))


def anomalyclip() -> tuple[Detector, Any]:
    detector = AnomalyCLIP.for_backbone(golden_clip("anomalyclip"))
    return detector, jax.eval_shape(lambda: detector.prepare(params=detector.init(jax.random.key(0))))


@pytest.mark.parametrize(
    ("made", "expected"), [(zero_shot, 961.0e6), (few_shot, 989.4e6), (anomalyclip, 177.5e6)]
)
def test_operations_of_an_image(made: Any, expected: float) -> None:
    """XLA counts the operations of the uncompiled program for one image and the reference checkpoints."""
    detector, state = made()
    image = np.zeros((1, *detector.size, 3), np.uint8)
    counted = jax.jit(detector.score).lower(state, image).cost_analysis()["flops"]
    assert counted == pytest.approx(expected, rel=0.01)


@pytest.mark.usefixtures("evaluating")
@pytest.mark.parametrize(("shots", "expected"), [(0, 10), (2, 16)])
def test_programs_and_bytes_of_an_evaluation(
    folder: Path,
    weights: Path,
    tmp_path: Path,
    compilations: list[str],
    monkeypatch: pytest.MonkeyPatch,
    shots: int,
    expected: int,
) -> None:
    """Categories share all programs, and an image is transferred as one byte a channel and pixel."""
    sent: list[int] = []
    put = jax.device_put

    def device_put(tree: Any, *arguments: Any) -> Any:
        sent.extend(x.nbytes for x in jax.tree.leaves(tree) if isinstance(x, np.ndarray))
        return put(tree, *arguments)

    monkeypatch.setattr(jax, "device_put", device_put)
    programs = {}
    for categories in (("bottle",), ("bottle", "metal_nut")):
        config = EvaluationConfig(
            "winclip",
            str(weights),
            "folder",
            str(folder),
            categories,
            5,
            options=MethodOptions(window_sizes=(2,)),
            shots=shots,
        )
        jax.clear_caches()
        del compilations[:], sent[:]
        evaluate(config, tmp_path / "-".join(categories))
        programs[len(categories)] = len(compilations)
        assert sent == [5 * 3 * SIDE * SIDE] * len(categories)  # one batch for each category
    assert programs[1] <= expected
    assert programs[2] - programs[1] <= 1  # prompts of another length
