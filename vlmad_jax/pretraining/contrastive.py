"""The losses that make a small CLIP from rendered pairs of good and defective images.

Of six terms, four are cross-entropies over cosines times the learned scale:

- `contrast`: images against captions that name their object, both ways (Radford et al. 2021, figure 3);
  captions of the same object and state are all right answers, so the targets are spread over them;
- `state`: an image against the two captions of its own object, good and defective: WinCLIP's question;
- `pair`: the defective image of a pair against its good twin, which differs in nothing else, and against
  another good image of the product, if there is one: its difference of cosines should be the larger one.
  AUROC asks for this order, not for a level that all objects share;
- `window`: the same question asked of windows of patches, the class token before them, which is how WinCLIP
  will read the encoder.

The fifth, `patch`, asks a linear head whether each patch is defective. Captions say one word of an image
where masks say one of every patch: a small model then finds defects within an hour of training;
the head is thrown away.

The sixth, `reference`, asks the same of a patch's distance to the nearest patch of that other good image,
which is how WinCLIP reads good samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vlmad_jax.backbones.config import CLIPConfig
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.backbones.vit import TextTransformer, VisionTransformer
from vlmad_jax.errors import InputError
from vlmad_jax.pretraining.pairs import WINDOW_SIZES
from vlmad_jax.scoring.neighbours import association_scores, normalise
from vlmad_jax.training.step import Loss, LossTerms

# The state of whole images, which image scores are read from, is the slowest to be learned.
WEIGHTS = {"contrast": 0.25, "state": 2.0, "pair": 2.0, "window": 1.0, "patch": 4.0, "reference": 4.0}
LARGEST_SCALE = 100.0  # that is learned, as CLIP clips it
# From this share of defective pixels on a patch counts as defective.
DEFECTIVE_PATCH = 0.05
DEFECTIVE_WEIGHT = 5.0
# The distance to the nearest good patch, of 0 to 1, that is as likely of a defective patch as of a good one;
# and the log odds that a patch at no distance is good.
EVEN_DISTANCE = 0.2
SURELY_GOOD = 4.0


def make_loss(
    config: CLIPConfig,
    dtype: str,
    leave_out: Sequence[str] = (),
    references: bool = False,
    hold_scale: bool = False,
    even_distance: float = EVEN_DISTANCE,
) -> Loss:
    """The loss of `CLIPModule`'s parameters on a batch of `pretraining.pairs`, without the terms left out.

    With `references`, batches have another good image of each pair: for the term `reference`, and one more
    for `state`, `pair` and `patch`. With `hold_scale` the scale of cosines is not learned. `even_distance` is
    the distance, of 0 to 1, from which on `reference` takes a patch for defective.

    Raises:
      InputError: there is no such term, or none is left.
    """
    weights = {
        name: weight
        for name, weight in WEIGHTS.items()
        if name not in leave_out and (references or name != "reference")
    }
    if not weights or set(leave_out) - set(WEIGHTS):
        raise InputError(
            f"--leave_out={','.join(leave_out)} has to name some of {', '.join(WEIGHTS)}, not all"
        )
    vision, text = VisionTransformer(config, dtype), TextTransformer(config, dtype)

    def loss(params: Any, context: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, LossTerms]:
        del context  # nothing is frozen
        params, head = params["clip"], params["patch_head"]
        scale = jnp.exp(params["logit_scale"])
        scale = jax.lax.stop_gradient(scale) if hold_scale else jnp.minimum(scale, LARGEST_SCALE)
        kinds = ("good", "bad", "reference") if references else ("good", "bad")
        images = jnp.concatenate([batch[kind] for kind in kinds])  # (KB, S, S, 3): K kinds of B images
        encoder = vision.bind({"params": params["vision"]})
        tokens = encoder.embed(images)  # (KB, 1 + P, D)

        def encode(tokens: jax.Array) -> jax.Array:
            return normalise(encoder.encode_tokens(tokens))

        named = jnp.concatenate([batch["good_caption"], batch["bad_caption"]])
        states = jnp.concatenate([batch["normal_caption"], batch["anomalous_caption"]])
        captions, _ = text.bind({"params": params["text"]})(jnp.concatenate([named, states]))
        named, states = jnp.split(normalise(captions), 2)  # (2B, E) each
        normal, anomalous = (jnp.tile(x, (len(kinds), 1)) for x in jnp.split(states, 2))  # (KB, E)
        hidden, _ = encoder.transform(tokens)
        embeddings = normalise(encoder.project(hidden[:, 0]))
        patches = encoder.norm(hidden[:, 1:])  # (KB, P, D)
        share = batch["share"].reshape(len(batch["share"]), -1)  # (B, P)
        share = jnp.concatenate([share if kind == "bad" else jnp.zeros_like(share) for kind in kinds])
        group = jnp.concatenate([batch["group"] * 2, batch["group"] * 2 + 1])
        label = jnp.repeat(jnp.array([kind == "bad" for kind in kinds], jnp.float32), len(batch["group"]))
        pairs = 2 * len(batch["group"])
        parts = {
            "contrast": contrast(embeddings[:pairs], named, group, scale),
            "pair": pair_loss(embeddings, normal, anomalous, scale, len(kinds)),
            "state": state_loss(embeddings, normal, anomalous, label, jnp.ones_like(label), scale),
            "patch": patch_loss(einsum("npd,d->np", patches, head["kernel"]) + head["bias"], share),
            "window": windows_loss(encode, tokens[:pairs], batch, normal[:pairs], anomalous[:pairs], scale),
        }
        if references:
            parts["reference"] = reference_loss(
                patches[:pairs], patches[pairs:], share[:pairs], even_distance
            )
        kept = {name: parts[name] for name in weights}
        return sum((weights[name] * part for name, part in kept.items()), jnp.zeros(())), kept

    return loss


def windows_loss(
    encode: Callable[[jax.Array], jax.Array],
    tokens: jax.Array,
    batch: dict[str, jax.Array],
    normal: jax.Array,
    anomalous: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    """`state_loss` of the small and of the large windows of images, the mean of both.

    `encode` makes embeddings (2B, E) of tokens (2B, 1 + n, D); tokens (2B, 1 + P, D), good images first.
    """
    losses = [
        state_loss(
            encode(window_tokens(tokens, stacked(batch[f"{name}_patches"]))),
            normal,
            anomalous,
            stacked(batch[f"{name}_label"]),
            stacked(batch[f"{name}_weight"]),
            scale,
        )
        for name in WINDOW_SIZES
    ]
    return jnp.stack(losses).mean()


def stacked(pairs: jax.Array) -> jax.Array:
    """Fields of the good and bad image of each pair (B, 2, ...) -> (2B, ...), the good images' first."""
    return pairs.swapaxes(0, 1).reshape(-1, *pairs.shape[2:])


def window_tokens(tokens: jax.Array, patches: jax.Array) -> jax.Array:
    """The class token and one window's patches of each image: (B, 1 + P, D), (B, n) -> (B, 1 + n, D)."""
    window = jnp.take_along_axis(tokens, patches[:, :, None] + 1, axis=1)
    return jnp.concatenate([tokens[:, :1], window], axis=1)


def contrast(images: jax.Array, texts: jax.Array, group: jax.Array, scale: jax.Array) -> jax.Array:
    """CLIP's symmetric loss, (N, E) against (N, E), where all of one group (N,) are right answers."""
    logits = scale * einsum("ie,te->it", images, texts)  # (N, N)
    same = (group[:, None] == group[None, :]).astype(jnp.float32)
    targets = same / same.sum(axis=1, keepdims=True)
    both = optax.softmax_cross_entropy(logits, targets) + optax.softmax_cross_entropy(logits.T, targets)
    return both.mean() / 2


def state_loss(
    images: jax.Array,
    normal: jax.Array,
    anomalous: jax.Array,
    label: jax.Array,
    weight: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    """Binary cross-entropy of good against defective: (N, E) x 3, label and weight (N,)."""
    losses = optax.sigmoid_binary_cross_entropy(state_logits(images, normal, anomalous, scale), label)
    return (losses * weight).sum() / jnp.maximum(weight.sum(), 1)


def pair_loss(
    images: jax.Array, normal: jax.Array, anomalous: jax.Array, scale: jax.Array, kinds: int = 2
) -> jax.Array:
    """-log sigmoid of how much more defective the bad image of a pair looks than the good ones do.

    `kinds` images of each pair, its good, its bad and perhaps another good one: (kinds * B, E) x 3.
    """
    good, bad, *others = jnp.split(state_logits(images, normal, anomalous, scale), kinds)
    return jax.nn.softplus(jnp.stack([good, *others]) - bad).mean()


def state_logits(images: jax.Array, normal: jax.Array, anomalous: jax.Array, scale: jax.Array) -> jax.Array:
    """How much nearer to the defective caption than to the good one: (N, E) x 3 -> (N,)."""
    return scale * (images * (anomalous - normal)).sum(axis=-1)


def patch_loss(logits: jax.Array, share: jax.Array) -> jax.Array:
    """Binary cross-entropy of each patch (N, P), defective where its defective share is large enough.

    Patches with less are left out; defective ones, of which there are few, count several times.
    """
    defective = share >= DEFECTIVE_PATCH
    weight = jnp.where(defective, DEFECTIVE_WEIGHT, (share == 0).astype(jnp.float32))
    losses = optax.sigmoid_binary_cross_entropy(logits, defective.astype(jnp.float32))
    return (losses * weight).sum() / weight.sum()


def reference_loss(
    patches: jax.Array, memory: jax.Array, share: jax.Array, even_distance: float = EVEN_DISTANCE
) -> jax.Array:
    """`patch_loss` of how far patches are from another good image's.

    Patches (2B, P, D), those of good images first, memory (B, M, D), share (2B, P).
    """
    distances = jax.vmap(association_scores)(jnp.stack(jnp.split(patches, 2), axis=1), memory)  # (B, 2, P)
    logits = SURELY_GOOD * (distances / even_distance - 1)
    return patch_loss(logits.swapaxes(0, 1).reshape(share.shape), share)


def patch_head(config: CLIPConfig) -> dict[str, jax.Array]:
    """Fresh parameters of the linear head."""
    return {"kernel": jnp.zeros(config.vision.width), "bias": jnp.zeros(())}
