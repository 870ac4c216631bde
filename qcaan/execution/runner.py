"""Circuits in, shots out: the one path by which anything is run.

look up -> compile -> plan -> reserve and journal -> submit -> poll -> reply -> counts, each durable before the next.

A call of `Runner.run` is named by its run and its tag. Asked again under the same name, it returns the shots that it
recorded, whatever happened in between: that is how a training run that died goes on as if nothing had happened. The
keys of its submissions, and with them a simulator's random numbers, derive from the root seed, the run, the tag, the
submission's position in the plan and the attempt, and from nothing else.

Shots are random variables, so the policy says when recorded ones may be used: "fresh" (every tag of a run has shots of
its own), "replay" (recorded shots only, no device), "reuse" (shots that other runs recorded for the same circuit,
device and calibration may serve, each once a run).
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qcaan.circuits.circuit import Basis, Circuit, Theta
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import CircuitError, ConfigError, ReplayMissError, StoreError
from qcaan.execution.access import Access
from qcaan.execution.backend import Backend, Simulator, Target
from qcaan.execution.budget import Budget
from qcaan.execution.counts import IntArray
from qcaan.execution.courier import Courier, Progress
from qcaan.execution.journal_log import log_step
from qcaan.execution.ledger import assemble, covered
from qcaan.execution.planner import plan, price_usd, violations
from qcaan.execution.policy import Clock, Patience
from qcaan.execution.records import OPEN, UNLUCKY, Call, Draft, Reuse, Submission
from qcaan.execution.registry import open_backend
from qcaan.execution.request import Ask, Compiler, Request
from qcaan.execution.result import Result, logical_probabilities
from qcaan.execution.reuse import check_reusable, find_reusable
from qcaan.execution.store import Store
from qcaan.execution.terms import Terms

__all__ = ["Policy", "Request", "Result", "Runner", "run"]

Policy = Literal["fresh", "replay", "reuse"]


class Runner:
    """Runs circuits on one backend and records every shot in a store.

    `run` names the run in the store, `seed` is its root seed. `backend` may be None under policy "replay". `budget` is
    needed for a QPU. `refresh` makes the backend anew when credentials have expired, and when its facts, such as the
    calibration, are older than `Patience.facts_s`; `report` is told the progress.

    Raises:
        ConfigError: an unknown policy, no backend, or a QPU without a budget or without a store that lasts.
    """

    def __init__(
        self,
        backend: Backend | None,
        *,
        store: Store,
        run: str,
        seed: int,
        policy: Policy = "fresh",
        budget: Budget | None = None,
        patience: Patience | None = None,
        clock: Clock | None = None,
        refresh: Callable[[], Backend] | None = None,
        report: Callable[[Progress], None] | None = None,
    ) -> None:
        if policy not in ("fresh", "replay", "reuse"):
            raise ConfigError(f"store.policy is '{policy}'; use fresh, replay or reuse")
        if policy != "replay":
            _check_backend(backend, store, budget)
        if policy == "reuse" and backend is not None:
            check_reusable(backend.target)
        self.store = store
        self.run_name = run
        self.seed = seed
        self.policy = policy
        self.budget = budget
        self._patience = patience or Patience()
        self._clock = clock or Clock()
        self._access = None if backend is None else Access(backend, store, self._patience.facts_s, refresh)
        self._report = report
        self._compiler = Compiler()

    @property
    def backend(self) -> Backend | None:
        """The backend, as it was made last."""
        return None if self._access is None else self._access.backend

    def run(self, requests: Sequence[Request], *, tag: str) -> list[list[Result]]:
        """Results of each request, one a row of its theta.

        `tag` names this call within the run and must be the same when the run is resumed.

        Raises:
            CircuitError, TargetError: a request cannot be run; nothing was sent.
            ReplayMissError: policy "replay", and this call was not recorded, or not completely.
            StoreError: the tag was used for other requests, or the store fails.
            BudgetError: the price of what comes next does not fit under the cap; it was not sent.
            DetachedError: jobs are still queued or running; call again to go on.
            BackendError, UnknownFateError: see `qcaan.errors`; what did succeed is recorded.
        """
        if not requests:
            return []
        asks = [self._compiler.check(request) for request in requests]
        digest = _digest(asks)
        needed = _shots_needed(asks)
        call = self._recorded(tag, digest)
        if call is not None and (results := assemble(call, asks, needed, self.store, {}, replayed=True)) is not None:
            return results
        if self.policy == "replay":
            raise ReplayMissError(f"run '{self.run_name}' has no complete record of '{tag}' in {self.store.name}")
        assert self._access is not None
        with self.store.lock(self.run_name, tag, self._patience.lock_s) as held:
            call = self._recorded(tag, digest)  # another process may have finished it meanwhile
            while True:
                call, batches = self._plan(call, asks, needed, tag, digest)
                clock, patience = self._clock, self._patience
                courier = Courier(self._access, self.store, self._terms(tag), patience, clock, held, self._report)
                call = courier.deliver(call, batches)
                results = assemble(call, asks, needed, self.store, courier.counts, replayed=False)
                if results is not None:
                    return results
                # Shots that another run lent may be lost meanwhile, to a decoder that was corrected: those are run.
                if not self._missing(call, needed).any():
                    raise StoreError(f"'{tag}' of run '{self.run_name}' is not complete after all that it sent is over")

    def probabilities(self, requests: Sequence[Request]) -> list[FloatArray]:
        """Exact probabilities of each request, float64 (B, 2**m) over its measured qubits; nothing is stored.

        Raises:
            ConfigError: the backend does not give exact probabilities.
        """
        backend = self.backend
        if not isinstance(backend, Simulator) or not backend.target.exact:
            name = backend.target.name if backend else "none"
            raise ConfigError(f"backend '{name}' does not give exact probabilities; use shots, or an exact simulator")
        asks = [self._compiler.check(request) for request in requests]
        compiled = [self._compiler.compile(ask, backend.target) for ask in asks]
        rows = iter(backend.probabilities([circuit for circuits, _ in compiled for circuit in circuits]))
        out = []
        for ask, (circuits, flips) in zip(asks, compiled, strict=True):
            measured = ask.circuit.measured
            p = [
                logical_probabilities(next(rows), int(flip), measured) for _, flip in zip(circuits, flips, strict=True)
            ]
            out.append(np.array(p).reshape(len(circuits), 2 ** len(measured)))
        return out

    def tag_of(self, requests: Sequence[Request]) -> str:
        """A tag that names these requests by their content, for callers without a step to name."""
        return _digest([self._compiler.check(request) for request in requests])

    # Before anything is sent

    def _recorded(self, tag: str, digest: str) -> Call | None:
        call = self.store.call(self.run_name, tag)
        if call is not None and call.digest != digest:
            raise StoreError(
                f"run '{self.run_name}' recorded other circuits, angles or shots under '{tag}': the configuration or "
                "the code changed since; use another run name"
            )
        if call is not None and call.seed != str(self.seed):
            raise StoreError(f"run '{self.run_name}' was recorded with seed {call.seed}, not {self.seed}")
        return call

    def _plan(
        self, call: Call | None, asks: list[Ask], needed: IntArray, tag: str, digest: str
    ) -> tuple[Call, Mapping[int, Sequence[NativeCircuit]]]:
        """Plan and record what the journal does not cover yet."""
        assert self._access is not None
        if call is not None:
            call = self._leave_behind(call, self._access.backend.target)
            if not self._missing(call, needed).any():
                return call, {}
        self._access.look_again(must=self.policy == "reuse")
        target = self._access.backend.target
        missing = self._missing(call, needed)
        compiled = [self._compiler.compile(ask, target) for ask in asks]
        circuits = [circuit for many, _ in compiled for circuit in many]
        flips = np.concatenate([flip for _, flip in compiled])
        reuse: list[Reuse] = []
        if self.policy == "reuse":
            check_reusable(target)
            reuse = find_reusable(self.store, self.run_name, target, circuits, flips, missing)
        parcels = plan([circuit.program for circuit in circuits], missing.tolist(), target)
        first = 1 + max((s.position for s in call.submissions), default=-1) if call else 0
        terms = self._terms(tag)
        drafts = [
            Draft(
                position=first + place,
                attempt=0,
                key=terms.key(first + place, 0),
                circuits=[circuits[item] for item in parcel.items],
                items=parcel.items,
                flips=flips[parcel.items],
                shots=parcel.shots,
                usd_high=price_usd(target, parcel.shots, len(parcel.items)),
            )
            for place, parcel in enumerate(parcels)
        ]
        requests = json.dumps([ask.facts for ask in asks], separators=(",", ":"))
        made = self.store.plan(
            target,
            drafts,
            call=call,
            new=(self.run_name, tag, digest, requests, str(self.seed)),
            reuse=reuse,
            budget=terms.budget,
            cap_usd=terms.cap_usd,
            versions=terms.versions,
        )
        new = made.submissions[len(made.submissions) - len(drafts) :]
        for s in new:
            log_step("planned", self.run_name, tag, s)
        return made, {s.id: draft.circuits for s, draft in zip(new, drafts, strict=True)}

    def _missing(self, call: Call | None, needed: IntArray) -> IntArray:
        """Shots of each circuit that nothing answers for yet, (k,)."""
        if call is None:
            return needed.copy()
        assert self._access is not None
        lacking = needed - covered(call, self.store, self._access.backend.target, len(needed))
        return lacking.clip(min=0)

    def _leave_behind(self, call: Call, target: Target) -> Call:
        """Give up what was planned for another device, or for this one when it was another, and was never sent.

        So is what another device failed: this one runs it, and the other must not try it again when the run comes back.
        What may have been sent to another device and costs money must be brought home or given up by a person.
        """
        behind = [s for s in call.submissions if s.state in OPEN and not self._is_for(s, target)]
        if paid := [s for s in behind if s.usd_high > 0 and s.state != "planned"]:
            raise StoreError(
                f"'{call.tag}' of run '{call.run}' has {len(paid)} submission(s) at {paid[0].device} that are not "
                "over; resume on that device, or cancel or release them"
            )
        attempts = {(s.position, s.attempt) for s in call.submissions}
        for s in call.submissions:
            elsewhere = (s.backend, s.device) != (target.name, target.device)
            if elsewhere and s.state in UNLUCKY and (s.position, s.attempt + 1) not in attempts:
                behind.append(s)
        for s in behind:
            why = f"{s.reason}; " if s.reason else ""
            self.store.given_up(s, f"{why}the run moved to {target.device}", s.usd or 0.0)
            log_step("released", call.run, call.tag, s)
        if not behind:
            return call
        moved = self.store.call(call.run, call.tag)
        assert moved is not None
        return moved

    def _is_for(self, s: Submission, target: Target) -> bool:
        """Whether an open submission is at this device, or can be sent to it as it was planned."""
        if (s.backend, s.device) != (target.name, target.device):
            return False
        if s.state != "planned" or s.target == target.digest:
            return True
        return not violations([circuit.program for circuit in self.store.batch(s.id)], s.shots, target)

    def _terms(self, tag: str) -> Terms:
        assert self._access is not None
        budget = self.budget or Budget(math.inf)
        fund, target = budget.name or f"run {self.run_name}", self._access.backend.target
        return Terms.of(self.store, target, self.run_name, tag, self.seed, budget=fund, cap_usd=budget.cap_usd)


def run(
    circuits: Sequence[Circuit],
    backend: str | Backend,
    *,
    shots: int = 1000,
    basis: Basis | Sequence[Basis] = "Z",
    theta: Sequence[float] | Sequence[Sequence[float]] | FloatArray | None = None,
    seed: int = 1,
    store: Store | str | Path | None = None,
    budget: Budget | None = None,
) -> list[Result]:
    """Run each circuit once and return one result a circuit.

    `basis` is one basis for all circuits, or a list of one a circuit. `theta` is one float64 (n_params,) a circuit, or
    one vector for all of them; circuits without parameters need none. Without a store, the shots end with the results.
    With one, the same call on the same device with the same seed gives the recorded shots; another seed gives new ones.

    Raises:
        CircuitError, ConfigError, TargetError: the input cannot be run; nothing was sent.
        QcaanError: as `Runner.run` says.
    """
    circuits = list(circuits)
    n = len(circuits)
    bases: Sequence[Any] = [basis] * n if _is_one_basis(basis) else _per_circuit(basis, n, "basis")
    thetas: Sequence[Any] = (
        [()] * n if theta is None else [theta] * n if np.ndim(theta[0]) == 0 else _per_circuit(theta, n, "theta")
    )
    requests = [
        Request(circuit, shots, one_theta, one_basis)
        for circuit, one_theta, one_basis in zip(circuits, thetas, bases, strict=True)
    ]
    device = open_backend(backend) if isinstance(backend, str) else backend
    held = store if isinstance(store, Store) else Store.open(store)
    # Shots that one device gave must not pass for another's.
    name = f"run on {device.target.name}, {device.target.device}, seed {seed}"
    runner = Runner(device, store=held, run=name, seed=seed, budget=budget)
    if wrong := next((r for r in requests if np.ndim(r.theta) > 1), None):
        raise CircuitError(f"theta has shape {np.shape(wrong.theta)}; give one vector a circuit, or use a Runner")
    return [results[0] for results in runner.run(requests, tag=runner.tag_of(requests))]


def _per_circuit(values: Any, n: int, name: str) -> list[Any]:  # noqa: ANN401 - angles, vectors or bases
    if len(values) != n:
        raise CircuitError(f"{name}: {len(values)} entries for {n} circuits; give one for all, or one a circuit")
    return list(values)


def _is_one_basis(basis: Basis | Sequence[Basis]) -> bool:
    return isinstance(basis, str) or all(isinstance(angle, int | float | np.number | Theta) for angle in basis)


def _check_backend(backend: Backend | None, store: Store, budget: Budget | None) -> None:
    if backend is None:
        raise ConfigError("a backend is needed, except under the policy 'replay'")
    target = backend.target
    charges = target.price.per_task_usd > 0 or target.price.per_shot_usd > 0
    if target.kind != "qpu" and not (target.kind == "simulator" and charges):  # an emulator's price is rehearsed
        return
    if budget is None:
        raise ConfigError(f"backend '{target.name}': {target.device} costs money: set budget.cap_usd")
    if not store.durable:
        raise ConfigError(
            f"backend '{target.name}': shots of {target.device} need a store that lasts; set store.url to a file"
        )


def _digest(asks: Sequence[Ask]) -> str:
    return hashlib.sha256("\n".join(ask.digest for ask in asks).encode()).hexdigest()


def _shots_needed(asks: Sequence[Ask]) -> IntArray:
    return np.array([ask.shots for ask in asks for _ in ask.theta], np.int64)
