"""A circuit's exact probabilities, or a loss of them, as a torch function of its angles: circuits train with networks.

Why the losses too, although torch could compute them from the probabilities: for small circuits the state takes less
time than torch's way through four operations and back.

Why no second derivative: the engine's adjoint method gives first derivatives at the cost of a few runs; asking torch
for more raises an error instead of treating the gradient as a constant. Why not with torch's `once_differentiable`: its
refusal is attached to inputs of its own, so whoever asks for a derivative by theta alone, as a Hessian does, passes it
by.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.autograd import forward_ad

from qcaan.circuits.circuit import Circuit
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.simulate import Engine
from qcaan.errors import CircuitError
from qcaan.learn.losses import Loss

_REMEDY = "take first derivatives, by backward() or torch.autograd.grad, and differences of them for more"


def probabilities(circuit: Circuit, theta: Tensor) -> Tensor:
    """Probabilities of all outcomes of `circuit`, (..., 2**n), of theta (..., n_params), in radians.

    Indexed by the bitstring as a binary number, qubit 0 leftmost; all qubits are read. Computed in float64 on the
    processor, whatever the type and device of theta, and returned in theta's. The gradient is exact.

    Raises:
        CircuitError: theta does not fit the circuit, is not finite, or has integers.
    """
    if not _learns(theta):
        return _tensor(engine(circuit).probabilities(_rows(theta)), theta, 2**circuit.n_qubits)
    out: Tensor = _Probabilities.apply(theta, circuit)  # type: ignore[no-untyped-call]
    return out


def loss_of(circuit: Circuit, theta: Tensor, target: ArrayLike, loss: Loss) -> Tensor:
    """The loss of the circuit's probabilities against `target` (2**n,), (...), of theta (..., n_params), in radians.

    Outcomes, precision and type are those of `probabilities`. The gradient is exact: the loss's own derivative, pulled
    back to theta.

    Raises:
        CircuitError: theta or target does not fit the circuit, or theta is not finite, or has integers.
    """
    goal = np.asarray(target, dtype=np.float64)
    if goal.shape != (2**circuit.n_qubits,):
        problem = f"the target has shape {goal.shape}"
        raise CircuitError(f"{problem}; give the {2**circuit.n_qubits} probabilities of {circuit.n_qubits} qubits")
    if not _learns(theta):
        return _tensor(_each(loss.value, goal, engine(circuit).probabilities(_rows(theta))), theta)
    out: Tensor = _Loss.apply(theta, circuit, goal, loss)  # type: ignore[no-untyped-call]
    return out


@lru_cache(maxsize=8)
def engine(circuit: Circuit) -> Engine:
    """The circuit's engine, compiled once."""
    return Engine(circuit)


class _Probabilities(torch.autograd.Function):
    """Few steps, for small circuits: every call of torch's costs microseconds, as much as the engine's arithmetic."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, circuit: Circuit) -> Tensor:  # noqa: ANN401 - torch's context
        values, ctx.pullback = engine(circuit).linearize(_rows(theta))
        ctx.theta = theta
        return _tensor(values, theta, values.shape[1])

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's context
        gradient = _tensor(ctx.pullback(_array(cotangent)), ctx.theta, ctx.theta.shape[-1])
        return _first(gradient, cotangent, ctx.theta), None


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, circuit: Circuit, goal: FloatArray, loss: Loss) -> Tensor:  # noqa: ANN401
        values, pullback = engine(circuit).linearize(_rows(theta))
        ctx.gradient = _tensor(pullback(_each(loss.derivative, goal, values)), theta, theta.shape[-1])
        ctx.theta = theta
        return _tensor(_each(loss.value, goal, values), theta)

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401 - torch's context
        gradient = ctx.gradient * (weights.unsqueeze(-1) if weights.ndim else weights)
        return _first(gradient, weights, ctx.theta), None, None, None


class _First(torch.autograd.Function):
    """A gradient, and nothing for those who would differentiate it by what it depends on."""

    @staticmethod
    def forward(_ctx: Any, gradient: Tensor, *_origins: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        return gradient

    @staticmethod
    def backward(_ctx: Any, _cotangent: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        raise CircuitError(f"a circuit's gradient has no gradient here: {_REMEDY}")


def _first(gradient: Tensor, *origins: Tensor) -> Tensor:
    """The result of a backward pass, in which gradients are enabled only if it may be differentiated itself."""
    if not torch.is_grad_enabled():
        return gradient
    out: Tensor = _First.apply(gradient.detach(), *origins)  # type: ignore[no-untyped-call]
    return out


def _learns(theta: Tensor) -> bool:
    return theta.requires_grad and torch.is_grad_enabled()


def _each(function: Callable[[FloatArray, FloatArray], ArrayLike], goal: FloatArray, rows: FloatArray) -> FloatArray:
    """`function` of the goal and every row; what it returns for a single one is not copied."""
    return np.asarray(function(goal, rows[0]) if len(rows) == 1 else [function(goal, row) for row in rows])


def _rows(theta: Tensor) -> FloatArray:
    """float64 (B, n_params)."""
    if not theta.ndim or not theta.is_floating_point():
        problem = f"theta is a tensor of shape {tuple(theta.shape)} and type {theta.dtype}"
        raise CircuitError(f"{problem}; give (..., n_params) of a floating-point type")
    return _array(theta).reshape(math.prod(theta.shape[:-1]), theta.shape[-1])


def _array(tensor: Tensor) -> FloatArray:
    if forward_ad.unpack_dual(tensor).tangent is not None:  # type: ignore[no-untyped-call]
        raise CircuitError(f"a circuit has no forward-mode derivatives: {_REMEDY}")
    array: FloatArray = tensor.detach().cpu().double().numpy()
    return array


def _tensor(values: FloatArray, theta: Tensor, *width: int) -> Tensor:
    """One value, or `width` of them, for each row of theta."""
    return torch.from_numpy(values.reshape((*theta.shape[:-1], *width))).to(theta)
