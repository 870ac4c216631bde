"""Any backend as a Qiskit `SamplerV2`: existing programs, compiled natively and run exactly once.

Why `run` returns when the shots are there: what is asked of it is durable before it is sent, so a program that is
stopped while it waits loses nothing; it is started again and goes on where it was. Circuits that may run at the same
time belong into one call, as several PUBs: the core sends them together.

Why a circuit is converted before its parameters are bound: it is then compiled once for all their values. Where an
angle is not linear in one parameter, each binding is converted and compiled by itself.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.qiskit_import import from_qiskit
from qcaan.errors import CircuitError, MissingSDK
from qcaan.execution.backend import Backend
from qcaan.execution.session import Budget, Request, Session, Store, without_idle

try:
    from qiskit import QuantumCircuit
    from qiskit.primitives import BasePrimitiveJob, BaseSamplerV2, BitArray, DataBin, PrimitiveResult, SamplerPubResult
    from qiskit.primitives.containers.sampler_pub import SamplerPub, SamplerPubLike
    from qiskit.providers import JobStatus
except ImportError as error:
    raise MissingSDK("qiskit", "qiskit") from error


class QiskitSampler(BaseSamplerV2):  # type: ignore[misc]  # Qiskit has no types
    """Qiskit's SamplerV2 on any backend.

    The arguments are those of `qcaan.execution.session.Session`; `shots` is what a PUB gets that does not say.

    ```python
    sampler = QiskitSampler("local", store="shots.sqlite")
    counts = sampler.run([(circuit, [[0.1], [0.2]], 1000)]).result()[0].data.meas.get_counts(0)
    ```
    """

    def __init__(
        self,
        backend: str | Backend,
        *,
        shots: int = 1024,
        store: Store | str | Path | None = None,
        run: str | None = None,
        seed: int = 1,
        budget: Budget | None = None,
    ) -> None:
        self.session = Session(backend, client="qiskit", store=store, run=run, seed=seed, budget=budget)
        self.default_shots = shots

    def run(self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None) -> "QiskitJob":
        """Run PUBs: a circuit, or (circuit, parameter values, shots); the job is done when it is returned.

        Raises:
            CircuitError: a circuit measures before its end, resets, branches, has no measurement, or holds another
                operation that is not a gate; the message names it.
            ValueError: a PUB's parameters or shots do not fit, as Qiskit says it.
            QcaanError: see `qcaan.execution.runner.Runner.run`.
        """
        asked = [_Asked(SamplerPub.coerce(pub, self.default_shots if shots is None else shots)) for pub in pubs]
        if not asked:
            return QiskitJob("", PrimitiveResult([], metadata={"version": 2}))
        tag, found = self.session.shots([request for one in asked for request in one.requests])
        rows = iter([bits for many in found for bits in many])
        run_name = self.session.run_name
        results = [one.result([next(rows) for _ in range(one.pub.size)], run_name, tag) for one in asked]
        return QiskitJob(f"{run_name}/{tag}", PrimitiveResult(results, metadata={"version": 2}))


class QiskitJob(BasePrimitiveJob):  # type: ignore[misc]
    """A job that is done."""

    def __init__(self, job_id: str, result: Any) -> None:  # noqa: ANN401 - a PrimitiveResult
        super().__init__(job_id)
        self._result = result

    def result(self) -> Any:  # noqa: ANN401
        """The `PrimitiveResult`: for each PUB a `BitArray` a classical register."""
        return self._result

    def status(self) -> JobStatus:
        """Done."""
        return JobStatus.DONE

    def done(self) -> bool:
        """True."""
        return True

    def running(self) -> bool:
        """False."""
        return False

    def cancelled(self) -> bool:
        """False."""
        return False

    def in_final_state(self) -> bool:
        """True."""
        return True

    def cancel(self) -> None:
        """Nothing: the job is done."""


class _Asked:
    """A PUB as requests, and their shots as its result."""

    def __init__(self, pub: SamplerPub) -> None:
        self.pub = pub
        circuit = pub.circuit
        self._written = sorted(
            {
                circuit.find_bit(bit).index
                for row in circuit.data
                if row.operation.name == "measure"
                for bit in row.clbits
            }
        )
        if not self._written:
            raise CircuitError(f"the circuit '{circuit.name}' has no measurement: add measure_all() at its end")
        self.requests = self._requests() if pub.size else []

    def _requests(self) -> list[Request]:
        circuit, shots = self.pub.circuit, self.pub.shots
        try:
            converted = without_idle(from_qiskit(circuit))
        except CircuitError:
            if not circuit.parameters:
                raise
            bound = np.ravel(self.pub.parameter_values.bind_all(circuit))
            return [Request(without_idle(from_qiskit(one)), shots) for one in bound]
        values = self.pub.parameter_values.as_array(circuit.parameters)
        theta = values.reshape(self.pub.size, -1)[:, : converted.n_params]
        return [Request(converted, shots, theta)]

    def result(self, rows: Sequence[NDArray[np.uint8]], run: str, tag: str) -> SamplerPubResult:
        """From the bits of each binding, uint8 (shots, written bits), in the order of the classical bits."""
        circuit: QuantumCircuit = self.pub.circuit
        bits = np.zeros((self.pub.size, self.pub.shots, circuit.num_clbits), dtype=bool)
        if rows:
            bits[:, :, self._written] = np.array(rows)
        bits = bits.reshape(*self.pub.shape, self.pub.shots, circuit.num_clbits)
        registers = {
            register.name: BitArray.from_bool_array(
                bits[..., [circuit.find_bit(bit).index for bit in register]], order="little"
            )
            for register in circuit.cregs
            if len(register)
        }
        metadata = {"shots": self.pub.shots, "circuit_metadata": circuit.metadata, "run": run, "tag": tag}
        return SamplerPubResult(DataBin(**registers, shape=self.pub.shape), metadata=metadata)
