"""Pretraining of the bundled CLIP on rendered pictures."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vlmad_jax.clip.config import CLIPConfig, vit
from vlmad_jax.clip.model import CLIP, random_clip, save_clip
from vlmad_jax.clip.modules import layer_name
from vlmad_jax.data import rendering
from vlmad_jax.errors import InputError
from vlmad_jax.files import write_json
from vlmad_jax.training.captions import train_tokenizer
from vlmad_jax.training.contrastive import make_loss, patch_head
from vlmad_jax.training.initial import mimetic_attention, patch_frequencies, position_waves
from vlmad_jax.training.loop import plot_losses, train
from vlmad_jax.training.pairs import CaptionedPairs, Pool, batches
from vlmad_jax.training.step import TrainState, make_step


@dataclass(frozen=True)
class PretrainConfig:
    """What a pretraining run depends on; a run in progress is only continued with the same values.

    Only `schedule_steps` may change on the way: there the learning rate reaches zero. It rises for
    `warmup_steps`, stays, and falls over the second half. `pairs` pictures with and as many without a defect
    make a batch; `pool` is the number of different pairs.
    """

    schedule_steps: int = 2200
    pairs: int = 64
    pool: int = 40960
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.05
    seed: int = 0
    dtype: str = "float32"

    def optimizer(self) -> optax.GradientTransformation:
        """AdamW with CLIP's betas, gradients clipped at norm 1; only matrices decay."""
        falling = self.schedule_steps // 2
        schedule = optax.join_schedules(
            [
                optax.linear_schedule(0.0, self.learning_rate, self.warmup_steps),
                optax.constant_schedule(self.learning_rate),
                optax.linear_schedule(self.learning_rate, 0.0, falling),
            ],
            [self.warmup_steps, self.schedule_steps - falling],
        )
        matrices = functools.partial(jax.tree.map, lambda x: x.ndim > 1)
        return optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adamw(schedule, b1=0.9, b2=0.98, weight_decay=self.weight_decay, mask=matrices),
        )


def tiny_config(vocabulary: int) -> CLIPConfig:
    """The bundled model's shape: 128 pixels in patches of 16, four vision layers of width 192."""
    shape = vit(128, 16, (192, 4, 3), (128, 3, 2), 128, "quick_gelu")
    text = dataclasses.replace(shape.text, vocab_size=vocabulary, eos_token_id=vocabulary - 1)
    return dataclasses.replace(shape, text=text)


def pretrain(
    config: PretrainConfig, out: pathlib.Path, steps: int, save_every: int = 200, workers: int = 2
) -> CLIP:
    """Trains to `steps`, or goes on with the run in `out`, and writes the model to `out/weights`.

    Raises:
      InputError: `out` holds a run of another configuration; the batch does not divide over the devices.
    """
    if config.pairs % jax.local_device_count():
        raise InputError(
            f"--pairs={config.pairs} does not divide over {jax.local_device_count()} devices; give a multiple"
        )
    remember(config, out)
    tokenizer = train_tokenizer(rendering.TRAIN_FAMILIES, rendering.DEFECTS.values())
    clip = random_clip(tiny_config(len(tokenizer)), config.seed, tokenizer=tokenizer)
    optimizer = config.optimizer()
    vision = clip.config.vision
    pool = Pool(out / "pictures", config.pool, vision.image_size, vision.grid, config.seed)
    pool.store.create()
    pairs = CaptionedPairs(pool, tokenizer)
    params = {
        "clip": with_known_structure(clip.params, clip.config, config.seed),
        "patch_head": patch_head(clip.config),
    }
    state, _ = train(
        make_step(make_loss(clip.config, config.dtype), optimizer),
        TrainState(params, optimizer.init(params)),
        {},
        lambda done: batches(pairs, done, steps, config.pairs, workers),
        steps,
        out,
        2 * config.pairs,
        save_every,
    )
    plot_losses(out / "log.jsonl", out / "losses.png")
    trained = dataclasses.replace(clip, params=state.params["clip"])
    save_clip(trained, out / "weights", dtype="float16")
    return trained


def with_known_structure(params: Any, config: CLIPConfig, seed: int) -> Any:
    """A fresh CLIP's parameters, its vision transformer started as `training.initial` says."""
    shape, rng = config.vision, np.random.default_rng(seed)
    vision = {
        **params["vision"],
        "patch_embedding": {"kernel": jnp.asarray(patch_frequencies(shape.patch_size, shape.width))},
        "position_embedding": jnp.asarray(position_waves(shape.grid, shape.width)),
    }
    for number in range(1, shape.layers + 1):
        layer = vision[layer_name(number)]
        kernels = mimetic_attention(rng, shape.width, shape.heads)
        attention = {
            name: {**layer["attention"][name], "kernel": jnp.asarray(kernel)}
            for name, kernel in kernels.items()
        }
        vision[layer_name(number)] = {**layer, "attention": attention}
    return {**params, "vision": vision}


def remember(config: PretrainConfig, out: pathlib.Path) -> None:
    """Writes the configuration beside the run, or checks that the run there has the same."""
    path, fields = out / "pretrain.json", dataclasses.asdict(config)
    there: dict[str, Any] = json.loads(path.read_text()) if path.exists() else fields
    changed = {k: (there.get(k), v) for k, v in fields.items() if there.get(k) != v and k != "schedule_steps"}
    if changed:
        differences = ", ".join(f"{name} {old} there, {new} here" for name, (old, new) in changed.items())
        raise InputError(f"{out}: holds another run ({differences}); give another --out or the same flags")
    write_json(path, fields)
