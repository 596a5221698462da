"""Files of the authors' code with prompts of other lengths than published, on backbones of any depth."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.backbones.torch_files import ordered_dict, tensor, write
from tests.data.conftest import made_image, save
from tests.experiments.command import here
from tests.golden import difference, golden_clip, shallow_clip
from vlmad_jax import AnomalyCLIP, AprilGAN, CoOp, InputError
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.config import vit
from vlmad_jax.methods import MethodOptions, method

D = 64  # width of the reference models' text transformers


def pickled(path: Path, entry: str, tensors: dict[str, np.ndarray]) -> Path:
    """A file of `torch.save` with named float32 tensors below an entry."""
    storages = {str(n): np.ascontiguousarray(x, np.float32) for n, x in enumerate(tensors.values())}
    state = {}
    for name, (key, array) in zip(tensors, storages.items(), strict=True):
        strides = tuple(stride // 4 for stride in array.strides)
        state[name] = tensor("FloatStorage", key, array.size, 0, array.shape, strides)
    return write(path, {"epoch": 15, entry: ordered_dict(state, {})}, storages)


def prompts(n: int, depth: int, m: int, prefix: str = "", seed: int = 0) -> dict[str, np.ndarray]:
    """What AnomalyCLIP's code learns with n_ctx `n`, depth `depth` and t_n_ctx `m`; exact in float16."""
    rng = np.random.default_rng(seed)

    def tokens(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float16).astype(np.float32)

    learned = {name: tokens(1, 1, n, D) for name in ("ctx_pos", "ctx_neg")}
    learned |= {f"compound_prompts_text.{k}": tokens(m, D) for k in range(depth - 1)}
    return {prefix + name: x for name, x in learned.items()}


@pytest.mark.parametrize(
    ("n", "depth", "m", "prefix"),
    [(12, 3, 4, ""), (5, 2, 2, ""), (16, 3, 8, "module."), (4, 1, 4, ""), (20, 2, 1, "module.")],
)
def test_lengths_come_from_the_file(tmp_path, n, depth, m, prefix):
    clip = golden_clip("winclip")  # four vision layers, three of text, at 64 pixels
    path = pickled(tmp_path / "epoch_15.pth", "prompt_learner", prompts(n, depth, m, prefix))
    for name in ("anomalyclip", "hybrid"):
        made, params = method(name).from_options(clip, MethodOptions(params=str(path)))
        detector = made if isinstance(made, AnomalyCLIP) else made.anomalyclip
        assert (detector.context_length, detector.deep_depth) == (n, depth)
        assert (detector.image_size, detector.feature_layers) == (64, (1, 2, 3, 4))
        learned = prompts(n, depth, m)
        np.testing.assert_array_equal(params["normal"], learned["ctx_pos"][0, 0])
        np.testing.assert_array_equal(params["anomalous"], learned["ctx_neg"][0, 0])
        if depth == 1:
            assert "deep" not in params
        else:
            assert detector.deep_length == m
            deep = np.stack([learned[f"compound_prompts_text.{k}"] for k in range(depth - 1)])
            np.testing.assert_array_equal(params["deep"], deep)
        assert type(made).with_setting(clip, json.loads(json.dumps(made.setting))).setting == made.setting


def test_a_file_without_deep_tokens_has_the_features_of_its_context(tmp_path):
    """A context of known words with depth 1 equals the sentence."""
    clip = shallow_clip("winclip", 2)
    words = "a sharp photo of an"
    ids = np.array(clip.tokenizer([words])["input_ids"][0][1:-1])
    table = np.asarray(clip.params["text"]["token_embedding"], np.float32)[ids]
    known = {"ctx_pos": table[None, None], "ctx_neg": table[None, None]}
    path = pickled(tmp_path / "epoch_15.pth", "prompt_learner", known)
    detector, params = AnomalyCLIP.from_options(clip, MethodOptions(params=str(path)))
    text = detector.prepare(params=params).text
    sentences = [f"{words} object.", f"{words} damaged object."]
    assert difference(text, clip.encode_text(sentences)) <= 2e-5


def test_the_published_backbone_takes_the_published_setting(tmp_path):
    path = pickled(tmp_path / "epoch_15.pth", "prompt_learner", prompts(16, 5, 6))
    for side in (336, 224):  # as deep, and no tokenizer that would tell them apart
        clip = CLIP(vit(side, 14, (64, 24, 2), (D, 12, 2), 32, "quick_gelu"), {}, None)
        lengths = {"context_length": 16, "deep_depth": 5, "deep_length": 6}
        expected = dataclasses.replace(AnomalyCLIP.paper(clip), **lengths)
        assert AnomalyCLIP.trained(clip, path).setting == expected.setting


def refusal(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_lengths_that_do_not_fit(tmp_path):
    path = pickled(tmp_path / "a.pth", "prompt_learner", prompts(12, 9, 4))
    message = refusal(AnomalyCLIP.trained, golden_clip("winclip"), path)
    assert message == f"{path}: deep_depth 9 does not fit this backbone; give 1 to 3"
    many = prompts(12, 3, 4) | {f"other_{n}": np.zeros(1) for n in range(9)}
    path = pickled(tmp_path / "b.pth", "prompt_learner", many)
    message = refusal(AnomalyCLIP.trained, golden_clip("winclip"), path)
    assert message.startswith(f"{path}: expected ctx_pos, ctx_neg and compound_prompts_text.0 and on, found ")
    assert message.endswith(
        "with other_0, other_1, other_2 and 6 more; give a checkpoint of AnomalyCLIP's training"
    )


@pytest.mark.parametrize("name", ["anomalyclip", "aprilgan", "coop", "hybrid"])
@pytest.mark.parametrize("path", ["absent.pth", "absent/folder", "~/absent.pth"])
def test_a_missing_path_raises_first(name, path):
    message = refusal(method(name).from_options, golden_clip("winclip"), MethodOptions(params=path))
    assert message.startswith(f"--params={Path(path).expanduser()}: no such file or folder; give a folder of")


@pytest.mark.parametrize("prefix", ["", "module.", "prompt_learner."])
def test_a_context_of_coop_of_any_length(tmp_path, prefix):
    context = np.random.default_rng(0).normal(size=(5, D)).astype(np.float32)
    learner = {f"{prefix}ctx": context, f"{prefix}token_prefix": np.zeros((2, 1, D))}
    path = pickled(tmp_path / "model.pth", "state_dict", learner)
    detector, params = CoOp.from_options(golden_clip("winclip"), MethodOptions(params=str(path)))
    assert detector.context_length == 5
    np.testing.assert_array_equal(params["context"], context)


def test_projections_of_april_gan_from_several_devices(tmp_path):
    clip = golden_clip("winclip")
    shape = AprilGAN.for_backbone(clip).shapes["kernel"]
    kernels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    layers = {f"module.fc.{n}.weight": kernel.T for n, kernel in enumerate(kernels)}
    layers |= {f"module.fc.{n}.bias": np.full(shape[2], n) for n in range(len(kernels))}
    path = pickled(tmp_path / "epoch_15.pth", "trainable_linearlayer", layers)
    detector, params = AprilGAN.from_options(clip, MethodOptions(params=str(path)))
    assert detector.feature_layers == (1, 2, 3, 4)
    np.testing.assert_array_equal(params["kernel"], kernels)


def test_learned_numbers_that_are_not_finite(tmp_path):
    broken = prompts(12, 3, 4)
    broken["ctx_neg"][0, 0, 3, 4] = np.nan
    path = pickled(tmp_path / "a.pth", "prompt_learner", broken)
    message = refusal(AnomalyCLIP.from_options, golden_clip("winclip"), MethodOptions(params=str(path)))
    assert message.startswith(f"{path}: anomalous have numbers that are not finite; ")


def test_fit_with_a_file_of_other_lengths(tmp_path, weights, capsys):
    """The one text layer of these weights takes no deep tokens."""
    path = pickled(tmp_path / "epoch_15.pth", "prompt_learner", prompts(7, 1, 4))
    save(made_image(1), tmp_path / "good/000.png")
    flags = [f"--weights={weights}", f"--references={tmp_path / 'good'}", "--augmentations=1"]
    fit = ["fit", "--method=anomalyclip", "--object=nut", f"--out={tmp_path / 'nut.vlmad'}", *flags]
    done = here(capsys, *fit, f"--params={path}")
    assert done.code == 0, done.stderr
    assert "warning" not in done.stderr
    described = json.loads((tmp_path / "nut.vlmad/detector.json").read_text())
    assert described["setting"]["context_length"] == 7
    assert described["setting"]["deep_depth"] == 1
