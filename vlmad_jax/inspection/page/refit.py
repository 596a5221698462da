"""Fit a detector again with the images that people marked good, and a new threshold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.fit import FitConfig, ReferenceFiles, fit_model
from vlmad_jax.inspection.held_out import Progress
from vlmad_jax.inspection.manifest import check_out
from vlmad_jax.inspection.page.session import PageImage
from vlmad_jax.inspection.prompts import Prompts, with_prompts
from vlmad_jax.inspection.saved import load_again, saved_params
from vlmad_jax.inspection.stream import Found, find
from vlmad_jax.inspection.tiles import TiledDetector
from vlmad_jax.methods.options import unflattened
from vlmad_jax.runtime.contents import digests_of
from vlmad_jax.runtime.files import write_atomically

SUFFIX = ".vlmad"
MARKED = "good"  # folder of the images that people marked good
_NAME = re.compile(r"\w[\w-]{0,59}(\.\w[\w-]{0,19})?", re.ASCII)


@dataclass(frozen=True)
class Refitter:
    """Fits detectors again.

    Attributes:
      out: folder that the detectors, and the images that people marked good, are written to.
      references: folder of the reference images of the first detector, if they were moved.
    """

    out: Path
    references: Path | None = None

    def path(self, name: str) -> Path:
        """Return the directory of a detector; raise InputError for an invalid name."""
        if not _NAME.fullmatch(name) or name == MARKED:
            raise InputError(
                f"{name[:80]!r} is not a valid name for a detector; use letters, digits, - and _, "
                "for example nut-2.vlmad"
            )
        return self.out / name

    def suggested(self, before: Path) -> str:
        """Return the next free name: nut-2.vlmad after nut.vlmad, nut-3.vlmad after that."""
        stem = re.sub(r"[^\w-]", "-", re.sub(r"-\d+$", "", before.stem), flags=re.ASCII)[:50].lstrip("-")
        names = (f"{stem or 'detector'}-{number}{SUFFIX}" for number in range(2, 10_000))
        return next(name for name in names if not (self.out / name).exists())

    def refit(
        self,
        detector: FittedDetector,
        saved: Path,
        marked: Sequence[PageImage],
        name: str,
        overwrite: bool,
        prompts: Prompts | None,
        progress: Progress | None = None,
    ) -> tuple[FittedDetector, list[Found]]:
        """Fit a detector and save it.

        Args:
          detector: the detector to fit again.
          saved: its directory.
          marked: images that people marked good, which are also written to the folder.
          name: name of the directory to write.
          overwrite: replace a detector of that name.
          prompts: other prompts; None keeps the prompts.
          progress: see `fit_model`.

        Returns:
          The detector, and the files that were skipped, with the reason.

        Raises:
          InputError: a reference image was moved or changed, there is nothing to change, or `fit` raises it.
        """
        out = self.path(name)
        check_out(out, overwrite)
        if not marked and prompts is None:
            raise InputError("nothing was changed; mark an image as good first, or use other prompts")
        config = config_of(detector)
        method = detector.method
        changed = method if prompts is None else with_prompts(method, prompts)
        model = TiledDetector(changed, detector.model.tiling)
        before = self._before(detector)
        paths = before + [Found(self._write(image)) for image in marked]
        files = ReferenceFiles.of(str(self.out), paths) if paths else None
        for lost in files.skipped if files else ():
            raise InputError(
                f"{lost.path}: {lost.error}; put the image back, or give --references=FOLDER if it was moved"
            )
        fitted = fit_model(config, model, saved_params(saved), files, out, overwrite, progress=progress)
        skipped = fitted.references.skipped if fitted.references else []
        return load_again(out, method.backbone, detector.batch_size), skipped

    def _before(self, detector: FittedDetector) -> list[Found]:
        """Find the reference images of a detector; raise InputError if the content of one changed."""
        paths = [Path(path) for path in detector.description["references"]]
        digests = detector.description.get("reference_digests", [])  # missing in old detectors
        if self.references is None or not paths:
            found = [Found(str(path)) for path in paths]
        else:
            marked = [Found(str(path)) for path in paths if path.parent == (self.out / MARKED).absolute()]
            found = [file for file in find(self.references) if not file.error] + marked
        if not digests:
            return found
        now = digests_of(file.path for file in found)
        by_content = {now[file.path]: file for file in found}
        for path, digest in zip(paths, digests, strict=True):
            if digest and digest not in by_content:
                raise InputError(
                    f"{path}: is missing, or its content changed since the detector was fitted; put it back, "
                    "give --references=FOLDER if it was moved, or fit again"
                )
        return [by_content.get(digest, Found(str(path))) for path, digest in zip(paths, digests, strict=True)]

    def _write(self, image: PageImage) -> str:
        """Write an image's file under the digest of its content, if it is not there; return its path."""
        digest = hashlib.sha256(image.content).hexdigest()[:16]
        path = (self.out / MARKED / digest).with_suffix(Path(image.name).suffix.lower()).absolute()
        if not path.exists():
            write_atomically(path, image.content)
        return str(path)


def config_of(detector: FittedDetector) -> FitConfig:
    """Return the configuration that a detector was fitted with."""
    stored = unflattened(detector.description["options"])
    return FitConfig(detector.description["method"], detector.object_name, **stored)
