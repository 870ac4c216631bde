"""The rows, random numbers and batch normalisation of a process that has a part of every batch.

The group has one process, which stands for two that have the same rows: a mean over both is its own value. What needs
two different ones is in test_team.py.
"""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributed, nn

from qcaan.learn.networks import class_information, mean_squared_correlation
from qcaan.learn.share import ALONE, BatchNorm, Share

TWICE = Share(0, 2)


@pytest.fixture
def _group() -> Iterator[None]:
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@given(st.integers(1, 5), st.integers(1, 4))
def test_shares_make_a_batch_and_halve_its_halves(of: int, quarter: int) -> None:
    batch = np.arange(2 * of * quarter)
    parts = [Share(rank, of).rows(batch) for rank in range(of)]
    assert sorted(np.concatenate(parts)) == batch.tolist()
    for part in parts:
        assert np.array_equal(part < len(batch) / 2, np.arange(2 * quarter) < quarter)


@pytest.mark.parametrize("draw", ["random", "standard_normal"])
def test_random_numbers_are_those_of_the_whole_batch(draw: str) -> None:
    whole = getattr(ALONE.random(np.random.default_rng(5)), draw)((6, 3))
    parts = [getattr(Share(rank, 2).random(np.random.default_rng(5)), draw)((3, 3)) for rank in range(2)]
    assert np.array_equal(whole[0::2], parts[0])
    assert np.array_equal(whole[1::2], parts[1])
    assert len(np.unique(whole)) == 18


@pytest.mark.usefixtures("_group")
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 4, 4)])
def test_batch_normalisation_over_processes_has_torchs_values_and_two_derivatives(
    affine: bool, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(3)
    half = 2.0 + 3.0 * torch.randn(shape)
    weights = torch.randn(shape)
    peer = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(3, affine=affine)
    ours = BatchNorm(3, TWICE, affine=affine)
    if affine:
        with torch.no_grad():
            for module in (peer, ours):
                module.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
                module.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))

    def derivatives(module: nn.Module, x: Tensor, factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = x.clone().requires_grad_(True)
        y = module(x)
        (first,) = torch.autograd.grad((y.tanh() * factors).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        return y.detach(), first.detach(), second

    theirs = derivatives(peer, torch.cat([half, half]), torch.cat([weights, weights]))
    for found, expected in zip(derivatives(ours, half, weights), theirs, strict=True):
        torch.testing.assert_close(found, expected[: len(half)], atol=1e-5, rtol=1e-4)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(ours, name), getattr(peer, name))


@pytest.mark.usefixtures("_group")
def test_a_batch_may_be_kept_out_of_the_running_statistics() -> None:
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    for share in (ALONE, TWICE):
        module = BatchNorm(2, share, affine=False)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        kept_out = module(x, remember=False)
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        torch.testing.assert_close(kept_out, module(x))
        assert module.num_batches_tracked == 1
        module.eval()
        assert not torch.allclose(module(x), kept_out)


@pytest.mark.usefixtures("_group")
def test_gradients_are_averaged_and_what_has_none_is_left_alone() -> None:
    values = [torch.ones(2, 3), torch.ones(4), torch.ones(1)]
    for value in values[:2]:
        value.grad = torch.randn(value.shape, generator=torch.Generator().manual_seed(len(value)))
    before = [value.grad for value in values]
    TWICE.average_gradients(values)
    assert values[2].grad is None
    for value, gradient in zip(values[:2], before[:2], strict=True):
        assert gradient is not None
        assert value.grad is not None
        torch.testing.assert_close(value.grad, gradient)


@pytest.mark.usefixtures("_group")
@pytest.mark.parametrize("quantity", [mean_squared_correlation, class_information])
def test_quantities_of_a_batch_are_those_of_the_whole(quantity) -> None:
    half = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(quantity(half, TWICE), quantity(torch.cat([half, half])))
