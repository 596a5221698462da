"""The networks, losses and gradients of GANomaly and DRAEM equal independent ones in torch, in float64.

Run `pip install torch==2.13.0` and `pytest -m parity tests/methods/test_reconstruction_parity.py`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlmad_jax.methods import draem
from vlmad_jax.methods.draem_networks import Networks
from vlmad_jax.methods.ganomaly import Encoder, Generator, discriminate, discriminator_loss, generator_terms
from vlmad_jax.methods.reconstruction import initial_variables

pytestmark = [pytest.mark.parity, pytest.mark.usefixtures("as_people_run_it")]
RNG = np.random.default_rng(0)


def drawn(network: Any, images: np.ndarray) -> Any:
    """Variables in which every array differs from its initial value."""

    def change(x: jax.Array) -> np.ndarray:
        return np.asarray(4 * x * RNG.uniform(0.9, 1.1, x.shape) + RNG.uniform(0, 0.05, x.shape), np.float32)

    return jax.tree.map(change, initial_variables(network, 0, images))


def tensors(tree: Any) -> Any:
    """Return the same tree as float64 tensors with gradients."""
    import torch

    return jax.tree.map(lambda x: torch.tensor(np.asarray(x, np.float64), requires_grad=True), tree)


def nchw(x: np.ndarray) -> Any:
    import torch

    return torch.tensor(np.asarray(x, np.float64)).permute(0, 3, 1, 2)


def close(actual: Any, expected: Any) -> None:
    """Compare an array (B, h, w, c) or (B, c) with a tensor (B, c, h, w) or (B, c)."""
    expected = expected.detach()
    expected = expected.permute(0, 2, 3, 1) if expected.ndim == 4 else expected
    expected = expected.numpy().reshape(np.shape(actual))
    assert np.abs(np.asarray(actual) - expected).max() <= 1e-4 * max(1, np.abs(expected).max())


def same_gradients(actual: Any, tree: Any) -> None:
    """Compare gradients with those that torch left in a tree, relative to the largest of the network."""
    found, expected = jax.tree.leaves(actual), [x.grad.numpy() for x in jax.tree.leaves(tree)]
    largest = max(np.abs(x).max() for x in expected)
    assert largest > 0
    for one, other in zip(found, expected, strict=True):
        scale = max(np.abs(other).max(), 1e-2 * largest)  # biases before a batch norm have none
        assert np.abs(np.asarray(one) - other).max() <= 1e-4 * scale


def norm(x: Any, params: Any, stats: Any, name: str, train: bool) -> Any:
    from torch.nn import functional

    scale, bias = params[name]["scale"], params[name]["bias"]
    mean, var = (stats[name][k].detach().clone() for k in ("mean", "var"))
    return functional.batch_norm(x, mean, var, scale, bias, train, eps=1e-5)


def halve(x: Any, kernel: Any) -> Any:
    from torch.nn import functional

    inner, outer = kernel.shape[2] // 4, kernel.shape[3]
    squares = kernel.reshape(2, 2, 2, 2, inner, outer).permute(5, 4, 0, 2, 1, 3)
    return functional.conv2d(x, squares.reshape(outer, inner, 4, 4).contiguous(), stride=2, padding=1)


def double(x: Any, kernel: Any) -> Any:
    from torch.nn import functional

    inner, outer = kernel.shape[2], kernel.shape[3] // 4
    squares = kernel.reshape(2, 2, inner, 2, 2, outer).flip(0, 1).permute(2, 5, 0, 3, 1, 4)
    return functional.conv_transpose2d(
        x, squares.reshape(inner, outer, 4, 4).contiguous(), stride=2, padding=1
    )


def encode(params: Any, stats: Any, x: Any, train: bool) -> tuple[Any, Any]:
    from torch.nn import functional

    for number in range(3):
        x = halve(x, params[f"HalvingConv_{number}"]["Conv_0"]["kernel"])
        x = norm(x, params, stats, f"BatchNorm_{number - 1}", train) if number else x
        x = functional.leaky_relu(x, 0.2)
    kernel = params["Dense_0"]["kernel"].reshape(*x.shape[2:], x.shape[1], -1).permute(3, 2, 0, 1)
    return x, functional.conv2d(x, kernel.contiguous())[:, :, 0, 0]


def decode(params: Any, stats: Any, latents: Any, train: bool) -> Any:
    from torch.nn import functional

    kernel = params["Dense_0"]["kernel"].reshape(len(latents[0]), 4, 4, -1).permute(0, 3, 1, 2)
    y = functional.conv_transpose2d(latents[:, :, None, None], kernel.contiguous())
    for number in range(3):
        y = functional.relu(norm(y, params, stats, f"BatchNorm_{number}", train))
        y = double(y, params[f"DoublingConv_{number}"]["Conv_0"]["kernel"])
    return y.tanh()


def generate(tree: Any, x: Any, train: bool) -> tuple[Any, Any, Any]:
    parts = {name: (tree["params"][name], tree["batch_stats"][name]) for name in tree["params"]}
    _, first = encode(*parts["encoder"], x, train)
    drawn_images = decode(*parts["decoder"], first, train)
    return drawn_images, first, encode(*parts["second_encoder"], drawn_images, train)[1]


def test_ganomaly() -> None:
    import torch
    from torch.nn import functional

    images = RNG.uniform(-1, 1, (5, 32, 32, 3)).astype(np.float32)
    generator, discriminator = Generator(4, 3, 6), Encoder(4, 3, 1)
    variables, judge = drawn(generator, images), drawn(discriminator, images)
    for train in (False, True):
        apply = jax.jit(functools.partial(generator.apply, train=train, mutable=["batch_stats"]))
        for one, other in zip(
            apply(variables, images)[0], generate(tensors(variables), nchw(images), train), strict=True
        ):
            close(one, other)

    def losses(params: Any) -> Any:
        made = {**variables, "params": params}
        output, _ = generator.apply(made, images, train=True, mutable=["batch_stats"])
        judged = [discriminate(discriminator, judge["params"], x) for x in (images, output.images)]
        terms = generator_terms(images, output, judged[0].features, judged[1].features)
        return terms.total, (terms, output.images, judged)

    (_, (terms, fake, judged)), gradient = jax.jit(jax.value_and_grad(losses, has_aux=True))(
        variables["params"]
    )
    tree, judging = tensors(variables), tensors(judge)
    output, first, second = generate(tree, nchw(images), True)
    real, generated = (
        encode(judging["params"], judging["batch_stats"], x, True) for x in (nchw(images), output)
    )
    expected = [
        functional.mse_loss(real[0], generated[0]),
        functional.l1_loss(nchw(images), output),
        functional.mse_loss(first, second),
    ]
    np.testing.assert_allclose(terms, [float(x.detach()) for x in expected], rtol=1e-4)
    close(judged[0].features, real[0])
    close(judged[1].logits[:, None], generated[1])
    (expected[0] + 50 * expected[1] + expected[2]).backward()
    same_gradients(gradient, tree["params"])

    def judge_loss(params: Any) -> Any:
        return discriminator_loss(*(discriminate(discriminator, params, x).logits for x in (images, fake)))

    loss, gradient = jax.jit(jax.value_and_grad(judge_loss))(judge["params"])
    judging = tensors(judge)
    total = 0
    for x, label in ((nchw(images), 1), (output.detach(), 0)):
        logits = encode(judging["params"], judging["batch_stats"], x, True)[1]
        # The gradient of torch's cross-entropy of probabilities is cut off where they round to 0 or 1.
        labels = torch.full_like(logits, label)
        total = total + functional.binary_cross_entropy_with_logits(logits, labels) / 2
    np.testing.assert_allclose(loss, float(total.detach()), rtol=1e-4)
    total.backward()
    same_gradients(gradient, judging["params"])


def unet(params: Any, stats: Any, x: Any, pairs: int, triples: int, skips: bool, train: bool) -> Any:
    import torch
    from torch.nn import functional

    count = iter(range(100))

    def plain(x: Any, number: int) -> Any:
        part = params[f"Conv_{number}"]
        return functional.conv2d(x, part["kernel"].permute(3, 2, 0, 1).contiguous(), part["bias"], padding=1)

    def convolve(x: Any) -> Any:
        number = next(count)
        return functional.relu(norm(plain(x, number), params, stats, f"BatchNorm_{number}", train))

    encoded = []
    for number in range(pairs):
        x = convolve(convolve(functional.max_pool2d(x, 2) if number else x))
        encoded.append(x)
    for number in range(triples):
        x = convolve(functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
        x = torch.cat([x, encoded[-2 - number]], dim=1) if skips else x
        x = convolve(convolve(x))
    return plain(x, next(count))


def find(tree: Any, x: Any, train: bool) -> tuple[Any, Any]:
    import torch

    parts = {name: (tree["params"][name], tree["batch_stats"][name]) for name in tree["params"]}
    clean = unet(*parts["reconstructive"], x, 5, 4, False, train)
    return clean, unet(*parts["discriminative"], torch.cat([clean, x], dim=1), 6, 5, True, train)


def similarity(one: Any, other: Any) -> Any:
    """The mean structural similarity, with a two-dimensional window for each channel."""
    import torch
    from torch.nn import functional

    offset = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    window = (window / window.sum()).expand(3, 1, 11, 11)
    mean = functools.partial(functional.conv2d, weight=window, padding=5, groups=3)
    a, b = mean(one), mean(other)
    cross, squares = mean(one * other) - a * b, mean(one**2) + mean(other**2) - a**2 - b**2
    return ((2 * a * b + 1e-4) * (2 * cross + 9e-4) / ((a**2 + b**2 + 1e-4) * (squares + 9e-4))).mean()


def test_draem() -> None:
    import torch

    normal = RNG.uniform(0, 1, (3, 64, 64, 3)).astype(np.float32)
    images = np.clip(normal + RNG.normal(0, 0.2, normal.shape), 0, 1).astype(np.float32)
    masks = (RNG.random((3, 64, 64)) < 0.1).astype(np.uint8)
    networks = Networks(4)
    variables = drawn(networks, images)
    for train in (False, True):
        apply = jax.jit(functools.partial(networks.apply, train=train, mutable=["batch_stats"]))
        for one, other in zip(
            apply(variables, images)[0], find(tensors(variables), nchw(images), train), strict=True
        ):
            close(one, other)

    def losses(params: Any) -> Any:
        output, _ = networks.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
        )
        terms = draem.loss_terms(jnp.asarray(normal), masks, output)
        return sum(terms), terms

    (_, terms), gradient = jax.jit(jax.value_and_grad(losses, has_aux=True))(variables["params"])
    tree = tensors(variables)
    clean, logits = find(tree, nchw(images), True)
    target = torch.tensor(masks).long()
    one_hot = torch.nn.functional.one_hot(target, 2).permute(0, 3, 1, 2).double().clamp(1e-5, 1 - 1e-5)
    right = (one_hot * logits.softmax(dim=1)).sum(dim=1) + 1e-5
    expected = [
        ((clean - nchw(normal)) ** 2).mean(),
        1 - similarity(clean, nchw(normal)),
        (-((1 - right) ** 2) * right.log()).mean(),
    ]
    np.testing.assert_allclose(terms, [float(x.detach()) for x in expected], rtol=1e-4)
    sum(expected).backward()
    same_gradients(gradient, tree["params"])
