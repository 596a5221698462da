"""The prompt ensemble against the prompts of the published code."""

import pytest

from tests.golden import case
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble


def test_sentences_of_winclip():
    setting = case("winclip").setting
    assert WINCLIP.normal(setting["class_name"]) == setting["normal_prompts"]
    assert WINCLIP.anomalous(setting["class_name"]) == setting["anomalous_prompts"]
    assert (len(setting["normal_prompts"]), len(setting["anomalous_prompts"])) == (147, 84)


@pytest.mark.parametrize("name", ["metal nut", "part {0} of a {set}", "50% {}"])
def test_any_name_of_an_object_is_used_as_it_is(name):
    ensemble = PromptEnsemble(("{} without flaw",), ("damaged {}",), ("a photo of the {}.",))
    assert ensemble.normal(name) == [f"a photo of the {name} without flaw."]
    assert ensemble.anomalous(name) == [f"a photo of the damaged {name}."]
