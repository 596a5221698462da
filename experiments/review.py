"""A page on this computer for looking at what a detector of experiments.fit says, and for putting it right.

    pip install -e '.[page]'
    python -m experiments.review nut.vlmad --out=detectors --open

Drop images on it: each is shown with its heat map, score, probability and boxes. Move the threshold beside
the good scores and all decisions follow. Mark mistakes and refit: images marked good join the good ones and
the threshold is chosen anew; of those marked bad it says how many a threshold misses. Try other prompts for
good and bad, where the method has prompts. A refitted detector is saved under a name of its own in --out, with
the images that were marked good; the good images of the first must still be where they were, or
--references says where they are now.

The page listens on 127.0.0.1, fetches nothing from a network, and is answered at the printed address alone,
which changes with every start. Ctrl-C ends it. Loading takes seconds, refitting as long as experiments.fit.
"""

from __future__ import annotations

import webbrowser
from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.saved import load_detector

PORT = flags.DEFINE_integer("port", 0, "To listen at; 0 picks a free one.", lower_bound=0, upper_bound=65535)
OPEN = flags.DEFINE_bool("open", False, "Open the page in the browser.")
OUT = define_path("out", None, "Folder of refitted detectors; without it nothing is refitted.")
REFERENCES = define_path("references", None, "Where the detector's good images are, if moved.")
WEIGHTS = define_path("weights", None, "Where the detector's weights are now, if they were moved.")


def main(name: str) -> None:
    """A detector in, a page until it is interrupted."""
    try:
        from vlmad_jax.inspection.page.app import Server
        from vlmad_jax.inspection.page.refit import Refitter
        from vlmad_jax.inspection.page.review import Review
    except ModuleNotFoundError as error:
        raise InputError(f"the page needs the package {error.name}; pip install 'vlmad-jax[page]'") from None
    references = None if REFERENCES.value is None else Path(REFERENCES.value)
    refitter = None if OUT.value is None else Refitter(Path(OUT.value), references)
    server = Server(Review(load_detector(name, WEIGHTS.value), Path(name), refitter), PORT.value)
    print(f"the page is {server.url}\nCtrl-C ends it", flush=True)
    if OPEN.value:
        webbrowser.open(server.url)
    server.run()


if __name__ == "__main__":
    common.main(main, "DETECTOR")
