"""What detectors with learned parameters share: settings, and parameters on disk.

Parameters belong to one backbone and one setting. A directory of ours holds them as orbax writes them, with
both beside them; files of the authors' code are read by each method itself.
"""

from __future__ import annotations

import abc
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.checkpoints.hub import BUNDLED_PARAMS, check_named, is_bundled
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError, few
from vlmad_jax.methods.detector import Detector
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.runtime.files import utf8_path, write_json

Params = dict[str, jax.Array]
Context = dict[str, Any]
Features = dict[str, jax.Array]

DESCRIPTION = "params.json"
# Of the vision transformer that settings are published for, ViT-L/14@336.
PUBLISHED_LAYERS = 24
# What follows all that is learned may differ between training and use.
AFTERWARDS = ("blur_sigma",)


class LearnedDetector(Detector):
    """A detector whose parameters are learned on some products and used on others.

    A method is a frozen dataclass with the fields `clip` and `image_size` at least, and defines what is
    abstract here, and `prepare` and `score_with`. The backbone is frozen: `extract` is all that an image
    passes through before parameters come in, and `loss` takes what it gives in the image's place.
    """

    image_size: int

    options: ClassVar[tuple[str, ...]] = ("params",)
    needs: ClassVar[str]  # what is learned, in words
    learns_from_labels: ClassVar[bool]  # whether there is a loss without masks

    @classmethod
    @abc.abstractmethod
    def paper(cls, clip: CLIP) -> Self:
        """The published setting."""

    @classmethod
    def from_options(cls, clip: CLIP, options: MethodOptions) -> tuple[Self, Params]:
        """With the parameters that a user names, or those bundled, and the setting they were trained with."""
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
        return detector, detector.load_params(path)

    @property
    @abc.abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters by name."""

    @abc.abstractmethod
    def context(self, class_names: Sequence[str] = ()) -> Context:
        """What is frozen in training; "vision" is needed for images only, not for features."""

    @abc.abstractmethod
    def extract(self, variables: dict[str, Any], images: jax.Array) -> Features:
        """What the frozen encoder makes of images: each (B, ...)."""

    @abc.abstractmethod
    def loss(self, params: Params, context: Context, batch: dict[str, Any]) -> tuple[jax.Array, Params]:
        """The published loss of a batch, and its terms."""

    @abc.abstractmethod
    def read_authors_file(self, path: pathlib.Path) -> Params:
        """The parameters in a file of the authors' code."""

    @property
    def size(self) -> int:
        """S, the side of the images it takes, in pixels."""
        return self.image_size

    @property
    def option_that_trains_features(self) -> str | None:
        """The option with which training changes what `extract` returns; None if features are frozen."""
        return None

    @classmethod
    def of_authors_file(cls, clip: CLIP, path: pathlib.Path) -> Self:
        """The setting that a file of the authors' code was trained with, as far as the file tells.

        `paper` on a backbone as deep as theirs, else `for_backbone`; methods whose files tell lengths
        take those.
        """
        del path
        return cls.paper(clip) if clip.config.vision.layers == PUBLISHED_LAYERS else cls.for_backbone(clip)

    @classmethod
    def trained(cls, clip: CLIP, path: str | pathlib.Path) -> Self:
        """With the setting that the parameters at `path` were trained with, ours or the authors'.

        Raises:
          InputError: nothing of the kind is there, or a setting that does not fit the backbone.
        """
        path = pathlib.Path(path).expanduser()
        check_named(None, str(path))
        if not is_directory_of_ours(path):
            try:
                return cls.of_authors_file(clip, path)
            except InputError as error:
                named = str(error).startswith(str(path))
                raise InputError(str(error) if named else f"{path}: {error}") from error
        try:
            return cls(clip, **read_description(path)["setting"])  # type: ignore[call-arg]
        except TypeError as error:
            raise InputError(f"{path}: holds the setting of another method ({error})") from error

    def load_params(self, path: str | pathlib.Path) -> Params:
        """Learned parameters: a directory written by training, or a `.pth` file of the authors' code.

        Raises:
          InputError: nothing of the kind is there; it was made with another backbone or setting; or its
            numbers are not finite.
        """
        path = pathlib.Path(path).expanduser()
        params = load_params(path, self) if is_directory_of_ours(path) else self.read_authors_file(path)
        params = self.check_params(params, str(path))
        broken = [name for name, x in params.items() if not np.isfinite(np.asarray(x, np.float32)).all()]
        if broken:
            raise InputError(
                f"{path}: {few(broken)} hold numbers that are not finite; train again, or download it again"
            )
        return params

    def check_params(self, params: Params | None, source: str) -> Params:
        """The parameters; raises InputError, naming `source`, unless names and shapes are this setting's."""
        if not params:
            raise InputError(
                f"{self.name} needs {self.needs}; give those of experiments.train or the authors'"
            )
        found = {name: tuple(jnp.shape(x)) for name, x in params.items()}
        if found != self.shapes:
            raise InputError(
                f"{source}: expected {listed(self.shapes)}, found {listed(found)}; "
                "give parameters trained with this backbone and setting"
            )
        return params


def quarters(clip: CLIP) -> tuple[int, ...]:
    """The last layer of each quarter of the vision transformer, where published systems take features."""
    layers = clip.config.vision.layers
    return tuple(sorted({max(1, round(layers * quarter / 4)) for quarter in (1, 2, 3, 4)}))


def is_published_backbone(clip: CLIP) -> bool:
    """Whether it has the shape of ViT-L/14@336, for which settings are published."""
    vision = clip.config.vision
    return (vision.layers, vision.patch_size, vision.image_size) == (PUBLISHED_LAYERS, 14, 336)


def listed(shapes: dict[str, tuple[int, ...]]) -> str:
    """ "normal (12, 768), deep (8, 4, 768)"."""
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"


def few_shapes(tensors: Mapping[str, np.ndarray]) -> str:
    """The shapes of tensors, each with the first that has it; no more than three."""
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
    """Writes learned parameters with orbax to `directory/params`, and beside it what they belong to.

    `trained_on` is what they were trained on, as `vlmad_jax.evaluation.trained_on.record` describes it.
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


def is_directory_of_ours(path: pathlib.Path) -> bool:
    """Whether `path` is to be read as `save_params` writes, and not as a `.pth` file of the authors."""
    return not (path.is_file() or path.suffix in (".pth", ".pt"))


def read_description(directory: pathlib.Path) -> dict[str, Any]:
    """What `save_params` wrote beside the parameters; raises InputError where it did not."""
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
            f"{directory}: holds no {DESCRIPTION}; give the params of experiments.train, or a .pth file"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path}: is damaged; copy it again from the training run")


def load_params(directory: pathlib.Path, detector: LearnedDetector) -> Params:
    """The parameters that `save_params` wrote, float32.

    Raises:
      InputError: nothing readable there, or they were trained with another method, backbone or setting.
    """
    import orbax.checkpoint as ocp

    directory, clip = pathlib.Path(directory), detector.clip
    described = read_description(directory)
    there = {"method": described["method"], **described["setting"]}
    here = {"method": detector.name, **detector.setting}
    differing = [k for k in {**there, **here} if k not in AFTERWARDS and there.get(k) != here.get(k)]
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
    return {name: jnp.asarray(np.asarray(x)) for name, x in restored.items()}
