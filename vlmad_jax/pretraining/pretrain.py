"""Pretraining of the bundled CLIP on rendered images."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from vlmad_jax import synthetic as rendering
from vlmad_jax.backbones.clip import CLIP, load_clip, random_clip, save_clip
from vlmad_jax.backbones.config import CLIPConfig, vit
from vlmad_jax.backbones.positions import resize_positions
from vlmad_jax.backbones.precision import check_trainable
from vlmad_jax.backbones.vit import layer_name
from vlmad_jax.errors import InputError
from vlmad_jax.pretraining.captions import train_tokenizer
from vlmad_jax.pretraining.contrastive import EVEN_DISTANCE, LARGEST_SCALE, make_loss, patch_head
from vlmad_jax.pretraining.initial import mimetic_attention, patch_frequencies, position_waves
from vlmad_jax.pretraining.pairs import CELLS, INVENTIONS, WINDOW_SIZES, CaptionedPairs, Pool, batches
from vlmad_jax.pretraining.scale import ROUNDING, with_scale
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.files import write_json
from vlmad_jax.scoring.windows import sliding_windows
from vlmad_jax.training.loop import plot_losses, train
from vlmad_jax.training.step import TrainState, make_step


@dataclass(frozen=True)
class PretrainConfig:
    """What a pretraining run depends on; a run in progress is only continued with the same values.

    Only `schedule_steps` may change on the way: there the learning rates reach zero. They rise for
    `warmup_steps`, stay, and fall over the second half. `pairs` images with and as many without a defect
    make a batch; `pool` is the number of different pairs. `learning_rate` is Adam's, `muon_learning_rate`
    Muon's. `leave_out` names terms of the loss to do without, to see what each is worth. `image_size` is the
    side of the images in pixels. `start` is a directory of weights to begin with instead of fresh ones, or
    several
    with commas between them, for their mean. With `references` every pair has another good image of its
    product. `scale`, of cosines, is learned if None; OpenAI's CLIPs have 100. `even_distance`, above 0 to 1,
    is how far from that good image's a patch may as well be defective. `inventions` is the share of pairs
    of objects that no one has made.
    """

    schedule_steps: int = 6_000
    pairs: int = 64
    pool: int = 65536
    learning_rate: float = 1e-3
    muon_learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    seed: int = 0
    dtype: str = "float32"
    leave_out: tuple[str, ...] = ()
    image_size: int = 128
    start: str | None = None
    references: bool = False
    scale: float | None = None
    even_distance: float = EVEN_DISTANCE
    inventions: float = INVENTIONS

    def schedule(self, rate: float) -> optax.Schedule:
        """A learning rate over the steps, at most `rate`."""
        falling = self.schedule_steps // 2
        return optax.join_schedules(
            [
                optax.linear_schedule(0.0, rate, self.warmup_steps),
                optax.constant_schedule(rate),
                optax.linear_schedule(rate, 0.0, falling),
            ],
            [self.warmup_steps, self.schedule_steps - falling],
        )

    def optimizer(self) -> optax.GradientTransformation:
        """Muon for the transformers' kernels, which alone decay, Adam for the rest; gradients cut at norm 1.

        Muon (Jordan et al. 2024) moves every kernel as far in all its directions. It came to AdamW's losses
        here in less than half the steps. Its steps have the size of Adam's (Liu et al. 2025, equation 4).
        """
        muon = optax.contrib.muon(
            self.schedule(self.muon_learning_rate),
            weight_decay=self.weight_decay,
            consistent_rms=0.2,
            muon_weight_dimension_numbers=kernels,
            adam_learning_rate=self.schedule(self.learning_rate),
            adam_b2=0.98,
        )
        return optax.chain(optax.clip_by_global_norm(1.0), muon)


def kernels(params: Any) -> Any:
    """`MuonDimensionNumbers` where a parameter is a kernel inside a transformer, None elsewhere."""

    def of(path: tuple[Any, ...], x: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        *_, owner, name = ("", *(entry.key for entry in path))
        inside = name == "kernel" and x.ndim == 2 and owner != "patch_embedding"
        return optax.contrib.MuonDimensionNumbers() if inside else None

    return jax.tree_util.tree_map_with_path(of, params)


def tiny_config(vocabulary: int, image_size: int) -> CLIPConfig:
    """The bundled model's shape: patches of 16 pixels, four vision layers of width 192."""
    shape = vit(image_size, 16, (192, 4, 3), (128, 3, 2), 128, "quick_gelu")
    text = dataclasses.replace(shape.text, vocab_size=vocabulary, eos_token_id=vocabulary - 1)
    return dataclasses.replace(shape, text=text)


def pretrain(
    config: PretrainConfig, out: pathlib.Path, steps: int, save_every: int = 200, workers: int = 2
) -> CLIP:
    """Trains to `steps`, or goes on with the run in `out`, and writes the model to `out/weights`.

    Raises:
      InputError: `out` holds a run of another configuration; the batch does not divide over the devices; a
        size of images that crops do not divide; a scale of cosines to begin with that is too large to be
        learned; see `from_weights` and `with_scale`.
    """
    check_trainable(config.dtype)
    if config.pairs % jax.local_device_count():
        raise InputError(
            f"--pairs={config.pairs} does not divide over {jax.local_device_count()} devices; give a multiple"
        )
    if config.image_size % CELLS:
        raise InputError(
            f"--image_size={config.image_size} is not a multiple of {CELLS}; give for example 160"
        )
    tokenizer = train_tokenizer(rendering.TRAIN_FAMILIES, rendering.DEFECTS.values())
    clip = random_clip(tiny_config(len(tokenizer), config.image_size), config.seed, tokenizer=tokenizer)
    grid = clip.config.vision.grid
    sliding_windows((grid, grid), max(WINDOW_SIZES.values()))  # images that are too small are refused now
    if config.start is None:
        start = with_known_structure(clip.params, clip.config, config.seed)
    else:
        start = mean_weights(config.start.split(","), clip.config)
    held = config.scale is not None
    if config.scale is not None:
        start = with_scale(dataclasses.replace(clip, params=start), config.scale)
    else:
        check_learned_scale(float(jnp.exp(start["logit_scale"])))
    loss = make_loss(
        clip.config, config.dtype, config.leave_out, config.references, held, config.even_distance
    )
    remember(config, out)  # what can be refused has been

    pool = Pool(
        out / "images", config.pool, config.image_size, config.seed, config.references, config.inventions
    )
    pool.store.create()
    pairs = CaptionedPairs(pool, grid, tokenizer)
    optimizer = config.optimizer()
    params = {"clip": start, "patch_head": patch_head(clip.config)}
    state, _ = train(
        make_step(loss, optimizer, seed=config.seed),
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


def check_learned_scale(scale: float) -> None:
    """Raises InputError for a scale of cosines above those that are learned."""
    if scale > LARGEST_SCALE * (1 + ROUNDING):
        raise InputError(
            f"--start: its scale of cosines, {scale:.0f}, is above {LARGEST_SCALE:g}, the most that is "
            f"learned; give --scale={scale:.0f} to keep it"
        )


def mean_weights(directories: Sequence[str], config: CLIPConfig) -> Any:
    """The mean of what `from_weights` gives for models of one origin: a "soup" (Wortsman et al. 2022)."""
    models = [from_weights(directory, config) for directory in directories]
    return jax.tree.map(lambda *parts: sum(parts) / len(parts), *models)


def from_weights(directory: str, config: CLIPConfig) -> Any:
    """The parameters of a model that differs from `config` at most in the size of its images.

    Raises:
      InputError: it differs in more, or cannot be loaded.
    """
    clip = load_clip(directory)
    side, grid = config.vision.image_size, config.vision.grid
    resized = dataclasses.replace(
        clip.config, vision=dataclasses.replace(clip.config.vision, image_size=side)
    )
    if resized != config:
        raise InputError(f"--start={directory}: is a model of another shape; give one that pretraining made")
    vision = clip.params["vision"]
    positions = resize_positions(vision["position_embedding"], (grid, grid), "bicubic")
    return {**clip.params, "vision": {**vision, "position_embedding": positions}}


def with_known_structure(params: Any, config: CLIPConfig, seed: int) -> Any:
    """A fresh CLIP's parameters, its vision transformer started as `pretraining.initial` says."""
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
    path, fields = out / "pretrain.json", json.loads(json.dumps(dataclasses.asdict(config)))
    fields["software"] = software_versions()  # the pairs that are rendered already were rendered by it
    there: dict[str, Any] = json.loads(path.read_text()) if path.exists() else fields
    there = dataclasses.asdict(PretrainConfig()) | there  # what an earlier version did not write
    changed = {k: (there.get(k), v) for k, v in fields.items() if there.get(k) != v and k != "schedule_steps"}
    if changed:
        differences = ", ".join(f"{name} {old} there, {new} here" for name, (old, new) in changed.items())
        raise InputError(f"{out}: holds another run ({differences}); give another --out or the same flags")
    write_json(path, fields)
