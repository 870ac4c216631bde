"""A circuit's exact probabilities, or a loss of them, as a torch function of its angles: circuits train with networks.

Why the losses too, although torch could compute them from the probabilities: for small circuits the state takes less
time than torch's way through four operations and back.

Why no second derivative: the engine's adjoint method gives first derivatives at the cost of a few runs; asking torch
for more raises an error instead of treating the gradient as a constant.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.autograd.function import once_differentiable

from qcaan.circuits.circuit import Circuit
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.simulate import Engine
from qcaan.errors import CircuitError
from qcaan.learn.losses import Loss


def probabilities(circuit: Circuit, theta: Tensor) -> Tensor:
    """Probabilities of all outcomes of `circuit`, (..., 2**n), of theta (..., n_params), in radians.

    Indexed by the bitstring as a binary number, qubit 0 leftmost; all qubits are read. Computed in float64 on the
    processor, whatever the type and device of theta, and returned in theta's. The gradient is exact.

    Raises:
        CircuitError: theta does not fit the circuit, or is not finite.
    """
    out: Tensor = _Probabilities.apply(theta, circuit)  # type: ignore[no-untyped-call]
    return out


def loss_of(circuit: Circuit, theta: Tensor, target: ArrayLike, loss: Loss) -> Tensor:
    """The loss of the circuit's probabilities against `target` (2**n,), (...), of theta (..., n_params), in radians.

    Outcomes, precision and type are those of `probabilities`. The gradient is exact: the loss's own derivative, pulled
    back to theta.

    Raises:
        CircuitError: theta or target does not fit the circuit, or theta is not finite.
    """
    goal = np.asarray(target, dtype=np.float64)
    if goal.shape != (2**circuit.n_qubits,):
        problem = f"the target has shape {goal.shape}"
        raise CircuitError(f"{problem}; give the {2**circuit.n_qubits} probabilities of {circuit.n_qubits} qubits")
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
        shape = ctx.shape = theta.shape
        rows = _array(theta).reshape(-1, shape[-1])
        values, ctx.pullback = engine(circuit).linearize(rows)
        return torch.from_numpy(values.reshape(*shape[:-1], values.shape[-1])).to(theta)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401 - torch's context
        gradient = ctx.pullback(_array(cotangent))
        return torch.from_numpy(gradient.reshape(ctx.shape)).to(cotangent), None


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, circuit: Circuit, goal: FloatArray, loss: Loss) -> Tensor:  # noqa: ANN401
        shape = theta.shape
        values, pullback = engine(circuit).linearize(_array(theta).reshape(-1, shape[-1]))
        if ctx.needs_input_grad[0]:
            gradient = pullback(np.array([loss.derivative(goal, q) for q in values]))
            ctx.gradient = torch.from_numpy(gradient.reshape(shape)).to(theta)
        return torch.from_numpy(np.array([loss.value(goal, q) for q in values]).reshape(shape[:-1])).to(theta)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401 - torch's context
        return ctx.gradient * weights.unsqueeze(-1), None, None, None


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().to("cpu", torch.float64).numpy()
    return array
