"""The losses that train a small CLIP on pairs of a normal and an anomalous image.

The loss has up to eight terms. Four are cross-entropies of cosines times the logit scale:

- `contrast` matches images with captions that name their object, in both directions (Radford et al. 2021,
  figure 3). All captions of the same object and state are correct, so that the targets are spread over them.
  Pairs cut from photographs have no names, and are only among the wrong choices.
- `state` matches an image with the normal and the anomalous caption of its object, as WinCLIP does.
- `pair` ranks the anomalous image of a pair above its normal twin, which differs in the defect alone, and
  above the second normal image of the product, if there is one. AUROC depends on this order, and not on a
  level that all objects share.
- `window` is `state` for windows of patches, each encoded after the class token, as WinCLIP encodes them.

The fifth term, `patch`, trains a linear head to classify each patch as normal or anomalous. Captions label
images, but masks label every patch, so that a small model learns to find defects within an hour. The head is
not part of the trained model.

The sixth term, `reference`, classifies each patch by its distance to the nearest patch of the second normal
image, as WinCLIP does with reference images.

The last two, `teacher_patches` and `teacher_image`, are the errors of predicting the features of another
network on further images, see `pretraining.teacher`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vlmad_jax.backbones.config import CLIPConfig
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.backbones.text_transformer import TextTransformer
from vlmad_jax.backbones.vit import VisionTransformer
from vlmad_jax.errors import InputError
from vlmad_jax.pretraining.pairs import PHOTOGRAPHED, WINDOW_SIZES
from vlmad_jax.pretraining.teacher import TERMS, teacher_errors
from vlmad_jax.scoring.neighbours import association_scores, normalise
from vlmad_jax.training.step import Loss, LossTerms

# The state of whole images, which image scores depend on, is learned most slowly.
WEIGHTS = {
    "contrast": 0.25,
    "state": 2.0,
    "pair": 2.0,
    "window": 1.0,
    "patch": 4.0,
    "reference": 4.0,
    "teacher_patches": 8.0,
    "teacher_image": 1.0,
}
LARGEST_SCALE = 100.0  # the bound of a learned logit scale, as in CLIP
# A patch with at least this share of anomalous pixels is anomalous.
ANOMALOUS_PATCH_SHARE = 0.05
ANOMALOUS_PATCH_WEIGHT = 5.0
# The distance to the nearest normal patch, 0 to 1, at which a patch is equally likely normal or anomalous,
# and the log odds that a patch at distance 0 is normal.
EVEN_ODDS_DISTANCE = 0.2
ZERO_DISTANCE_LOG_ODDS = 4.0


def make_loss(
    config: CLIPConfig,
    dtype: str,
    leave_out: Sequence[str] = (),
    second_normal_image: bool = False,
    fixed_logit_scale: bool = False,
    even_odds_distance: float = EVEN_ODDS_DISTANCE,
    teacher: bool = False,
) -> Loss:
    """Return the loss of a CLIP's parameters on a batch of `pretraining.pairs`.

    The context of the loss holds the moments of the teacher's features, if there is a teacher.

    Args:
      config: The configuration of the CLIP.
      dtype: The type of matrix products, "float32" or "bfloat16".
      leave_out: The names of terms to leave out.
      second_normal_image: Whether batches have a second normal image of each pair's product. `reference`
        needs it, and `state`, `pair` and `patch` use it too.
      fixed_logit_scale: Whether the logit scale keeps its initial value.
      even_odds_distance: The distance to the nearest reference patch, 0 to 1, at which `reference` considers
        a patch equally likely normal or anomalous.
      teacher: Whether batches have crops with a teacher's features.

    Raises:
      InputError: `leave_out` has an unknown name or all names.
    """
    absent = {*leave_out, *(() if second_normal_image else ("reference",)), *(() if teacher else TERMS)}
    weights = {name: weight for name, weight in WEIGHTS.items() if name not in absent}
    if not weights or set(leave_out) - set(WEIGHTS):
        raise InputError(f"--leave_out={','.join(leave_out)}: give some of {', '.join(WEIGHTS)}, but not all")
    vision, text = VisionTransformer(config.vit(), dtype), TextTransformer(config.text_transformer, dtype)

    def loss(params: Any, context: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, LossTerms]:
        heads, params, head = params.get("teacher"), params["clip"], params["patch_head"]
        scale = jnp.exp(params["logit_scale"])
        scale = jax.lax.stop_gradient(scale) if fixed_logit_scale else jnp.minimum(scale, LARGEST_SCALE)
        kinds = ("normal", "anomalous", *(("reference",) if second_normal_image else ()))
        images = jnp.concatenate([batch[kind] for kind in kinds])  # (KB, S, S, 3): K kinds of B images
        encoder = vision.bind({"params": params["vision"]})
        tokens = encoder.embed(images)  # (KB, 1 + P, D)

        def encode(tokens: jax.Array) -> jax.Array:
            return normalise(encoder.encode_tokens(tokens))

        named = jnp.concatenate([batch[f"{kind}_contrast_caption"] for kind in kinds[:2]])
        states = jnp.concatenate([batch[f"{kind}_state_caption"] for kind in kinds[:2]])
        captions, _ = text.bind({"params": params["text"]})(jnp.concatenate([named, states]))
        named, states = jnp.split(normalise(captions), 2)  # (2B, E) each
        normal, anomalous = (jnp.tile(x, (len(kinds), 1)) for x in jnp.split(states, 2))  # (KB, E)
        hidden, _ = encoder.transform(tokens)
        embeddings = normalise(encoder.project(hidden[:, 0]))
        patches = encoder.norm(hidden[:, 1:])  # (KB, P, D)
        share = batch["share"].reshape(len(batch["share"]), -1)  # (B, P)
        share = jnp.concatenate([share if kind == "anomalous" else jnp.zeros_like(share) for kind in kinds])
        group = jnp.concatenate([batch["group"] * 2, batch["group"] * 2 + 1])
        label = jnp.repeat(
            jnp.array([kind == "anomalous" for kind in kinds], jnp.float32), len(batch["group"])
        )
        pairs = 2 * len(batch["group"])
        parts = {
            "contrast": contrast(
                embeddings[:pairs], named, group, scale, jnp.tile(batch["group"] != PHOTOGRAPHED, 2)
            ),
            "pair": pair_loss(embeddings, normal, anomalous, scale, len(kinds)),
            "state": state_loss(embeddings, normal, anomalous, label, jnp.ones_like(label), scale),
            "patch": patch_loss(einsum("npd,d->np", patches, head["kernel"]) + head["bias"], share),
            "window": windows_loss(encode, tokens[:pairs], batch, normal[:pairs], anomalous[:pairs], scale),
        }
        if second_normal_image:
            parts["reference"] = reference_loss(
                patches[:pairs], patches[pairs:], share[:pairs], even_odds_distance
            )
        if teacher:
            parts |= teacher_errors(encoder, heads, batch, context)
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
    """Return the mean of `state_loss` over the small and the large windows of images.

    Args:
      encode: Tokens (2B, 1 + n, D) -> embeddings (2B, E).
      tokens: The tokens of the normal images, then of the anomalous ones (2B, 1 + P, D).
      batch: The windows' patches, labels and weights.
      normal: The embeddings of normal captions (2B, E).
      anomalous: The embeddings of anomalous captions (2B, E).
      scale: The logit scale.
    """
    losses = [
        state_loss(
            encode(window_tokens(tokens, stack_pairs(batch[f"{name}_patches"]))),
            normal,
            anomalous,
            stack_pairs(batch[f"{name}_label"]),
            stack_pairs(batch[f"{name}_weight"]),
            scale,
        )
        for name in WINDOW_SIZES
    ]
    return jnp.stack(losses).mean()


def stack_pairs(pairs: jax.Array) -> jax.Array:
    """Stack the values of each pair (B, 2, ...) -> (2B, ...), those of all normal images first."""
    return pairs.swapaxes(0, 1).reshape(-1, *pairs.shape[2:])


def window_tokens(tokens: jax.Array, patches: jax.Array) -> jax.Array:
    """Select the class token and a window's patches of each image: (B, 1 + P, D), (B, n) -> (B, 1 + n, D)."""
    window = jnp.take_along_axis(tokens, patches[:, :, None] + 1, axis=1)
    return jnp.concatenate([tokens[:, :1], window], axis=1)


def contrast(
    images: jax.Array, texts: jax.Array, group: jax.Array, scale: jax.Array, has_name: jax.Array
) -> jax.Array:
    """Return CLIP's symmetric loss of (N, E) and (N, E), where all of the same group (N,) match.

    It is the mean over the images and captions with `has_name`, bool (N,), or 0 if none has.
    """
    logits = scale * einsum("ie,te->it", images, texts)  # (N, N)
    same = (group[:, None] == group[None, :]).astype(jnp.float32)
    targets = same / same.sum(axis=1, keepdims=True)
    both = optax.softmax_cross_entropy(logits, targets) + optax.softmax_cross_entropy(logits.T, targets)
    return (both * has_name).sum() / jnp.maximum(has_name.sum(), 1) / 2


def state_loss(
    images: jax.Array,
    normal: jax.Array,
    anomalous: jax.Array,
    label: jax.Array,
    weight: jax.Array,
    scale: jax.Array,
) -> jax.Array:
    """Return the weighted binary cross-entropy of the states: (N, E) x 3, label and weight (N,)."""
    losses = optax.sigmoid_binary_cross_entropy(state_logits(images, normal, anomalous, scale), label)
    return (losses * weight).sum() / jnp.maximum(weight.sum(), 1)


def pair_loss(
    images: jax.Array, normal: jax.Array, anomalous: jax.Array, scale: jax.Array, kinds: int = 2
) -> jax.Array:
    """Return -log sigmoid of the logit of each pair's anomalous image minus that of its normal ones.

    The (kinds * B, E) x 3 embeddings belong to all normal images, then to the anomalous ones, and then to the
    second normal ones if `kinds` is 3.
    """
    normal_logits, anomalous_logits, *others = jnp.split(
        state_logits(images, normal, anomalous, scale), kinds
    )
    return jax.nn.softplus(jnp.stack([normal_logits, *others]) - anomalous_logits).mean()


def state_logits(images: jax.Array, normal: jax.Array, anomalous: jax.Array, scale: jax.Array) -> jax.Array:
    """Return the logits of anomalous against normal: (N, E) x 3 -> (N,)."""
    return scale * (images * (anomalous - normal)).sum(axis=-1)


def patch_loss(logits: jax.Array, share: jax.Array) -> jax.Array:
    """Return the weighted binary cross-entropy of patches (N, P), given their anomalous shares (N, P).

    Patches with a share between 0 and `ANOMALOUS_PATCH_SHARE` have no weight. Anomalous patches, which are
    rare, have the weight `ANOMALOUS_PATCH_WEIGHT`.
    """
    anomalous = share >= ANOMALOUS_PATCH_SHARE
    weight = jnp.where(anomalous, ANOMALOUS_PATCH_WEIGHT, (share == 0).astype(jnp.float32))
    losses = optax.sigmoid_binary_cross_entropy(logits, anomalous.astype(jnp.float32))
    return (losses * weight).sum() / weight.sum()


def reference_loss(
    patches: jax.Array, memory: jax.Array, share: jax.Array, even_odds_distance: float = EVEN_ODDS_DISTANCE
) -> jax.Array:
    """Return `patch_loss` of logits that grow with the distance to the nearest reference patch.

    Args:
      patches: The patches of the normal images, then of the anomalous ones (2B, P, D).
      memory: The reference patches of each pair (B, M, D).
      share: The anomalous share of each patch (2B, P).
      even_odds_distance: The distance at which the logit is 0.
    """
    distances = jax.vmap(association_scores)(jnp.stack(jnp.split(patches, 2), axis=1), memory)  # (B, 2, P)
    logits = ZERO_DISTANCE_LOG_ODDS * (distances / even_odds_distance - 1)
    return patch_loss(logits.swapaxes(0, 1).reshape(share.shape), share)


def patch_head(config: CLIPConfig) -> dict[str, jax.Array]:
    """Return the initial parameters of the linear head."""
    return {"kernel": jnp.zeros(config.vision.width), "bias": jnp.zeros(())}
