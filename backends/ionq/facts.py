"""A device's facts, from what IonQ's API says of it: qubits, native gates, fidelities, durations, prices.

Three facts are nowhere in the API: the range of shots, which is taken to be that of the same computers at Amazon
Braket, the limit of gates times shots of a circuit (docs.ionq.com), and how many circuits of one job run well, where
the documented limit is 5000.

Why the price of a shot is a bound: IonQ charges by gate and shot, or by time, each with a minimum, by the account's own
rates. What a job will cost is asked of `GET /jobs/estimate` for a circuit of the largest size that the options allow,
with the fewest and the most shots; the dearer shot of the two is what the core plans with, so that no job costs more
than was reserved. What it did cost is asked when it has ended.

Why the simulator runs one circuit a job: its noise is seeded for a whole job, and whether the circuits of one job draw
from it differently is not documented. Two equal circuits of a job might have equal shots, which count once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from backends.ionq.encode import Mitigation
from qcaan.circuits.native import NATIVE_NAMES
from qcaan.circuits.report import ARIA_FIGURES as ARIA
from qcaan.circuits.report import FORTE_FIGURES as FORTE
from qcaan.circuits.report import DeviceFigures
from qcaan.errors import ConfigError, IntegrityError
from qcaan.execution.backend import Price, Target

MAX_GATE_SHOTS = 1_000_000
MAX_SHOTS = 5_000
MAX_CIRCUITS = 100
MIN_SHOTS: Mapping[Mitigation, int] = {"none": 100, "debias": 500}
NOISE_MODELS = (
    "aria-1",
    "aria-2",
    "forte-1",
    "forte-enterprise-1",
)
_SIMULATED: Mapping[str, tuple[int, str, DeviceFigures]] = {"aria": (25, "ms", ARIA), "forte": (36, "zz", FORTE)}
"""Qubits, entangler and typical figures of a noise model's family."""
_Facts = Mapping[str, Any]


def qpu_target(
    facts: _Facts,
    characterization: _Facts | None,
    *,
    usd_per_shot: float,
    mitigation: Mitigation = "none",
    account: str = "",
) -> Target:
    """The target of a computer.

    Args:
        facts: the backend, as `GET /backends/NAME` describes it.
        characterization: its latest, as `GET /backends/NAME/characterizations/ID` describes it; None if it has none.
        usd_per_shot: what a shot of a circuit costs at most.
        mitigation: error mitigation of every job.
        account: names the account whose rate limit the calls share.

    Raises:
        ConfigError: it is retired, or does not offer what an option asks for.
        IntegrityError: the facts lack something.
    """
    name = str(facts.get("backend"))
    if facts.get("status") == "retired":
        raise ConfigError(f"backend 'ionq': {name} is retired; use another device")
    offered = facts.get("supported_error_mitigations") or ()
    if mitigation == "debias" and "debiasing" not in offered:
        raise ConfigError(f"backend 'ionq', option mitigation='debias': {name} does not offer it; leave it out")
    try:
        return Target(
            name="ionq",
            device=name,
            kind="qpu",
            n_qubits=int(facts["qubits"]),
            native_gates=_gates(facts["supported_native_gates"], name),
            connectivity=_pairs(characterization, int(facts["qubits"])),
            min_shots=MIN_SHOTS[mitigation],
            max_shots=MAX_SHOTS,
            max_circuits=MAX_CIRCUITS,
            max_gate_shots=MAX_GATE_SHOTS,
            returns="probabilities",
            dedupe="search",
            price=Price(per_shot_usd=usd_per_shot),
            figures=_figures(characterization, name),
            mitigation=mitigation,
            calibration=_calibration(characterization),
            account=account,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"the facts of {name} cannot be read, IonQ's API may have changed: {error!r}") from error


def simulator_target(noise_model: str, characterization: _Facts | None, *, account: str = "") -> Target:
    """The target of the cloud simulator with the noise of a computer. It is free of charge.

    Args:
        noise_model: IonQ's name of the noise, one of `NOISE_MODELS`.
        characterization: that of the computer; None for typical figures.
        account: names the account whose rate limit the calls share.
    """
    n_qubits, entangler, typical = _SIMULATED[noise_model.partition("-")[0]]
    return Target(
        name="ionq",
        device="simulator",
        kind="emulator",
        n_qubits=n_qubits,
        native_gates=("gpi", "gpi2", entangler),
        max_shots=MAX_SHOTS,
        max_circuits=1,
        returns="probabilities",
        dedupe="search",
        figures=_figures(characterization, f"simulator with the noise of {noise_model}") or typical,
        calibration=noise_model,
        account=account,
    )


def _gates(names: Sequence[str], backend: str) -> tuple[str, ...]:
    offered = {name.lower() for name in names}
    gates = tuple(name for name in NATIVE_NAMES if name in offered)
    if not {"gpi", "gpi2"} <= set(gates) or not {"ms", "zz"} & set(gates):
        raise ConfigError(
            f"backend 'ionq': {backend} runs {', '.join(sorted(offered))}, but circuits are compiled to gpi, gpi2 and "
            "ms or zz"
        )
    return gates


def _pairs(characterization: _Facts | None, n_qubits: int) -> tuple[tuple[int, int], ...] | None:
    """Pairs that can be entangled; None for all of them, also where nothing is said."""
    listed = (characterization or {}).get("connectivity") or ()
    pairs = {(min(int(a), int(b)), max(int(a), int(b))) for a, b in listed}
    return None if len(pairs) in (0, n_qubits * (n_qubits - 1) // 2) else tuple(sorted(pairs))


def _figures(characterization: _Facts | None, name: str) -> DeviceFigures | None:
    """Fidelities and durations; None where the gates' are not told, as the API's documentation leaves open."""
    told = characterization or {}
    fidelity, timing = told.get("fidelity") or {}, told.get("timing") or {}
    if not {"1q", "2q", "spam"} <= set(fidelity) or not {"1q", "2q", "readout", "reset"} <= set(timing):
        return None
    return DeviceFigures(
        one_qubit_fidelity=float(fidelity["1q"]["median"]),
        two_qubit_fidelity=float(fidelity["2q"]["median"]),
        readout_fidelity=float(fidelity["spam"]["median"]),
        one_qubit_s=float(timing["1q"]),
        two_qubit_s=float(timing["2q"]),
        readout_s=round(float(timing["readout"]) + float(timing["reset"]), 9),
        max_gate_shots=MAX_GATE_SHOTS,
        source=f"the provider's own, medians, {name}, of {told.get('date') or 'no date'}",
    )


def _calibration(characterization: _Facts | None) -> str:
    told = characterization or {}
    return " ".join(str(told[name]) for name in ("date", "id") if told.get(name))
