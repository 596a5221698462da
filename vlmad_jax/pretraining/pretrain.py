"""Pretraining of the bundled CLIP on rendered pairs and photographs, and with a teacher."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from vlmad_jax import synthetic as rendering
from vlmad_jax.backbones import load_backbone
from vlmad_jax.backbones.clip import CLIP, random_clip, save_clip
from vlmad_jax.backbones.config import CLIPConfig, vit
from vlmad_jax.backbones.precision import check_trainable
from vlmad_jax.errors import InputError
from vlmad_jax.pretraining.captions import train_tokenizer
from vlmad_jax.pretraining.contrastive import EVEN_ODDS_DISTANCE, LARGEST_SCALE, make_loss, patch_head
from vlmad_jax.pretraining.initial import mean_weights, with_structure
from vlmad_jax.pretraining.logit_scale import TOLERANCE, with_logit_scale
from vlmad_jax.pretraining.pairs import INVENTED_SHARE, WINDOW_SIZES, CaptionedPairs, Pool, batches
from vlmad_jax.pretraining.photographs import contents_of, photographs_in
from vlmad_jax.pretraining.teacher import Crops, Draw, feature_shapes, held_out_errors, teacher_heads
from vlmad_jax.pretraining.views import CELLS
from vlmad_jax.pretraining.views import VERSION as VIEWS
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.files import write_json
from vlmad_jax.scoring.windows import sliding_windows
from vlmad_jax.training.loop import plot_losses, train
from vlmad_jax.training.run_config import save_or_check_config
from vlmad_jax.training.step import Loss, TrainState, make_step

# The number of held-out crops, and the file of the errors on them.
HELD_OUT_CROPS = 512
HELD_OUT = "held_out.json"


@dataclass(frozen=True)
class PretrainConfig:
    """The configuration of a pretraining run. A run is resumed only with the same configuration.

    Attributes:
      schedule_steps: The step at which the learning rates reach zero. They rise for `warmup_steps`, stay, and
        fall over the second half. This value alone may change when a run is resumed.
      pairs: The number of pairs of a normal and an anomalous image in a batch.
      pool: The number of different pairs.
      learning_rate: The largest learning rate of Adam.
      muon_learning_rate: The largest learning rate of Muon.
      warmup_steps: The number of steps over which the learning rates rise.
      weight_decay: The weight decay of Muon.
      seed: The seed of the images, captions and initial parameters.
      dtype: "float32" or "bfloat16".
      leave_out: The names of loss terms to leave out, for ablations.
      image_size: The side of the images in pixels.
      start: A directory of initial weights, or several separated by commas, whose mean is used. None starts
        from new parameters.
      second_normal_image: Whether every pair has a second normal image of its product.
      logit_scale: The fixed logit scale, or None to learn it. That of OpenAI's CLIPs is 100.
      even_odds_distance: The distance to the nearest patch of the second normal image, above 0 and up to 1,
        at which a patch is equally likely normal or anomalous.
      invented_share: The share of rendered pairs that show invented objects, 0 to 1.
      photographed_pairs: The share of pairs that are cut from photographs, 0 to 1.
      teacher: A backbone whose features the model learns to predict on crops of photographs and on rendered
        images, or None.
      photographs: Folders of photographs, which are equally likely.
      held_out: Folders of other photographs, on which the trained model is compared with the teacher.
      crops: The number of different crops.
      crops_per_pair: The number of crops in a batch for each pair.
      rendered_crops: The share of crops that are rendered images, 0 to 1.
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
    second_normal_image: bool = False
    logit_scale: float | None = None
    even_odds_distance: float = EVEN_ODDS_DISTANCE
    invented_share: float = INVENTED_SHARE
    photographed_pairs: float = 0.0
    teacher: str | None = None
    photographs: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    crops: int = 8192
    crops_per_pair: int = 1
    rendered_crops: float = 0.3

    def schedule(self, rate: float) -> optax.Schedule:
        """Return the schedule of a learning rate with the maximum `rate`."""
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
        """Return Muon with weight decay for the transformers' kernels and Adam for all other parameters.

        Muon (Jordan et al. 2024) moves every kernel equally far in all directions. It reached AdamW's losses
        in less than half the steps. Its steps are scaled to the size of Adam's (Liu et al. 2025, equation 4).
        Gradients are clipped to norm 1.
        """
        muon = optax.contrib.muon(
            self.schedule(self.muon_learning_rate),
            weight_decay=self.weight_decay,
            consistent_rms=0.2,
            muon_weight_dimension_numbers=muon_kernels,
            adam_learning_rate=self.schedule(self.learning_rate),
            adam_b2=0.98,
        )
        return optax.chain(optax.clip_by_global_norm(1.0), muon)


# The owners of kernels that are not inside a transformer: the first layer and the teacher's heads.
OUTSIDE = ("patch_embedding", "patches_head", "image_head")


def muon_kernels(params: Any) -> Any:
    """Return `MuonDimensionNumbers` for kernels inside a transformer and None for other parameters."""

    def of(path: tuple[Any, ...], x: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
        *_, owner, name = ("", *(entry.key for entry in path))
        inside = name == "kernel" and x.ndim == 2 and owner not in OUTSIDE
        return optax.contrib.MuonDimensionNumbers() if inside else None

    return jax.tree_util.tree_map_with_path(of, params)


def tiny_config(vocabulary: int, image_size: int) -> CLIPConfig:
    """Return the shape of the bundled model: patches of 16 pixels, four vision layers of width 192."""
    shape = vit(image_size, 16, (192, 4, 3), (128, 3, 2), 128, "quick_gelu")
    text = dataclasses.replace(shape.text, vocab_size=vocabulary, eos_token_id=vocabulary - 1)
    return dataclasses.replace(shape, text=text)


@dataclass(frozen=True)
class Run:
    """The model and the loss of a run, and the images that it trains on.

    Attributes:
      clip: The model with its initial parameters.
      loss: The loss.
      pool: The pairs.
      crops: The crops to learn a teacher's features of, if there is a teacher.
      held_out: The crops on which the trained model is compared with the teacher, if there are any.
    """

    clip: CLIP
    loss: Loss
    pool: Pool
    crops: Crops | None
    held_out: Crops | None

    def draw(self, workers: int) -> None:
        """Render the missing pairs, and draw the missing crops with the teacher's features.

        Args:
          workers: The number of processes; 0 draws in this process.

        Raises:
          InputError: A photograph does not decode.
        """
        self.pool.fill(workers)
        for crops in (self.crops, self.held_out):
            if crops is not None:
                crops.fill(workers)


def start_run(config: PretrainConfig, out: pathlib.Path) -> Run:
    """Return the parts of a run, after writing its configuration to `out` or comparing it with the one there.

    Raises:
      InputError: `out` has a run with another configuration; the batch does not divide over the devices; the
        image size is not a multiple of `CELLS`; the initial logit scale is too large to be learned;
        photographs are given and not used, or needed and not given; see `check_trainable`, `load_start`,
        `with_logit_scale`, `make_loss`, `load_backbone`, `photographs_in` and `feature_shapes`.
    """
    check_trainable(config.dtype)
    if config.pairs % jax.local_device_count():
        raise InputError(
            f"--pairs={config.pairs} is not divisible by {jax.local_device_count()} devices; give a multiple"
        )
    if config.image_size % CELLS:
        raise InputError(
            f"--image_size={config.image_size} is not a multiple of {CELLS}; give for example 160"
        )
    tokenizer = train_tokenizer(rendering.TRAIN_FAMILIES, rendering.DEFECTS.values())
    clip = random_clip(tiny_config(len(tokenizer), config.image_size), config.seed, tokenizer=tokenizer)
    grid = clip.config.vision.grid
    sliding_windows((grid, grid), max(WINDOW_SIZES.values()))  # raises for images that are too small
    if config.start is None:
        start = with_structure(clip.params, clip.config, config.seed)
    else:
        start = mean_weights(config.start.split(","), clip.config)
    if config.logit_scale is None:
        check_learned_scale(float(jnp.exp(start["logit_scale"])))
    else:
        start = with_logit_scale(dataclasses.replace(clip, params=start), config.logit_scale)
    loss = make_loss(
        clip.config,
        config.dtype,
        config.leave_out,
        config.second_normal_image,
        config.logit_scale is not None,
        config.even_odds_distance,
        config.teacher is not None,
    )
    photographs = photographs_in(config.photographs)
    check_photographs(config)
    crops, held_out = teacher_crops(config, photographs, out, grid)
    check_config(config, out, photographs, crops, held_out)  # after all other checks of the input
    pool = Pool(
        out / "images",
        config.pool,
        config.image_size,
        config.seed,
        config.second_normal_image,
        config.invented_share,
        photographs,
        config.photographed_pairs,
    )
    pool.store.create()
    return Run(dataclasses.replace(clip, params=start), loss, pool, crops, held_out)


def pretrain(
    config: PretrainConfig, out: pathlib.Path, steps: int, save_every: int = 200, workers: int = 2
) -> CLIP:
    """Train to `steps`, or resume the run in `out`, and write the model to `out/weights`.

    Args:
      config: The configuration.
      out: The run's folder.
      steps: The step to stop at.
      save_every: The number of steps between checkpoints.
      workers: The number of processes that render pairs and draw crops. 0 uses this process.

    Returns:
      The trained model.

    Raises:
      InputError: See `start_run`.
    """
    run = start_run(config, out)
    clip, crops = run.clip, run.crops
    pairs = CaptionedPairs(run.pool, clip.config.vision.grid, clip.tokenizer)
    optimizer = config.optimizer()
    params = {"clip": clip.params, "patch_head": patch_head(clip.config)}
    moments = {}
    if crops is not None:
        crops.fill(workers)
        moments = crops.moments()
        params["teacher"] = teacher_heads(crops, clip.config.vision.layers, clip.config.vision.width)
    crops_per_step = config.crops_per_pair * config.pairs if crops else 0

    def batches_from(done: int) -> Iterator[dict[str, Any]]:
        for step, batch in enumerate(batches(pairs, done, steps, config.pairs, workers), start=done):
            yield {**batch, **(crops.batch(step * crops_per_step, crops_per_step) if crops else {})}

    state, _ = train(
        make_step(run.loss, optimizer, seed=config.seed),
        TrainState(params, optimizer.init(params)),
        moments,
        batches_from,
        steps,
        out,
        2 * config.pairs + crops_per_step,
        save_every,
    )
    plot_losses(out / "log.jsonl", out / "losses.png")
    trained = dataclasses.replace(clip, params=state.params["clip"])
    save_clip(trained, out / "weights", dtype="float16")
    if run.held_out is not None:
        run.held_out.fill(workers)
        heads = state.params["teacher"]
        errors = held_out_errors(trained.vision(), trained.params["vision"], heads, run.held_out, moments)
        write_json(out / HELD_OUT, errors)
    return trained


def check_photographs(config: PretrainConfig) -> None:
    """Raise InputError if photographs are given and not used, or are needed and not given."""
    for_crops = config.teacher is not None and config.rendered_crops < 1
    if config.photographs and not for_crops and not config.photographed_pairs:
        raise InputError(
            "--photographs needs --photographed_pairs, for example 0.5, or --teacher=efficientnet-lite2 "
            "with --rendered_crops below 1"
        )
    if config.held_out and config.teacher is None:
        raise InputError("--held_out needs --teacher, for example --teacher=efficientnet-lite2")
    if config.photographs:
        return
    if config.photographed_pairs:
        raise InputError("--photographed_pairs needs --photographs, folders of photographs")
    if for_crops:
        raise InputError("--teacher needs --photographs, or --rendered_crops=1 for rendered images alone")


def teacher_crops(
    config: PretrainConfig, photographs: tuple[tuple[str, ...], ...], out: pathlib.Path, grid: int
) -> tuple[Crops | None, Crops | None]:
    """Return the crops to train on and the held-out ones, still to be drawn; None where there are none.

    Raises:
      InputError: See `start_run`.
    """
    if config.teacher is None:
        return None, None
    others = photographs_in(config.held_out)
    teacher = load_backbone(config.teacher)
    feature_shapes(teacher, config.image_size, grid)  # raises for patches that do not fit
    shape = (config.image_size, config.seed)
    crops = Crops(
        out / "crops", config.crops, *shape, Draw(photographs, config.rendered_crops), teacher, grid
    )
    if not others:
        return crops, None
    return crops, Crops(out / "held_out", HELD_OUT_CROPS, *shape, Draw(others, 0), teacher, grid)


def check_learned_scale(scale: float) -> None:
    """Raise InputError if the initial logit scale is above the bound of learned ones."""
    if scale > LARGEST_SCALE * (1 + TOLERANCE):
        raise InputError(
            f"--start: the logit scale {scale:.0f} is above {LARGEST_SCALE:g}, the largest that is learned; "
            f"give --logit_scale={scale:.0f} to keep it fixed"
        )


def check_config(
    config: PretrainConfig,
    out: pathlib.Path,
    photographs: tuple[tuple[str, ...], ...] = (),
    crops: Crops | None = None,
    held_out: Crops | None = None,
) -> None:
    """Write the configuration of a new run, or check that of the run in `out`.

    The configuration includes the teacher's weights and the contents of the photographs.

    Raises:
      InputError: The run in `out` has another configuration.
    """
    # The software is part of it because it rendered the pairs in the pool.
    depends_on = {**dataclasses.asdict(config), "views": VIEWS, "software": software_versions()}
    if crops is not None:
        depends_on["teacher_weights"] = crops.teacher.fingerprint
    groups = photographs + (held_out.draw.photographs if held_out is not None else ())
    if groups:
        depends_on["contents"] = contents_of(groups)
    save_or_check_config(out / "pretrain.json", depends_on, changing=("schedule_steps",))
