"""Collect photographs with free licences out of packages, for `experiments.pretrain --photographs`.

    python docs/photographs.py photographs

This needs pip, npm, apt-get and dpkg (Debian 12). It downloads the packages in `SOURCES` into
`photographs/packages`, which may be removed afterwards, and makes these folders of JPEG files, whose shorter
side is at most 512 pixels:

- `train/objects` and `held_out/objects`: photographs of things, animals, buildings and landscapes.
- `train/surfaces`: photographs of paper, canvas, cork and frost.

`SOURCES.tsv` names the package, the licence and, where the package states one, the author of each photograph.
Of a Debian package whose `copyright` file states a licence for each photograph, only those with a licence in
`FREE` are taken. For the others it names the licence that the package states for all its files. Photographs
of solar panels are left out, because `elpv`, a data set of solar cells, is for tests alone, and so are the
surfaces of scikit-image, of which the data set `textures` is made.
"""

import argparse
import csv
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from PIL import Image

SHORTER_SIDE, SMALLEST = 512, 200
FREE = {"CC0-1.0", "public-domain", "CC-BY-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0"}


class Source(NamedTuple):
    """A package, where its photographs are, and its licence ("" means: see its file `copyright`)."""

    registry: str
    package: str
    below: str
    names: str
    licence: str
    part: str = "objects"


SOURCES = (
    Source(
        "pip",
        "scikit-image==0.25.2",
        "skimage/data",
        "astronaut.png camera.png cell.png chelsea.png clock_motion.png coins.png hubble_deep_field.jpg "
        "ihc.png moon.png page.png retina.jpg rocket.jpg coffee.png motorcycle_left.png",
        "CC0 or public domain (docstrings of skimage.data)",
    ),
    Source(
        "pip",
        "scikit-learn==1.6.1",
        "sklearn/datasets/images",
        "china.jpg flower.jpg",
        "CC BY 2.0, flickr.com/photos/ danielbuechele (china), vultilion (flower)",
    ),
    Source("pip", "imagecorruptions==1.1.2", "imagecorruptions/frost", "frost*", "Apache-2.0", "surfaces"),
    Source(
        "apt",
        "mypaint-data-extras",
        "usr/share/mypaint/backgrounds",
        "mrmamurk/*.png ramon/HR_*.png",
        "CC0-1.0 (copyright)",
        "surfaces",
    ),
    Source("apt", "gcompris-qt-data", "gcompris/src/activities/categorization", "**/*.webp", ""),
    Source("apt", "gcompris-qt-data", "gcompris/src/activities/explore_world_animals", "**/*.webp", ""),
    Source("apt", "lomiri-wallpapers-16.04", "usr/share", "**/*_by_[!A]*.jpg **/*_by_Aitzol*.jpg", ""),
    Source(
        "apt",
        "opencv-doc",
        "usr/share/doc/opencv-doc/examples/data",
        "aero1.jpg apple.jpg board.jpg box_in_scene.png building.jpg chicky_512.png fruits.jpg home.jpg "
        "left01.jpg orange.jpg stuff.jpg sudoku.png",
        "Apache-2.0 and BSD-3-Clause (copyright)",
    ),
    Source("npm", "tabler-ui@0.0.34", "package/dist/demo/photos", "*-1500.jpg", "MIT (package.json)"),
    Source(
        "npm",
        "startbootstrap-agency@7.0.12",
        "package/dist/assets/img",
        "header-bg.jpg about/[2-4].jpg portfolio/2.jpg",
        "MIT (package.json)",
    ),
    Source(
        "npm",
        "startbootstrap-creative@7.0.7",
        "package/dist/assets/img",
        "bg-masthead.jpg portfolio/fullsize/*.jpg",
        "MIT (package.json)",
    ),
    Source(
        "npm",
        "startbootstrap-stylish-portfolio@6.0.6",
        "package/dist/assets/img",
        "**/*.jpg",
        "MIT (package.json)",
    ),
    Source(
        "npm",
        "material-kit@2.0.4",
        "package/assets/img",
        "bg.jpg bg2.jpg bg3.jpg bg7.jpg city.jpg city-profile.jpg examples/clem*.jpg examples/cynthia*.jpg "
        "examples/mariya*.jpg examples/olu*.jpg examples/studio*.jpg",
        "MIT (package.json)",
    ),
    Source(
        "npm",
        "paper-kit-2@2.1.0",
        "package/assets/img",
        "antoine* bruno* daniel* fabio* federico* ilya* joshua-s* login-image.jpg soroush* uriel*",
        "MIT (package.json)",
    ),
)
# The names of the photographs for `held_out`; all others are for training.
HELD_OUT = (
    "coffee",
    "motorcycle_left",
    "flower",
    "panda",
    "multimeter2",
    "volleyball",
    "buffetset",
    "leaningTowerOfPisa",
    "sudoku",
    "apple",
    "stuff",
    "ilya-yakover",
    "cynthia-del-rio",
    "Wine_by_Jakkub_Mede",
)
# Photographs whose names start so are left out.
LEFT_OUT = "solar"


def download(source: Source, packages: Path) -> Path:
    """Download and unpack a package, unless it is there already, and return its folder."""
    complete = packages / re.split("[=@]", source.package)[0]
    if complete.exists():
        return complete
    folder = complete.with_name(f"{complete.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    archives = packages / "archives" / complete.name
    shutil.rmtree(archives, ignore_errors=True)
    archives.mkdir(parents=True)
    commands = {
        "pip": [sys.executable, "-m", "pip", "download", "--no-deps", source.package],
        "npm": ["npm", "pack", source.package],
        "apt": ["apt-get", "download", source.package],
    }
    subprocess.run(commands[source.registry], cwd=archives, check=True, stdout=subprocess.DEVNULL)
    archive = next(archives.iterdir())
    if source.registry == "apt":
        subprocess.run(["dpkg", "-x", archive, folder], check=True)
        for path in sorted(folder.rglob("*.rcc")):
            unpack_resources(path.read_bytes(), folder)
    else:
        shutil.unpack_archive(archive, folder, "zip" if source.registry == "pip" else "gztar")
    return folder.rename(complete)


def unpack_resources(data: bytes, folder: Path) -> None:
    """Write the images that are inside a resource file of Qt (`.rcc`)."""
    version, tree, contents, names = struct.unpack(">IIII", data[4:20])

    def walk(node: int, path: Path) -> None:
        start = tree + node * (14 if version < 2 else 22)
        name, flags, first, second = struct.unpack(">IHII", data[start : start + 14])
        if node:
            length = struct.unpack(">H", data[names + name : names + name + 2])[0]
            path /= data[names + name + 6 : names + name + 6 + 2 * length].decode("utf-16-be")
        if flags & 2:  # a folder: how many children it has, and the first of them
            for child in range(second, second + first):
                walk(child, path)
        elif path.suffix == ".webp":
            at = contents + second
            content = data[at + 4 : at + 4 + struct.unpack(">I", data[at : at + 4])[0]]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(zlib.decompress(content[4:]) if flags & 1 else content)

    walk(0, folder)


def stated_licence(path: Path, copyright_file: Path) -> tuple[str, str]:
    """Return the licence and the author that a Debian package states for a file; the last match counts."""
    licence = author = ""
    for paragraph in re.split(r"\n\s*\n", copyright_file.read_text()):
        fields = dict(re.findall(r"^(\w+):((?:.*)(?:\n[ \t].*)*)", paragraph, re.MULTILINE))
        for pattern in fields.get("Files", "").split():
            # The package has been converted to WebP since the names were written down.
            pattern = "*/" + re.sub(r"\.\w+$", "", pattern).removeprefix("16.04/")
            if fnmatchcase(str(path.with_suffix("")), pattern):
                licence = fields["License"].splitlines()[0].strip()
                author = "; ".join(line.strip() for line in fields["Copyright"].splitlines())
    return licence, author


def photographs(packages: Path) -> Iterator[tuple[Source, Path, str, str]]:
    """Yield each photograph with its source, licence and author."""
    for source in SOURCES:
        folder = download(source, packages)
        licence, author = source.licence, ""
        for name in source.names.split():
            for path in sorted((folder / source.below).glob(name)):
                if path.stem.startswith(LEFT_OUT):
                    continue
                if not source.licence:
                    stated = folder / "usr/share/doc" / source.package / "copyright"
                    licence, author = stated_licence(path, stated)
                    if licence not in FREE:
                        continue
                yield source, path, licence, author


def save(path: Path, target: Path) -> bool:
    """Save a photograph over white as JPEG, no larger than needed; return False if it is too small."""
    image = Image.open(path).convert("RGBA")
    if min(image.size) < SMALLEST:
        return False
    flat = Image.new("RGBA", image.size, "white")
    flat.alpha_composite(image)
    scale = min(1.0, SHORTER_SIDE / min(flat.size))
    size = round(flat.width * scale), round(flat.height * scale)
    target.parent.mkdir(parents=True, exist_ok=True)
    flat.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(target, quality=90)
    return True


def remove_collected(folder: Path) -> None:
    """Remove the photographs that `SOURCES.tsv` lists, which may have been collected from other sources."""
    table = folder / "SOURCES.tsv"
    if table.exists():
        with table.open(newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                (folder / row["file"]).unlink(missing_ok=True)


def main() -> None:
    """Collect all photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    remove_collected(folder)
    rows = []
    for source, path, licence, author in photographs(folder / "packages"):
        package = re.split("[=@]", source.package)[0]
        archive = next((folder / "packages/archives" / package).iterdir()).name
        part = "held_out" if path.stem in HELD_OUT else "train"
        original = path.relative_to(folder / "packages" / package)
        name = "_".join(original.relative_to(source.below).with_suffix(".jpg").parts)
        target = folder / part / source.part / f"{package}_{name}"
        if save(path, target):
            rows.append([str(target.relative_to(folder)), archive, str(original), licence, author])
    with (folder / "SOURCES.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([["file", "package", "original", "licence", "author"], *rows])


if __name__ == "__main__":
    main()
