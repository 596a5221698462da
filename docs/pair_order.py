"""Compare models on new pairs of images: of the families of the bundled model's training, or of photographs.

    python docs/pair_order.py weights/tiny results/pretrain/weights
    python docs/pair_order.py --photographs=photographs/held_out/objects weights/tiny results/pretrain/weights

For each model this prints how often the anomalous image of a pair has a higher score than its normal twin,
which differs in the defect and in noise alone. `prompt` is the cosine with WinCLIP's anomalous prompts minus
that with its normal ones; the second column compares with another normal image of the product instead of the
twin. `last` is the distance of the farthest patch to the nearest patch of that other image, in the last
layer, and `middle` the mean of these distances in the middle layers.

The pairs are of another seed than those of any training run, so that models, losses and lengths of training
can be chosen by these figures instead of by test sets. With --photographs the pairs are cut from photographs,
which should be others than those of training.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.clip import CLIP, load_clip
from vlmad_jax.pretraining.pairs import Pool
from vlmad_jax.pretraining.photographs import contents_of, photographs_in
from vlmad_jax.runtime.cache import fingerprint, software_versions
from vlmad_jax.scoring.neighbours import association_scores, normalise
from vlmad_jax.scoring.prompts import WINCLIP

SEED, BATCH = 99, 16
KINDS = ("normal", "anomalous", "reference")


def image_scores(clip: CLIP, pool: Pool) -> dict[str, dict[str, np.ndarray]]:
    """Return the scores (N,) by their name and the kind of image; the reference has a prompt score alone."""
    texts = (WINCLIP.normal("object"), WINCLIP.anomalous("object"))
    normal, anomalous = (normalise(normalise(clip.encode_text(x)).mean(axis=0)) for x in texts)
    middle, last = clip.middle_layers, len(clip.widths)
    variables = {"params": clip.params["vision"]}

    @jax.jit
    def features(images: jax.Array) -> tuple[jax.Array, list[jax.Array], jax.Array]:
        tokens = clip.extract(variables, images, middle)
        prompt = normalise(tokens.image) @ (anomalous - normal)
        return prompt, list(tokens.patches), clip.extract(variables, images, (last,), norm=True).patches[0]

    @jax.jit
    def farthest(patches: jax.Array, memory: jax.Array) -> jax.Array:
        return jax.vmap(association_scores)(patches, memory).max(axis=-1)

    found: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in ("prompt", "last", "middle")}
    for start in range(0, pool.size, BATCH):
        batch = {kind: features(pool.store.arrays[kind][start : start + BATCH]) for kind in KINDS}
        _, references, reference = batch["reference"]
        for kind in KINDS:
            prompt, layers, patches = batch[kind]
            found["prompt"].setdefault(kind, []).append(np.asarray(prompt))
            if kind != "reference":
                each = [farthest(x, y) for x, y in zip(layers, references, strict=True)]
                found["middle"].setdefault(kind, []).append(np.asarray(jnp.stack(each).mean(axis=0)))
                found["last"].setdefault(kind, []).append(np.asarray(farthest(patches, reference)))
    return {name: {kind: np.concatenate(x) for kind, x in kinds.items()} for name, kinds in found.items()}


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument(
        "--photographs", action="append", default=[], help="a folder; rendered pairs if not given"
    )
    parser.add_argument("--images", type=Path, default="results/pair_order", help="where the pairs are kept")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    photographs = photographs_in(options.photographs)
    print(f"{'prompt, twin':>12} {'prompt, other':>12} {'last, twin':>12} {'middle, twin':>12}")
    made_by = fingerprint([software_versions(), contents_of(photographs)])
    for weights in options.weights:
        clip = load_clip(weights)
        folder = options.images / f"{options.pairs}_{clip.image_size}_{made_by}"
        pool = Pool(
            folder,
            options.pairs,
            clip.image_size,
            SEED,
            second_normal_image=True,
            photographs=photographs,
            photographed_share=1.0 if photographs else 0.0,
        )
        pool.fill(options.workers)
        scores = image_scores(clip, pool)
        orders = [(scores[name]["anomalous"] > scores[name]["normal"]).mean() for name in scores]
        other = (scores["prompt"]["anomalous"] > scores["prompt"]["reference"]).mean()
        row = (orders[0], other, *orders[1:])
        print(*(f"{x:12.3f}" for x in row), weights)


if __name__ == "__main__":
    main()
