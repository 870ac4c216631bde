"""The networks alone: shapes, the latent head, and what is computed of them."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qcaan.learn.networks import (
    Discriminator,
    Generator,
    class_information,
    mean_squared_correlation,
    squared_gradient,
)
from qcaan.learn.scores import inception_score

N_BITS = 5


def pictures(n: int) -> Tensor:
    """Noise, float32 (n, 1, 28, 28) in [-1, 1]."""
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1


@given(n=st.integers(1, 4), bits=st.integers(1, 16), noise=st.integers(0, 3), channels=st.integers(1, 4))
@settings(max_examples=15)
def test_shapes_and_ranges(n: int, bits: int, noise: int, channels: int) -> None:
    images = Generator(bits + noise, channels=channels).eval()(torch.randn(n, bits + noise))
    assert images.shape == (n, 1, 28, 28)
    assert images.abs().max() < 1
    logits, latents = Discriminator(bits, channels=channels).eval()(images)
    assert (logits.shape, latents.shape) == ((n,), (n, bits))
    assert latents.abs().max() <= 1


def test_a_latent_vector_scales_and_shifts_every_layer() -> None:
    """With a first layer that says nothing, bits still make an image, and nothing else does."""
    torch.manual_seed(0)
    network = Generator(N_BITS, channels=4).eval()
    with torch.no_grad():
        network.encode.weight.zero_()
        images = network(torch.eye(N_BITS)[[0, 1, 1]] * 2 - 1)
        assert torch.equal(images[1], images[2])
        assert not torch.allclose(images[0], images[1], atol=1e-3)
        for modulation in network.modulate:
            modulation.read.weight.zero_()
        assert torch.equal(*network(torch.eye(N_BITS)[:2]))


def test_units_that_only_read_leave_the_logit_alone() -> None:
    images = pictures(8)
    for feeds, moves in ((False, False), (True, True)):
        torch.manual_seed(0)
        network = Discriminator(N_BITS, channels=2, feeds_logit=feeds)
        before = network(images)[0]
        with torch.no_grad():
            network.read.weight.neg_()
        assert torch.equal(before, network(images)[0]) is not moves


def test_batchnorm_balances_every_unit() -> None:
    """Units shifted far to one side, which saturate a bare tanh, stay balanced behind the normalisation."""
    images = pictures(64)
    for on in (True, False):
        torch.manual_seed(0)
        network = Discriminator(N_BITS, channels=2, batchnorm=on)
        network.read = torch.nn.Linear(network.read.in_features, N_BITS)
        with torch.no_grad():
            network.read.bias.fill_(50.0)
        shares = (network(images)[1] > 0).float().mean(0)
        assert bool(((shares > 0.2) & (shares < 0.8)).all()) is on


def test_only_real_images_are_remembered() -> None:
    network = Discriminator(N_BITS, channels=2)
    images = pictures(8)
    before = network.state_dict()["balance.running_mean"].clone()
    _, forgotten = network(images, remember=False)
    assert torch.equal(network.state_dict()["balance.running_mean"], before)
    _, remembered = network(images)
    assert not torch.equal(network.state_dict()["balance.running_mean"], before)
    assert torch.allclose(forgotten, remembered, atol=1e-6)


def test_squared_gradient_against_differences() -> None:
    torch.manual_seed(0)
    network = Discriminator(2, channels=2)
    image = torch.rand(1, 1, 28, 28, dtype=torch.float64)
    double = copy.deepcopy(network).double()
    steps = torch.eye(784, dtype=torch.float64).reshape(784, 1, 28, 28) * 1e-5
    with torch.no_grad():
        ends = [double.judge(double.trunk(image + step)).squeeze(1) for step in (steps, -steps)]
    slope = (ends[0] - ends[1]) / 2e-5
    penalty = squared_gradient(network.eval(), image.float()).detach()
    assert float(penalty) == pytest.approx(float(slope.square().sum()), rel=1e-4)


@given(seed=st.integers(0, 1000), n=st.integers(3, 30), width=st.integers(2, 6))
def test_mean_squared_correlation(seed: int, n: int, width: int) -> None:
    values = np.random.default_rng(seed).normal(size=(n, width))
    correlation = np.corrcoef(values.T)
    expected = (correlation[~np.eye(width, dtype=bool)] ** 2).mean()
    assert float(mean_squared_correlation(torch.tensor(values))) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_correlation_of_one_unit_or_constant_units() -> None:
    assert float(mean_squared_correlation(torch.rand(5, 1))) == 0
    constant = torch.ones(5, 3, requires_grad=True)
    mean_squared_correlation(constant).backward()
    assert bool(constant.grad.isfinite().all())


@given(seed=st.integers(0, 1000), n=st.integers(1, 20), width=st.integers(2, 10))
def test_class_information_is_the_logarithm_of_an_inception_score(seed: int, n: int, width: int) -> None:
    logits = 3 * np.random.default_rng(seed).normal(size=(n, width))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.log(inception_score(p, np.full(n, 1 / n)))
    assert float(class_information(torch.tensor(logits))) == pytest.approx(expected, abs=1e-5)


def test_class_information_at_its_ends() -> None:
    sure = (200.0 * torch.eye(10)).requires_grad_()
    highest = class_information(sure)
    assert float(highest.detach()) == pytest.approx(np.log(10))
    highest.backward()
    assert bool(sure.grad.isfinite().all())
    one = (200.0 * torch.eye(10)[[3, 3]]).requires_grad_()  # seven classes have probability 0, even on average
    lowest = class_information(one)
    assert float(lowest.detach()) == pytest.approx(0, abs=1e-6)
    lowest.backward()
    assert bool(one.grad.isfinite().all())
