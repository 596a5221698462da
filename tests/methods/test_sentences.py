"""Prompts longer than the context length, which raise an error if truncation makes them equal, else warn."""

import logging
from pathlib import Path

import numpy as np
import pytest

from tests.data.conftest import made_image, save
from tests.experiments.command import here
from tests.golden import golden_clip, shallow_clip
from vlmad_jax import AprilGAN, CoOp, InputError, WinCLIP, load_clip
from vlmad_jax.backbones.tokenizer import shortened, token_bound, truncated_sentences
from vlmad_jax.inspection.prompts import Prompts, with_prompts
from vlmad_jax.scoring.prompts import PromptEnsemble, check_distinct

# Each digit is one token, and the context length is 77.
SHORT, LONG = "nut", " ".join(["nut"] * 60)
# Prompts with this name are truncated, but after the words in which they differ.
MIDDLING = "7" * 70
PROMPTS = PromptEnsemble(("{}", "{} without flaw"), ("damaged {}", "{} with flaw"), ("a photo of a {}.",))
STATES_FIRST = PromptEnsemble(("flawless {}",), ("damaged {}",), ("a {} on a table in a hall.",))


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_truncated_sentences():
    tokenizer = golden_clip("winclip").tokenizer
    sentences = [SHORT, LONG, "é" * 60, "a " * 75, "a " * 76]
    lengths = [len(tokenizer([sentence])["input_ids"][0]) for sentence in sentences]
    expected = [s for s, length in zip(sentences, lengths, strict=True) if length > 77]
    assert truncated_sentences(tokenizer, sentences, 77) == expected
    assert LONG in expected
    assert sentences[3] not in expected  # 75 tokens, a start and an end
    assert sentences[4] in expected
    for sentence, length in zip(sentences, lengths, strict=True):
        assert token_bound(sentence) >= length


@pytest.mark.parametrize("method", [WinCLIP, AprilGAN])
def test_prompts_that_truncation_makes_equal(method):
    detector = method.for_backbone(shallow_clip("winclip"))
    message = refusal(detector.text_features, LONG)
    assert message.startswith("'a cropped photo of the nut" if method is WinCLIP else "'a bad photo of a nut")
    assert message.endswith(
        " are the same prompt after truncation to 77 tokens; give a shorter name or shorter prompts"
    )
    assert len(message) < 300


def test_equal_prompts_without_truncation_are_allowed():
    check_distinct(shallow_clip("winclip"), ["a nut"], ["a nut"])


def test_words_of_the_page_that_truncation_makes_equal():
    long = f"{'7' * 72} {{}}"
    words = Prompts((f"{long} without a scratch",), (f"{long} with a scratch",))
    detector = with_prompts(WinCLIP(shallow_clip("winclip"), (3,)), words)
    assert "are the same prompt after truncation" in refusal(detector.text_features, "a metal nut")


def test_a_warning_of_truncated_sentences(capsys):
    clip = load_clip(golden_clip("winclip").name)
    detector = WinCLIP(clip, (3,), prompts=STATES_FIRST)
    for _ in range(2):
        detector.text_features(MIDDLING)
    assert capsys.readouterr().err == (
        "warning: 2 of 2 sentences are truncated to 77 tokens, the first is "
        f"{shortened(f'a flawless {MIDDLING} on a table in a hall.')}; give a shorter name or shorter "
        "prompts\n"
    )  # once
    clip.encode_text([SHORT, LONG])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 1 of 2 sentences are truncated to 77 tokens, the first is 'nut nut")
    detector.text_features(SHORT)
    assert capsys.readouterr().err == ""


def test_a_program_can_turn_warnings_off(capsys):
    clip = load_clip(golden_clip("winclip").name)
    logging.getLogger("vlmad_jax").setLevel(logging.ERROR)
    try:
        clip.warn_of_truncation([LONG])
    finally:
        logging.getLogger("vlmad_jax").setLevel(logging.NOTSET)
    assert capsys.readouterr().err == ""


def test_learned_tokens_before_long_names(capsys):
    clip = load_clip(golden_clip("winclip").name)
    detector = CoOp(clip, 64, context_length=8)
    frozen = detector.context([SHORT, LONG])
    ids = np.asarray(clip.token_ids(["X " * 8 + f"flawless {LONG}."]))
    assert ids[0, 76] == clip.config.text.eos_token_id
    assert frozen.prompts.end.tolist()[1] == [76, 76]  # a truncated sentence keeps its end token
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: 2 of 4 sentences are truncated to 77 tokens, the first is 'flawless")


def test_fit_with_a_name_of_sixty_words(tmp_path: Path, weights: Path, capsys) -> None:
    save(made_image(1), tmp_path / "good/000.png")
    out = tmp_path / "nut.vlmad"
    flags = [f"--weights={weights}", f"--references={tmp_path / 'good'}", f"--out={out}", "--augmentations=1"]
    done = here(capsys, "fit", "--method=winclip", "--window_sizes=2", f"--object={LONG}", *flags)
    assert (done.code, done.stdout) == (1, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: 'a cropped photo of the nut nut")
    assert line.endswith("; give a shorter name or shorter prompts")
    assert not out.exists()
