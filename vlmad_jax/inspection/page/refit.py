"""A detector made anew: its good images, those that people call good, and a threshold chosen again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import FittedDetector
from vlmad_jax.inspection.fit import FitConfig, fit_scorer
from vlmad_jax.inspection.good import GoodFiles
from vlmad_jax.inspection.page.session import Shown
from vlmad_jax.inspection.saved import check_out
from vlmad_jax.inspection.scorer import Scorer
from vlmad_jax.inspection.sources import Found, find
from vlmad_jax.inspection.store import load_again, saved_params
from vlmad_jax.inspection.words import Words, with_words
from vlmad_jax.methods.options import unflattened
from vlmad_jax.runtime.contents import digests_of
from vlmad_jax.runtime.files import write_atomically

SUFFIX = ".vlmad"
KEPT = "good"  # the folder of the images that people called good
_NAME = re.compile(r"\w[\w-]{0,59}(\.\w[\w-]{0,19})?", re.ASCII)


@dataclass(frozen=True)
class Workshop:
    """Where refitted detectors are made.

    Attributes:
      out: the folder that they, and the images they are made of, are written to.
      references: where the good images of the first are now, if they were moved.
    """

    out: Path
    references: Path | None = None

    def path(self, name: str) -> Path:
        """That of a detector; raises InputError for a name that is none, or would be elsewhere."""
        if not _NAME.fullmatch(name) or name == KEPT:
            raise InputError(
                f"{name[:80]!r} is no name for a detector; give letters, digits, - and _, for example "
                "nut-2.vlmad"
            )
        return self.out / name

    def suggested(self, before: Path) -> str:
        """The next name that is free: nut-2.vlmad after nut.vlmad, nut-3.vlmad after that."""
        stem = re.sub(r"[^\w-]", "-", re.sub(r"-\d+$", "", before.stem), flags=re.ASCII)[:50].lstrip("-")
        names = (f"{stem or 'detector'}-{number}{SUFFIX}" for number in range(2, 10_000))
        return next(name for name in names if not (self.out / name).exists())

    def refit(
        self,
        detector: FittedDetector,
        saved: Path,
        marked: Sequence[Shown],
        name: str,
        overwrite: bool,
        words: Words | None,
    ) -> tuple[FittedDetector, list[Found]]:
        """Makes a detector and saves it.

        Args:
          detector: the one to begin with.
          saved: where that is.
          marked: images that people call good; kept in the folder, for the next time.
          name: of the directory to write.
          overwrite: replace a detector of that name.
          words: to be used from now on; None keeps those it has.

        Returns:
          The detector, and what was left out, with the reason.

        Raises:
          InputError: a good image is not where it was, nothing was changed, or what `fit` refuses.
        """
        out = self.path(name)
        check_out(out, overwrite)
        if not marked and words is None:
            raise InputError("nothing was changed; mark a good image as good first, or use other words")
        config = config_of(detector)
        method = detector.scorer.detector
        scorer = Scorer(
            method if words is None else with_words(method, words), detector.scorer.tiling, config.batch_size
        )
        before = self._before(detector)
        paths = before + [Found(self._keep(shown)) for shown in marked]
        files = GoodFiles.of(str(self.out), paths) if paths else None
        for lost in files.left_out if files else ():
            raise InputError(
                f"{lost.path}: {lost.error}; the good images must be where they were, or --references "
                "say where"
            )
        fitted = fit_scorer(config, scorer, saved_params(saved), files, out, overwrite)
        left_out = fitted.good.left_out if fitted.good else []
        return load_again(out, method.clip, detector.batch_size), left_out

    def _before(self, detector: FittedDetector) -> list[Found]:
        """The good images that a detector was made of, where they are now.

        Raises InputError for one whose file holds something else by now.
        """
        paths = [Path(path) for path in detector.description["references"]]
        digests = detector.description.get("reference_digests", [])  # older detectors have none
        if self.references is None or not paths:
            found = [Found(str(path)) for path in paths]
        else:
            kept = [Found(str(path)) for path in paths if path.parent == (self.out / KEPT).absolute()]
            found = [file for file in find(self.references) if not file.error] + kept
        if not digests:
            return found
        now = digests_of(file.path for file in found)
        by_content = {now[file.path]: file for file in found}
        for path, digest in zip(paths, digests, strict=True):
            if digest and digest not in by_content:
                raise InputError(
                    f"{path}: is gone, or holds something else than when the detector was made; put it back, "
                    "give --references=FOLDER if it was moved, or fit again"
                )
        return [by_content.get(digest, Found(str(path))) for path, digest in zip(paths, digests, strict=True)]

    def _keep(self, shown: Shown) -> str:
        """Writes an image's file, named by its content, if it is not there; returns its path."""
        digest = hashlib.sha256(shown.content).hexdigest()[:16]
        path = (self.out / KEPT / digest).with_suffix(Path(shown.name).suffix.lower()).absolute()
        if not path.exists():
            write_atomically(path, shown.content)
        return str(path)


def config_of(detector: FittedDetector) -> FitConfig:
    """Return the configuration that a detector was fitted with."""
    stored = unflattened(detector.description["options"])
    return FitConfig(detector.description["method"], detector.object_name, **stored)
