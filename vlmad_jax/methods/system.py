"""The base of all published systems: hyper-parameters and a backbone."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.errors import InputError
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.runtime.pickling import PickleFieldsOnly
from vlmad_jax.runtime.sizes import ImageSize, plain

Params = dict[str, Any]  # learned parameters by the names that files have, in nested dicts for some methods

# Fields that `System.setting` leaves out.
UNSET = ("backbone", "clip", "prompts")


class System(PickleFieldsOnly, abc.ABC):
    """A published system, a frozen dataclass of its backbone and its hyper-parameters.

    A `Detector` scores images one by one, a `Batched` system those of a whole set together.

    Attributes:
      backbone: The frozen network.
      name: The method's name in flags and files.
      options: The fields of `MethodOptions` that the method has.
      omitted_defaults: Values that `setting` omits. They belong to hyper-parameters that are younger than the
        first saved detectors, and leave the method as it was then.
    """

    backbone: Backbone
    name: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    omitted_defaults: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    @abc.abstractmethod
    def for_backbone(cls, backbone: Any) -> Self:
        """Return the published setting, scaled to a backbone of any depth and image size."""

    @classmethod
    def from_options(cls, backbone: Any, options: MethodOptions) -> tuple[Self, Params]:
        """Return the system that a user asks for, and its parameters.

        The options replace values of the published setting.

        Raises:
          InputError: The method does not have an option, or its value is invalid.
        """
        cls.check_backbone(backbone)
        options.check(cls.name, cls.options)
        detector = cls.for_backbone(backbone)
        with options.named_in_errors(cls.options):
            return dataclasses.replace(detector, **options.chosen(cls.options)), {}  # type: ignore[type-var]

    @classmethod
    def with_setting(cls, backbone: Any, setting: Mapping[str, Any]) -> Self:
        """Return the system whose `setting` this is, with the method's own prompts.

        Raises:
          InputError: The setting is one of another method or version, or does not fit the backbone.
        """
        names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        given = {k: tuple(x) if isinstance(x, list) else x for k, x in setting.items() if k in names}
        cls.check_backbone(backbone)
        try:
            detector = cls(backbone, **given)  # type: ignore[call-arg]
        except TypeError as error:
            raise InputError(f"the setting of {cls.name} is incomplete ({error}); fit again") from error
        if detector.setting != dict(setting):
            raise InputError(f"{cls.name} has no setting {dict(setting)}; use the version that wrote it")
        return detector

    @property
    @abc.abstractmethod
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""

    def at_size(self, size: ImageSize) -> Self:
        """Return the same system for images of another size.

        Raises:
          InputError: The size does not fit the backbone, or the method has no `image_size`.
        """
        if "image_size" not in {field.name for field in dataclasses.fields(self)}:  # type: ignore[arg-type]
            raise InputError(f"{self.name} has a fixed image size; remove --resize")
        return dataclasses.replace(self, image_size=size)  # type: ignore[type-var]

    @property
    def setting(self) -> dict[str, Any]:
        """The hyper-parameters by name, without prompts, which belong to the method."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        fields |= {"image_size": plain(self.size)}
        listed = {name: list(x) if isinstance(x, tuple) else x for name, x in fields.items()}
        omitted = self.omitted_defaults.items()
        return {k: x for k, x in listed.items() if k not in UNSET and (k, x) not in omitted}

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.backbone.grid(*self.size)

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        """Check that a backbone has what the method needs of it; features are what every backbone has.

        Raises:
          InputError: It has not.
        """
