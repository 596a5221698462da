"""Small outputs of everything that is kept between runs, and those stored for the present `CACHE_VERSION`.

    python -m tests.kept_outputs

stores them anew, after numbers changed and `CACHE_VERSION` in vlmad_jax/runtime/cache.py was raised.
"""

import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from tests.golden import shallow_clip
from tests.methods.detectors import IMAGES, REFERENCES, published_prompts, shallow_anomalyclip
from vlmad_jax import PatchCore, WinCLIP
from vlmad_jax import synthetic as rendering
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.masks import read_mask, resize_mask
from vlmad_jax.methods.aprilgan import AprilGAN
from vlmad_jax.metrics import evaluate
from vlmad_jax.runtime.cache import CACHE_VERSION
from vlmad_jax.studies.embeddings import Encoder

Outputs = dict[str, np.ndarray]

STORED = Path(__file__).parent / f"golden/kept/version_{CACHE_VERSION}.npz"


def outputs() -> Outputs:
    """All of them by name."""
    found = {**rendered(), **read(), **encoded(), **scored()}
    return {name: np.asarray(jax.device_get(x)) for name, x in found.items()}


def rendered() -> dict[str, Any]:
    """Images of the synthetic set: of an object and of a surface, with masks."""
    found = {}
    for family in (rendering.TEST_FAMILIES[0], rendering.TEST_FAMILIES[-1]):
        product = rendering.make_product(family, (1, 2))
        defect = rendering.defects_of(family)[0]
        good, bad, mask = rendering.render_pair(product, defect, (3,), 32)
        found |= {f"rendered {family} {name}": x for name, x in zip("gbm", (good, bad, mask), strict=True)}
    return found


def read() -> dict[str, Any]:
    """Images and masks of several kinds, from files, resized."""
    ramp = np.arange(24 * 30, dtype=np.uint16).reshape(24, 30)
    kinds = {
        "grey": Image.fromarray((ramp % 256).astype(np.uint8)),
        "12 bits": Image.fromarray(ramp * 5),
        "transparent": Image.fromarray(np.stack([ramp % 256] * 4, axis=-1).astype(np.uint8), "RGBA"),
    }
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, image in kinds.items():
            path = Path(folder, f"{name}.png")
            image.save(path)
            found[f"read {name}"] = resize_image(open_image(path), 16)
        drawn = np.zeros((40, 50), np.uint8)
        drawn[7:9, 3:30] = 255
        Image.fromarray(drawn).save(Path(folder, "mask.png"))
        found["read mask"] = resize_mask(read_mask(Path(folder, "mask.png")), 16)
    return found


def encoded() -> dict[str, Any]:
    """What training, the studies and text features keep of the backbone."""
    clip = shallow_clip("winclip", 2)
    winclip, learning = WinCLIP(clip, (2, 3)), shallow_anomalyclip()
    april = AprilGAN(clip, clip.config.vision.image_size, (1, 2))
    sentences = ["a photo of a bottle.", "a photo of a damaged bottle."]
    found: dict[str, Any] = {"text": clip.encode_text(sentences)}
    kept = {
        "studies": (clip, Encoder(winclip, 2).encode),
        "anomalyclip": (learning.clip, learning.extract),
        "aprilgan": (clip, april.extract),
    }
    for name, (backbone, encode) in kept.items():
        image = resize_image(Image.fromarray(IMAGES[0]), backbone.config.vision.image_size)
        features = backbone.compile("vision", encode)(image[None])
        features = features if isinstance(features, dict) else features._asdict()
        found |= {f"{name} {part}": np.asarray(x).ravel()[::97] for part, x in features.items()}
    return found


def first_prompts() -> dict[str, np.ndarray]:
    """The published prompts, those of the first layers."""
    prompts = published_prompts()
    return {**prompts, "deep": prompts["deep"][:1]}


def scored() -> dict[str, Any]:
    """Scores and maps of methods, and their metrics."""
    clip = shallow_clip("winclip", 2)
    found: dict[str, Any] = {}
    for detector in (WinCLIP(clip, (2, 3)), PatchCore.for_backbone(clip), shallow_anomalyclip()):
        learned = detector.name == "anomalyclip"
        references, params = (None, first_prompts()) if learned else (REFERENCES, None)
        images = np.stack([resize_image(Image.fromarray(x), detector.size) for x in IMAGES])
        scores = detector.score(detector.prepare("bottle", references, params), images)
        found[f"{detector.name} scores"], maps = scores.image, np.asarray(scores.map)
        found[f"{detector.name} maps"] = maps[:, ::16, ::16]
    rng, labels = np.random.default_rng(0), np.array([0, 1, 0, 1])
    maps, masks = rng.random((4, 20, 20), np.float32), rng.random((4, 20, 20)) > 0.9
    figures = evaluate(maps.max(axis=(1, 2)), labels, maps, masks * labels[:, None, None])
    found["metrics"] = np.array(list(figures.values()), np.float64)
    return found


if __name__ == "__main__":
    jax.config.update("jax_disable_most_optimizations", True)  # as tests do
    np.savez_compressed(STORED, **outputs())
    print(f"stored {STORED}")
