"""The base of methods with learned parameters, and parameters on disk.

Parameters belong to one backbone and one setting. A params folder has the parameters as orbax writes them,
and a description of both. Each method reads the files of its authors' code.
"""

from __future__ import annotations

import abc
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.checkpoints.hub import BUNDLED_PARAMS, check_named, is_bundled
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError, few
from vlmad_jax.methods.detector import Features, Params, Scores, TextDetector, by_name
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.runtime.files import utf8_path, write_json
from vlmad_jax.runtime.sizes import ImageSize, height_and_width

Batch = dict[str, Any]
Terms = dict[str, jax.Array]
Shapes = dict[str, Any]  # shapes of parameters by name, nested as the parameters are

DESCRIPTION = "params.json"
# The number of layers of ViT-L/14@336, for which settings are published.
PUBLISHED_LAYERS = 24
# Hyper-parameters that training does not use, so that they may differ from those of the training run.
UNTRAINED = ("blur_sigma",)


class LearnedDetector(TextDetector):
    """A detector whose parameters are learned on some categories and used on others.

    A method is a frozen dataclass with at least the fields `clip` and `image_size`, and defines `prepare` and
    what is abstract here. The backbone is frozen: `extract` is the part before all parameters, and `loss`
    accepts its features in place of images.

    Attributes:
      image_size: The side of the images in pixels, or (height, width).
      needs: The name of the learned parameters in messages.
      learns_from_labels: Whether there is a loss without masks.
      learning_rate: The learning rate of the published training.
      final_learning_rate: The learning rate at the end of a cosine schedule; None keeps it constant.
      works_untrained: Whether parameters are of use without any step of training.
    """

    image_size: ImageSize

    options: ClassVar[tuple[str, ...]] = ("params",)
    needs: ClassVar[str]
    learns_from_labels: ClassVar[bool]
    learning_rate: ClassVar[float] = 1e-3
    final_learning_rate: ClassVar[float | None] = None
    works_untrained: ClassVar[bool] = False

    @classmethod
    @abc.abstractmethod
    def paper(cls, clip: CLIP) -> Self:
        """Return the published setting."""

    @classmethod
    def from_options(cls, clip: CLIP, options: MethodOptions) -> tuple[Self, Params]:
        """Return the parameters that a user names, or the bundled ones, and a detector with their setting.

        The other options then replace values of this setting.

        Raises:
          InputError: There are no parameters, or they or an option do not fit the backbone.
        """
        cls.check_backbone(clip)
        options.check(cls.name, cls.options)
        path = options.params
        if path is None and is_bundled(clip.name) and cls.name in BUNDLED_PARAMS:
            path = str(BUNDLED_PARAMS[cls.name])
        if path is None:
            raise InputError(
                f"--params is missing: {cls.name} needs {cls.needs}; train some with "
                f"experiments.train --method={cls.name}, or give a .pth file of the authors"
            )
        detector = cls.trained(clip, path)
        params = detector.load_params(path)
        others = [name for name in cls.options if name != "params"]
        with options.named_in_errors(others):
            return dataclasses.replace(detector, **options.chosen(others)), params  # type: ignore[type-var]

    @property
    @abc.abstractmethod
    def shapes(self) -> Shapes:
        """The shapes of the parameters by name."""

    def shapes_for(self, params: Mapping[str, Any]) -> Shapes:
        """Return the shapes that `params` must have; a method overrides this if they can differ."""
        del params
        return self.shapes

    @abc.abstractmethod
    def context(self, class_names: Sequence[str] = ()) -> Any:
        """Return the frozen arrays of the loss, a named tuple.

        Its field `vision` has the vision transformer's variables, and may be {} if batches have features.
        """

    def without_encoder(self, context: Any) -> Any:
        """Return a context without the vision transformer's variables, for batches that have features."""
        return context._replace(vision={})

    def training_context(self, class_names: Sequence[str], batches: Iterable[Batch]) -> Any:
        """Return the context of a training run.

        Args:
          class_names: The names of the classes.
          batches: Every training sample once, read only by a method that keeps something of each.
        """
        del batches
        return self.context(class_names)

    def trained_params(self, params: Params, context: Any) -> Params:
        """Return the parameters to save after training, from the learned ones and the context."""
        del context
        return params

    @abc.abstractmethod
    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images, from the frozen encoder."""

    @abc.abstractmethod
    def score_features(self, state: Any, features: Features) -> Scores:
        """Score images by their features."""

    def score_with(self, variables: Variables, state: Any, images: jax.Array) -> Scores:
        """Score images with the vision transformer's variables."""
        return self.score_features(state, self.extract(variables, images))

    @abc.abstractmethod
    def loss(self, params: Params, context: Any, batch: Batch) -> tuple[jax.Array, Terms]:
        """Return the published loss of a batch, and its terms."""

    @abc.abstractmethod
    def read_authors_file(self, path: pathlib.Path) -> Params:
        """Return the parameters in a file of the authors' code."""

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""
        return height_and_width(self.image_size)

    @property
    def option_that_trains_features(self) -> str | None:
        """The option with which training changes what `extract` returns; None if features are frozen."""
        return None

    @classmethod
    def of_authors_file(cls, clip: CLIP, path: pathlib.Path) -> Self:
        """Return the setting that a file of the authors' code was trained with.

        It is `paper` on a backbone as deep as theirs, else `for_backbone`. A method whose files tell more
        overrides this.
        """
        del path
        return cls.paper(clip) if clip.config.vision.layers == PUBLISHED_LAYERS else cls.for_backbone(clip)

    @classmethod
    def trained(cls, clip: CLIP, path: str | pathlib.Path) -> Self:
        """Return the detector with the setting of the parameters at `path`, a params folder or authors' file.

        Raises:
          InputError: There are no parameters, or their setting does not fit the backbone.
        """
        path = pathlib.Path(path).expanduser()
        check_named(None, str(path))
        if not is_params_folder(path):
            try:
                return cls.of_authors_file(clip, path)
            except InputError as error:
                named = str(error).startswith(str(path))
                raise InputError(str(error) if named else f"{path}: {error}") from error
        try:
            return cls(clip, **read_description(path)["setting"])  # type: ignore[call-arg]
        except TypeError as error:
            raise InputError(f"{path}: has the setting of another method ({error})") from error

    def load_params(self, path: str | pathlib.Path) -> Params:
        """Load learned parameters from a params folder or a `.pth` file of the authors' code.

        Raises:
          InputError: There are none, they belong to another backbone or setting, or they are not finite.
        """
        path = pathlib.Path(path).expanduser()
        params = load_params(path, self) if is_params_folder(path) else self.read_authors_file(path)
        params = self.check_params(params, str(path))
        broken = [
            name for name, x in by_name(params).items() if not np.isfinite(np.asarray(x, np.float32)).all()
        ]
        if broken:
            raise InputError(
                f"{path}: {few(broken)} have numbers that are not finite; train again, or download it again"
            )
        return params

    def check_params(self, params: Params | None, source: str) -> Params:
        """Return the parameters if their names and shapes are those of this setting.

        Raises:
          InputError: They are not, or there are none; the message names the source.
        """
        if not params:
            raise InputError(
                f"{self.name} needs {self.needs}; give those of experiments.train or the authors"
            )
        expected = by_name(self.shapes_for(params))
        found = {name: tuple(jnp.shape(x)) for name, x in by_name(params).items()}
        if found != expected:
            raise InputError(
                f"{source}: expected {listed(expected)}, found {listed(found)}; "
                "give parameters trained with this backbone and setting"
            )
        return params


def batch_features(batch: Batch, extract: Callable[[jax.Array], Features]) -> Features:
    """Return the cached features of a batch as float32, or those that `extract` computes from its images."""
    if "features" in batch:
        return jax.tree.map(lambda x: x.astype(jnp.float32), batch["features"])
    return extract(batch["image"])


def quarter_layers(backbone: Backbone) -> tuple[int, ...]:
    """Return the last layer of each quarter of the network, as in published settings."""
    layers = len(backbone.widths)
    return tuple(sorted({max(1, round(layers * quarter / 4)) for quarter in (1, 2, 3, 4)}))


def is_published_backbone(clip: CLIP) -> bool:
    """Return whether a backbone has the shape of ViT-L/14@336, for which settings are published."""
    vision = clip.config.vision
    return (vision.layers, vision.patch_size, vision.image_size) == (PUBLISHED_LAYERS, 14, 336)


def listed(shapes: dict[str, tuple[int, ...]]) -> str:
    """Return for example "normal (12, 768), deep (8, 4, 768)"."""
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"


def few_shapes(tensors: Mapping[str, np.ndarray]) -> str:
    """Return up to three different shapes, each with the first tensor that has it."""
    first: dict[tuple[int, ...], str] = {}
    for name, tensor in tensors.items():
        first.setdefault(tensor.shape, name)
    return few(f"{name} {shape}" for shape, name in first.items())


# On disk


def save_params(
    directory: pathlib.Path,
    params: Params,
    detector: LearnedDetector,
    trained_on: Mapping[str, Any] | None = None,
) -> None:
    """Write a params folder: `params` as orbax writes them, and their description.

    Args:
      directory: The folder, created if it is absent.
      params: The learned parameters.
      detector: The detector that they belong to.
      trained_on: A description of the training data.
    """
    import orbax.checkpoint as ocp

    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with utf8_path(directory / "params") as plain, ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(plain, jax.tree.map(np.asarray, params), force=True)
    clip = detector.clip
    belongs = {"method": detector.name, "setting": detector.setting}
    if jax.process_index() == 0:
        learned = {} if trained_on is None else {"trained_on": dict(trained_on)}
        described = {**belongs, "weights": clip.name, "backbone": clip.identity, **learned}
        write_json(directory / DESCRIPTION, described)


def is_params_folder(path: pathlib.Path) -> bool:
    """Return whether a path is a params folder and not a `.pth` file of the authors."""
    return not (path.is_file() or path.suffix in (".pth", ".pt"))


def read_description(directory: pathlib.Path) -> dict[str, Any]:
    """Return the description in a params folder.

    Raises:
      InputError: There is none, or it is damaged.
    """
    path = pathlib.Path(directory) / DESCRIPTION
    try:
        described = json.loads(path.read_text())
        whole = (
            isinstance(described["setting"], dict) and {"method", "weights", "backbone"} <= described.keys()
        )
        if whole and isinstance(described.get("trained_on", {"dataset": ""})["dataset"], str):
            return described
    except FileNotFoundError:
        raise InputError(
            f"{directory}: has no {DESCRIPTION}; give the params folder of experiments.train, or a .pth file"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path}: is damaged; copy it again from the training run")


def load_params(directory: pathlib.Path, detector: LearnedDetector) -> Params:
    """Load the parameters in a params folder.

    Raises:
      InputError: They cannot be read, or were trained with another method, backbone or setting.
    """
    import orbax.checkpoint as ocp

    directory, clip = pathlib.Path(directory), detector.clip
    described = read_description(directory)
    there = {"method": described["method"], **described["setting"]}
    here = {"method": detector.name, **detector.setting}
    differing = [k for k in {**there, **here} if k not in UNTRAINED and there.get(k) != here.get(k)]
    if differing:
        differences = ", ".join(f"{k} {there.get(k)} there and {here.get(k)} here" for k in differing)
        raise InputError(f"{directory}: was trained with {differences}; use the setting it was trained with")
    if described["backbone"] != clip.identity:
        raise InputError(
            f"{directory}: was trained with the backbone {described['weights']} ({described['backbone']}), "
            f"not {clip.name} ({clip.identity}); give --weights={described['weights']}"
        )
    try:
        with utf8_path(directory / "params") as plain, ocp.StandardCheckpointer() as checkpointer:
            restored = checkpointer.restore(plain)
    except Exception as error:  # orbax raises what its storage raises
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"{directory / 'params'}: does not load ({reason}); copy it again") from error
    return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), restored)
