"""The torch function over the engine: its values, its gradient by torch's own check, types, batches, refusals."""

import numpy as np
import pytest
import torch

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.oracle import probabilities as by_oracle
from qcaan.errors import CircuitError
from qcaan.learn.ansatz import ion_trap_ansatz, measured_circuits
from qcaan.learn.differentiable import loss_of, probabilities
from qcaan.learn.losses import ClippedNll, Mmd

CIRCUIT = measured_circuits(ion_trap_ansatz(3, 5), ("trained",))[0]


def angles(*shape: int) -> torch.Tensor:
    values = np.random.default_rng(1).uniform(-3, 3, (*shape, CIRCUIT.n_params))
    return torch.tensor(values, requires_grad=True)


def test_values_are_those_of_the_oracle():
    rows = angles(2)
    expected = [by_oracle(CIRCUIT, row) for row in rows.detach().numpy()]
    np.testing.assert_allclose(probabilities(CIRCUIT, rows).detach(), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2)])
def test_the_gradient_passes_torchs_check(shape):
    rows = angles(*shape)
    assert probabilities(CIRCUIT, rows).shape == (*shape, 8)
    assert torch.autograd.gradcheck(lambda t: probabilities(CIRCUIT, t), rows, eps=1e-6, atol=1e-7)


def test_qubit_0_is_the_leftmost_bit():
    flipped = probabilities(Circuit(2).rx(theta[0], 0), torch.tensor([np.pi], dtype=torch.float64))
    np.testing.assert_allclose(flipped, [0, 0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("shape", [(), (1,), (2, 2)])
@pytest.mark.parametrize("loss", [ClippedNll(), Mmd()], ids=["nll", "mmd"])
def test_a_loss_is_that_of_the_probabilities_and_passes_torchs_check(loss, shape):
    rows, target = angles(*shape), np.random.default_rng(2).dirichlet(np.ones(8))
    found = loss_of(CIRCUIT, rows, target, loss)
    each = probabilities(CIRCUIT, rows).detach().numpy().reshape(-1, 8)
    np.testing.assert_allclose(found.detach(), np.reshape([loss.value(target, q) for q in each], shape), atol=1e-12)
    assert torch.autograd.gradcheck(lambda t: loss_of(CIRCUIT, t, target, loss), rows, eps=1e-6, atol=1e-7)


def test_a_loss_keeps_the_type_of_its_angles():
    row = angles().detach().float().requires_grad_()
    loss_of(CIRCUIT, row, np.full(8, 1 / 8), ClippedNll()).backward()
    assert row.grad.dtype == torch.float32


def test_a_target_that_does_not_fit_is_refused():
    with pytest.raises(CircuitError, match="give the 8 probabilities of 3 qubits"):
        loss_of(CIRCUIT, angles(), np.ones(4) / 4, ClippedNll())


def test_it_trains_together_with_a_network():
    """A layer makes the angles; both learn a target of two outcomes."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, CIRCUIT.n_params)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(150):
        q = probabilities(CIRCUIT, layer(torch.ones(1, 2)))[0]
        loss = -0.5 * (q[0].clamp_min(1e-8).log() + q[7].clamp_min(1e-8).log())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert q.dtype == torch.float32
    assert float((q[0] + q[7]).detach()) > 0.9


def test_a_second_derivative_is_refused():
    row = angles()
    (gradient,) = torch.autograd.grad(probabilities(CIRCUIT, row).square().sum(), row, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_wrong_number_of_angles_is_refused():
    with pytest.raises(CircuitError, match="theta"):
        probabilities(CIRCUIT, torch.zeros(3))
