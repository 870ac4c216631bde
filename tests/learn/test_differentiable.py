"""The torch function over the engine: its values, its gradient by torch's own check, types, batches, refusals."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad, functional

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.oracle import probabilities as by_oracle
from qcaan.circuits.simulate import Engine
from qcaan.errors import CircuitError
from qcaan.learn.ansatz import ion_trap_ansatz, measured_circuits
from qcaan.learn.differentiable import loss_of, probabilities
from qcaan.learn.losses import ClippedNll, Mmd

TORCHS_OWN = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
"""Its forward mode scripts functions when it is first used."""
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loss_and_its_gradient_have_the_type_of_their_angles(dtype):
    target, exact = np.full(8, 1 / 8), angles()
    row = exact.detach().to(dtype).requires_grad_()
    loss = loss_of(CIRCUIT, row, target, ClippedNll())
    loss.backward()
    loss_of(CIRCUIT, exact, target, ClippedNll()).backward()
    assert loss.dtype == row.grad.dtype == dtype
    np.testing.assert_allclose(row.grad.float(), exact.grad, rtol=0, atol=50 * torch.finfo(dtype).eps)


def test_no_batch_has_no_losses():
    rows = angles(2, 0)
    found = loss_of(CIRCUIT, rows, np.full(8, 1 / 8), ClippedNll())
    found.sum().backward()
    assert found.shape == (2, 0)
    assert rows.grad.shape == rows.shape


def test_a_repeated_backward_adds_up():
    row = angles()
    loss = loss_of(CIRCUIT, row, np.full(8, 1 / 8), ClippedNll())
    loss.backward(retain_graph=True)
    once = row.grad.clone()
    loss.backward()
    torch.testing.assert_close(row.grad, 2 * once, rtol=0, atol=0)


@pytest.mark.parametrize("constant", ["no_grad", "detached"])
def test_without_a_gradient_none_is_prepared(constant, monkeypatch):
    row, target = angles(2), np.full(8, 1 / 8)
    expected = probabilities(CIRCUIT, row).detach(), loss_of(CIRCUIT, row, target, ClippedNll()).detach()
    monkeypatch.setattr(Engine, "linearize", None)
    with torch.set_grad_enabled(constant != "no_grad"):
        row = row.detach() if constant == "detached" else row
        found = probabilities(CIRCUIT, row), loss_of(CIRCUIT, row, target, ClippedNll())
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


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


FUNCTIONS = {
    "square": lambda t: probabilities(CIRCUIT, t).square().sum(),
    "linear": lambda t: (probabilities(CIRCUIT, t) * torch.arange(8)).sum(),
    "loss": lambda t: loss_of(CIRCUIT, t, np.full(8, 1 / 8), ClippedNll()),
}


def _again(function, row):
    """The gradient as torch may differentiate it."""
    return torch.autograd.grad(function(row), row, create_graph=True)[0].square().sum()


SECOND = {
    "backward": lambda f, t: _again(f, t).backward(),
    "backward, named": lambda f, t: (_again(f, t) + t.sum()).backward(inputs=[t]),
    "grad": lambda f, t: torch.autograd.grad(_again(f, t) + t.square().sum(), t),
    "not a leaf": lambda f, t: _again(lambda u: f(2 * u), t).backward(),
    "hessian": functional.hessian,
    "hessian, vectorized": partial(functional.hessian, vectorize=True),
    "hvp": lambda f, t: functional.hvp(f, t, torch.ones_like(t)),
    "vhp": lambda f, t: functional.vhp(f, t, torch.ones_like(t)),
    "jvp, which differentiates twice": lambda f, t: functional.jvp(f, t, torch.ones_like(t)),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("derive", SECOND.values(), ids=SECOND)
def test_more_than_a_first_derivative_is_refused(function, derive):
    """Never taken for zero."""
    with pytest.raises(CircuitError, match="gradient has no gradient"):
        derive(function, angles())


@TORCHS_OWN
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_forward_mode_is_refused(function):
    """Of angles that learn nothing torch itself would say nothing."""
    row = angles().detach()
    with forward_ad.dual_level(), pytest.raises(CircuitError, match="forward-mode"):
        function(forward_ad.make_dual(row, torch.ones_like(row)))


@TORCHS_OWN
def test_a_forward_derivative_of_the_pullback_is_refused():
    row, weights = angles(), torch.ones(8, dtype=torch.float64)
    with forward_ad.dual_level(), pytest.raises(CircuitError, match="forward-mode"):
        torch.autograd.grad(probabilities(CIRCUIT, row), row, forward_ad.make_dual(weights, weights))


def test_a_derivative_by_the_cotangent_is_refused():
    row, weights = angles(), torch.ones(8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(probabilities(CIRCUIT, row), row, weights, create_graph=True)
    with pytest.raises(CircuitError, match="first derivatives"):
        torch.autograd.grad(gradient.sum() + weights.sum(), weights)


def test_a_gradient_that_could_be_differentiated_is_the_gradient():
    row = angles()
    for function in FUNCTIONS.values():
        (plain,) = torch.autograd.grad(function(row), row)
        (kept,) = torch.autograd.grad(function(row), row, create_graph=True)
        assert torch.equal(plain, kept)


@pytest.mark.parametrize("theta", [torch.tensor(0.3), torch.zeros(CIRCUIT.n_params, dtype=torch.int64)])
def test_numbers_and_integers_are_refused(theta):
    with pytest.raises(CircuitError, match="floating-point"):
        probabilities(CIRCUIT, theta)


def test_a_circuit_without_parameters():
    assert probabilities(Circuit(1), torch.zeros(2, 0)).tolist() == [[1, 0], [1, 0]]


def test_a_wrong_number_of_angles_is_refused():
    with pytest.raises(CircuitError, match="theta"):
        probabilities(CIRCUIT, torch.zeros(3))
