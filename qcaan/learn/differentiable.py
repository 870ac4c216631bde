"""A circuit's exact probabilities as a torch function of its angles, so that circuits and networks train together.

Why no second derivative: the engine's adjoint method gives first derivatives at the cost of a few runs; asking torch
for more raises an error instead of treating the gradient as a constant.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qcaan.circuits.circuit import Circuit
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.simulate import Engine


def probabilities(circuit: Circuit, theta: Tensor) -> Tensor:
    """Probabilities of all outcomes of `circuit`, (..., 2**n), of theta (..., n_params), in radians.

    Indexed by the bitstring as a binary number, qubit 0 leftmost; all qubits are read. Computed in float64 on the
    processor, whatever the type and device of theta, and returned in theta's. The gradient is exact.

    Raises:
        CircuitError: theta does not fit the circuit, or is not finite.
    """
    out: Tensor = _Probabilities.apply(theta, circuit)  # type: ignore[no-untyped-call]
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


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().to("cpu", torch.float64).numpy()
    return array
