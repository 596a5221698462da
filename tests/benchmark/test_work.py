import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from tests.benchmark.settings import SMALL, small
from vlmad_jax.backbones.checkpoints.key_tables import cast_matrices
from vlmad_jax.backbones.clip import CLIP, random_clip
from vlmad_jax.benchmark import (
    anomalyclip_flop,
    architecture,
    matmul_flop,
    prompt_training_flop,
    winclip_flop,
)
from vlmad_jax.benchmark.jobs import make_job, random_state
from vlmad_jax.errors import InputError
from vlmad_jax.methods import WinCLIP
from vlmad_jax.scoring import windows

# By hand for SMALL. One layer of T tokens: weights 2 T 16 (4 x 16 + 2 x 32) = 4096 T, attention
# 2 (2 T T 16) = 64 T T; projection 2 x 16 x 8 = 256. Sequences: 17 tokens once, 5 in 9 windows, 10 in 4.
EMBED = 2 * 16 * 192 * 16
TEXTS = 2 * 14 * 8 * 2
PUBLISHED = EMBED + 176_512 + 9 * 44_416 + 4 * 94_976 + TEXTS
# The last layer for the class token alone: keys and values 1024 T, attention 64 T, the rest 3072.
EXECUTED = EMBED + 109_952 + 9 * 30_848 + 4 * 61_568 + TEXTS
UPSAMPLING = 2 * 32 * 4 * 4 + 2 * 32 * 32 * 4  # of the map, along one axis and then the other
MEMORY = 2 * 2 * (16 * 16 * 16 + (9 * 9 + 4 * 4) * 8)  # two references


@functools.cache
def clip() -> CLIP:
    return random_clip(SMALL)


def executed(batch: int, shots: int = 0, backbone: CLIP | None = None, **options: int) -> int:
    detector = WinCLIP(backbone or clip(), **options)
    images = jax.ShapeDtypeStruct((batch, 32, 32, 3), jnp.uint8)
    return matmul_flop(detector.score, random_state(detector, shots), images)


def test_published_work_by_hand():
    assert winclip_flop(SMALL) == PUBLISHED == 1_054_912
    assert winclip_flop(SMALL, (2, 3), shots=2) == PUBLISHED + MEMORY
    assert winclip_flop(SMALL, (3,)) == PUBLISHED - 9 * 44_416 - 2 * 9 * 8 * 2


def test_published_work_of_the_papers_backbone():
    flop = winclip_flop(architecture("vit-b-16-plus-240"))
    assert flop == 673_451_682_816
    # 669 GFLOP is the weights of the layers alone, 12 for each of 2896 tokens.
    tokens = 196 * 5 + 169 * 10 + 226
    assert tokens * 12 * 2 * 896 * (4 * 896 + 2 * 3584) == pytest.approx(669e9, rel=2e-3)
    assert flop == pytest.approx(669e9, rel=1e-2)


def test_window_larger_than_the_grid():
    with pytest.raises(InputError, match="window size 5 does not fit a grid of 4 x 4"):
        winclip_flop(SMALL, (2, 5))


def test_executed_work_by_hand():
    assert executed(batch=1) == EXECUTED + UPSAMPLING
    assert executed(batch=3) == 3 * (EXECUTED + UPSAMPLING)


def test_executed_work_in_chunks(monkeypatch):
    monkeypatch.setattr(windows, "chunk_tokens", lambda: 20)  # 4 windows of 5 tokens at a time, and 2 of 10
    assert executed(batch=1) == EXECUTED + UPSAMPLING


def test_executed_work_with_references():
    # The whole image's last layer is now computed for all tokens.
    assert executed(batch=1, shots=2) == EXECUTED - 109_952 + 176_512 + UPSAMPLING + MEMORY


def test_work_that_a_stride_saves():
    """A stride of 2 keeps 4 of the 9 windows of 2 x 2 patches, and all windows of 3 x 3 patches."""
    saved = 5 * 30_848 + 2 * 5 * 8 * 2
    assert executed(batch=1, window_stride=2) == EXECUTED + UPSAMPLING - saved


@pytest.mark.parametrize("merge", [1, 3])
def test_work_that_merging_saves(merge):
    """Merging in the first of two layers saves 2048 a token in its MLP, and 1088 in the last keys and values.

    It costs similarities of tokens by keys of width 8, and sums of merged tokens of width 16 and their sizes.
    """

    def saved(tokens: int) -> int:
        gone, a, b = min(merge, (tokens - 1) // 2), -(-tokens // 2), tokens // 2
        return gone * (2048 + 1088) - 2 * a * b * 8 - 2 * gone * b * (16 + 1)

    expected = EXECUTED + UPSAMPLING - saved(17) - 9 * saved(5) - 4 * saved(10)
    assert executed(batch=1, merge_tokens=merge) == expected
    assert executed(batch=2, merge_tokens=merge) == 2 * expected
    # With references the whole image is not merged.
    few_shot = EXECUTED - 109_952 + 176_512 + UPSAMPLING + MEMORY
    assert executed(batch=1, shots=2, merge_tokens=merge) == few_shot - 9 * saved(5) - 4 * saved(10)


def test_int8_does_the_same_work():
    params = cast_matrices(clip().params, "int8")
    small = dataclasses.replace(clip(), params=params, dtype="int8")
    assert executed(batch=1, backbone=small) == EXECUTED + UPSAMPLING


def test_options_do_not_change_the_published_work():
    assert small(window_stride=2, merge_tokens=1).published_flop == PUBLISHED
    assert [small(window_stride=x, merge_tokens=y).is_published for x, y in ((1, 0), (2, None), (1, 1))] == [
        True,
        False,
        False,
    ]
    assert not small(multi_scale_sizes=(16,)).is_published
    assert small(multi_scale_sizes=(16,)).published_flop == PUBLISHED
    assert small(multi_scale_sizes=(16,)).detector(clip()).multi_scale_sizes == (16,)
    faster = small(window_stride=2, merge_tokens=1).detector(clip())
    assert (faster.window_stride, faster.merge_tokens) == (2, 1)


def test_scan_counts_every_step():
    matrix = jax.ShapeDtypeStruct((4, 4), jnp.float32)

    def powers(x):
        return jax.lax.scan(lambda product, _: (product @ x, None), x, length=5)[0]

    assert matmul_flop(powers, matrix) == 5 * 2 * 4 * 4 * 4


def test_unknown_number_of_products_is_refused():
    matrix = jax.ShapeDtypeStruct((4, 4), jnp.float32)
    with pytest.raises(ValueError, match="work of while"):
        matmul_flop(lambda x: jax.lax.while_loop(lambda y: y.sum() < 9, lambda y: y @ y, x), matrix)


def test_random_state_has_the_shapes_of_prepare():
    detector = WinCLIP(clip())
    shapes = jax.tree.map(lambda leaf: leaf.shape, random_state(detector, 2))
    assert shapes == ((2, 8), ((32, 16), ((18, 8), (8, 8))))
    assert random_state(detector, 0).text.std() > 0.5
    assert random_state(detector, 0).memory is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "winklip"}, "method 'winklip' is not one of winclip, anomalyclip, aprilgan"),
        ({"batch_size": 0}, "--batch_size=0 is below 1"),
        ({"shots": -1}, "--shots=-1 is below 0"),
        ({"window_sizes": ()}, "--window_sizes is empty"),
        ({"window_sizes": (5,)}, "window size 5 does not fit"),
        ({"window_stride": 3}, "--window_sizes=2,3 --window_stride=3: window stride 3 does not cover"),
        ({"merge_tokens": -1}, "--merge_tokens=-1: merge_tokens -1 is below 0"),
        ({"method": "aprilgan", "window_stride": 2}, "--window_stride is not an option of aprilgan"),
        ({"work": "sleep"}, "--work=sleep is not one of score, train, train_cached"),
        (
            {"method": "spade"},
            "--method=spade: the published work of this method is not counted; give one of winclip, ",
        ),
        ({"work": "train"}, "method 'winclip' learns no parameters; give one of anomalyclip, aprilgan, coop"),
    ],
)
def test_impossible_settings(changes, message):
    with pytest.raises(InputError, match=message):
        small(**changes)


def test_unknown_architecture():
    with pytest.raises(InputError, match="--arch=vit-x is not one of vit-b-32, "):
        architecture("vit-x")


def test_anomalyclips_work_by_hand():
    """SMALL with features of both layers, both with v-v attention: 17 tokens of width 16."""
    attention = 2 * (2 * 17 * 17 * 16) + 2 * 17 * 16 * 16
    layer = attention + 2 * 17 * (3 * 16 * 16 + 2 * 16 * 32)
    read = 1 + 2 * 16  # the class token, and the patches of two layers
    published = EMBED + 2 * layer + 2 * attention + 2 * read * 8 * (16 + 2)
    assert anomalyclip_flop(SMALL) == published
    with pytest.raises(InputError, match="anomalyclip has no windows and no references"):
        small(method="anomalyclip", shots=1)
    detector = small(method="anomalyclip").detector(clip())
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
    executed = matmul_flop(detector.score, random_state(detector, 0), images)
    # The last layer's own path is for the class token alone: 16 tokens less of CLIP's attention and MLP.
    saved = 16 * (2 * 2 * 17 * 16 + 2 * 16 * 16 + 2 * 2 * 16 * 32)
    of_maps = 2 * (2 * 32 * 4 * 4 + 2 * 32 * 32 * 4) + 2 * 2 * 32 * 32 * 32  # upsampling two layers; the blur
    assert executed == published - saved + of_maps


def test_anomalyclips_published_size():
    flop = anomalyclip_flop(architecture("vit-l-14-336"))
    assert flop == 1_222_895_787_008
    # 24 layers' weights for 1370 tokens, 12 squares of 1024 each, are 828 GFLOP; attention is twice.
    weights, products = 24 * 1370 * 2 * 12 * 1024**2, (24 + 19) * 2 * 2 * 1370**2 * 1024
    assert flop == pytest.approx(weights + products, rel=6e-2)


def test_work_of_a_training_step():
    """SMALL's text transformer has one layer of width 16 and prompts of 16 tokens."""
    weights, attention = 2 * 16 * (4 * 16 * 16 + 2 * 16 * 32), 2 * 2 * 16 * 16 * 16
    assert prompt_training_flop(SMALL) == 2 * (2 * weights + 3 * attention)
    setting = small(method="anomalyclip", work="train", batch_size=4)
    assert setting.published_flop == anomalyclip_flop(SMALL) + prompt_training_flop(SMALL) // 4
    on_images, on_features = (
        make_job(dataclasses.replace(setting, work=work), "float32") for work in ("train", "train_cached")
    )
    images = jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.uint8)
    detector = setting.detector(clip())
    encoding = matmul_flop(detector.extract, {"params": clip().params["vision"]}, images)
    assert on_images.flop() - on_features.flop() == encoding
    before, after = on_features.call(), on_features.call()
    assert float(after["loss"][0]) < float(before["loss"][0])


def test_training_batch_that_is_not_divisible(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    with pytest.raises(InputError, match="--batch_size=3 is not divisible by 2 devices"):
        make_job(small(method="anomalyclip", work="train", batch_size=3), "float32")
