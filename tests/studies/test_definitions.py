"""Defect types, groups of categories and levels of contrast."""

import collections
import doctest

import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.report.published import comparison, published_defects
from vlmad_jax.studies import definitions
from vlmad_jax.studies.definitions import (
    UNTYPED,
    contrast_levels,
    defect_type,
    defect_types,
    groups,
    is_compared,
)


def test_examples():
    assert doctest.testmod(definitions).failed == 0


def test_every_defect_of_mvtec_ad_has_a_type_and_as_many_are_compared_as_published():
    defects = [(category, name) for category, names in published_defects().items() for name in names]
    assert len(defects) == 73
    assert {defect_type(*defect) for defect in defects} == set(defect_types())
    compared = collections.Counter(defect_type(*d) for d in defects if is_compared("mvtec_ad", *d))
    published = comparison()["anomalyclip_by_defect_type"]
    assert compared == {name: count for name, (_, _, count) in published.items()}
    assert list(defect_types()) == list(published)
    assert is_compared("synthetic", "hex_nut", "rust")


def test_every_rendered_defect_has_a_type():
    names = [name.replace(" ", "_") for name in rendering.DEFECTS]
    assert UNTYPED not in {defect_type("any", name) for name in names}


def test_groups():
    mvtec = groups("mvtec_ad", list(published_defects()))
    assert {name: len(members) for name, members in mvtec.items()} == {
        "texture": 5,
        "rigid": 7,
        "flexible": 3,
    }
    families = [name.replace(" ", "_") for name in rendering.TEST_FAMILIES]
    assert "other" not in groups("synthetic", families)
    assert groups("folder", ["nut"]) == {"other": ["nut"]}
    assert groups("mvtec_ad", ["cable", "nut"]) == {"flexible": ["cable"], "other": ["nut"]}


@pytest.mark.parametrize(
    ("bounds", "levels", "used"),
    [
        (
            None,
            ["high", "low", "medium", "low", "high", "medium"],
            [pytest.approx(8 / 3), pytest.approx(13 / 3)],
        ),
        ((0.0, 5.0), ["high", "medium", "medium", "medium", "medium", "medium"], [0.0, 5.0]),
    ],
)
def test_levels_of_contrast(bounds, levels, used):
    assert contrast_levels([6, 1, 3, 2, 5, 4], bounds) == (levels, used)
