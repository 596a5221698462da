"""Open a page on this computer to review the decisions of a detector, and to fit it again.

    pip install -e '.[page]'
    python -m experiments.review nut.vlmad --out=detectors --open

Drop images on the page: each is shown with its heat map, score, probability and boxes. All decisions follow
the threshold when it is moved. Mark mistakes and refit: a refit adds the images marked good to the reference
images and fits a new threshold; of the images marked bad the page counts how many a threshold misses. Where
the method has prompts, other prompts can be tried. A refitted detector is saved in --out under a name of its
own, with the images that were marked good. The reference images of the first detector must not have changed;
if they were moved, give --references.

The page listens on 127.0.0.1, fetches nothing from a network, and answers only at the printed address, which
changes with every start. Ctrl-C ends it. Loading takes seconds, and a refit as long as experiments.fit.
"""

from __future__ import annotations

import webbrowser
from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.saved import load_detector

PORT = flags.DEFINE_integer("port", 0, "Port of the page; 0 is a free one.", lower_bound=0, upper_bound=65535)
OPEN = flags.DEFINE_bool("open", False, "Open the page in the browser.")
OUT = define_path("out", None, "Folder of refitted detectors; without it the page cannot refit.")
REFERENCES = define_path("references", None, "Folder of the reference images, if they were moved.")
WEIGHTS = define_path("weights", None, "Directory of the detector's weights, if they were moved.")


def main(name: str) -> None:
    """Serve the page until it is interrupted."""
    try:
        from vlmad_jax.inspection.page.app import Server
        from vlmad_jax.inspection.page.refit import Refitter
        from vlmad_jax.inspection.page.review import Review
    except ModuleNotFoundError as error:
        raise InputError(f"the page needs the package {error.name}; pip install 'vlmad-jax[page]'") from None
    references = None if REFERENCES.value is None else Path(REFERENCES.value)
    refitter = None if OUT.value is None else Refitter(Path(OUT.value), references)
    server = Server(Review(load_detector(name, WEIGHTS.value), Path(name), refitter), PORT.value)
    print(f"the page is at {server.url}\nCtrl-C ends it", flush=True)
    if OPEN.value:
        webbrowser.open(server.url)
    server.run()


if __name__ == "__main__":
    common.main(main, "DETECTOR")
