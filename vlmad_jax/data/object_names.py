"""The names of objects for prompts, where the name of a category is not one.

A prompt needs a noun that people use: "02" says nothing, and neither does "Class1". The names of the medical
sets are the class names of AnomalyCLIP (Zhou et al., ICLR 2024, https://github.com/zqhang/AnomalyCLIP),
except that of ISIC, which is the title of its challenge, "Skin Lesion Analysis". That of KolektorSDD is
AnomalyCLIP's, too. The others spell out what the paper of the data set says of the category. A category
without an entry is called by its own name with spaces for underscores.
"""

from collections.abc import Mapping

_TEXTURES = {"blotchy": 99, "fibrous": 183, "marbled": 78, "matted": 69, "mesh": 114, "perforated": 37}

OBJECT_NAMES: dict[str, Mapping[str, str]] = {
    "elpv": {"mono": "monocrystalline solar cell", "poly": "polycrystalline solar cell"},
    "textures": {"brick": "brick wall", "grass": "lawn", "gravel": "gravel"},
    "mpdd": {
        "bracket_black": "black metal bracket",
        "bracket_brown": "brown metal bracket",
        "bracket_white": "white metal bracket",
        "tubes": "metal tubes",
    },
    "mvtec_ad_2": {"wallplugs": "wall plugs"},
    "real_iad": {
        "pcb": "printed circuit board",
        "terminalblock": "terminal block",
        "transistor1": "transistor",
        "u_block": "U-shaped block",
        "usb": "USB connector",
        "usb_adaptor": "USB adaptor",
        "vcpill": "pill",
        "woodstick": "wooden stick",
    },
    "btad": dict.fromkeys(("01", "02", "03"), "industrial product"),
    "dagm": {f"Class{number}": "textured surface" for number in range(1, 11)},
    "dtd_synthetic": {
        **{f"{name.capitalize()}_{number:03}": f"{name} texture" for name, number in _TEXTURES.items()},
        "Stratified_154": "stratified texture",
        **{f"Woven_{number:03}": "woven texture" for number in (1, 68, 104, 125, 127)},
    },
    "ksdd": {"commutator": "electrical commutator"},
    "ksdd2": {"surface": "metal surface"},
    "headct": {"head": "brain"},
    "isic": {"skin": "skin lesion"},
}
