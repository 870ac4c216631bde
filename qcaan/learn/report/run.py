"""The page of a run: digits, losses and scores, circuits, shots and money, provenance."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qcaan.circuits.draw import draw
from qcaan.circuits.transpile import transpile
from qcaan.errors import DataError, QcaanError
from qcaan.execution.backend import Target
from qcaan.learn import checkpoint
from qcaan.learn.ansatz import ion_trap_ansatz, measured_circuits
from qcaan.learn.figures import FIGURES, columns, footnote, shown, table_rows
from qcaan.learn.report.charts import Chart
from qcaan.learn.report.jobs import device_table, job_charts, recorded
from qcaan.learn.report.page import Column, Table, base64_of, numbers, write_page
from qcaan.learn.run_directory import RunDirectory

_CHARTS: tuple[tuple[str, dict[str, str], str], ...] = (
    ("prior loss after a refit", {"prior/loss": "loss"}, ""),
    (
        "divergence from the target",
        {"prior/kl": "prior", "prior/kl_product": "product of marginals"},
        "bits",
    ),
    ("GAN losses", {"gan/loss_d": "discriminator", "gan/loss_g": "generator"}, ""),
    ("Inception Score", {"eval/inception_score": "generated"}, ""),
    ("FID", {"eval/fid": "generated"}, ""),
    ("coverage", {"eval/coverage": "generated"}, ""),
)
"""Title, key in metrics.jsonl -> label, unit."""
_NO_JOBS = "No submissions: exact gradients take no shots, and a classical prior needs no device."
_TILES = ("inception_score", "fid", "coverage")
_CIRCUIT_KINDS = {"born_machine": True, "mixture": True, "shuffled": True, "unentangled": False}
"""Kinds of prior with a circuit -> whether it has entanglers."""
_MOST_GATES = 2000
_MOST_PICTURES = 6


def write_report(run: RunDirectory, out: Path | None = None) -> Path:
    """Write the page of `run` to `out`, by default `report.html` in its directory; return where it is.

    Works on a run in any state. The same run gives the same page.

    Raises:
        DataError: the run's records are damaged.
    """
    return write_page(out or run.path / "report.html", "run.html", _content(run))


def _content(run: RunDirectory) -> dict[str, Any]:
    config, records, provenance = run.config, run.metrics(), run.provenance()
    last = records[-1] if records else {"step": 0, "epoch": 0}
    scored = next((record for record in reversed(records) if "eval/fid" in record), None)
    jobs, note = recorded([run])
    segments = provenance["segments"]
    return {
        "title": run.path.resolve().name,
        "path": run.path,
        "lead": f"{config.prior.kind} prior of {config.prior.n_bits} bits on {config.data.name}, backend "
        f"{config.backend.name}, seed {config.seed}; {last['step']:,} steps",
        "tiles": list(_tiles(scored)) if scored else [],
        "pictures": _pictures(run),
        "charts": [chart.svg() for chart in _charts(records, scored)],
        "figures": _figures(scored) if scored else Table([], []),
        "scored": footnote(_compared(scored)["generated"]) if scored else "",
        "circuits": list(_circuits(run, segments)),
        "jobs_note": note or ("" if jobs else _NO_JOBS),
        "devices": device_table(jobs),
        "job_charts": [chart.svg() for chart in job_charts(jobs)],
        "segments": _segments(segments),
        "run_name": run.id,
        "config": config.to_yaml(),
        "config_is": "Configuration",
    }


def _tiles(scored: dict[str, Any]) -> Iterator[dict[str, str]]:
    compared = _compared(scored)
    for name in _TILES:
        label, meaning = FIGURES[name]
        real = shown(compared["real test data"], name)
        yield {"label": label, "value": shown(compared["generated"], name), "note": f"{meaning}; real {real}"}


def _pictures(run: RunDirectory) -> list[dict[str, Any]]:
    files = sorted(run.samples.glob("step-*.png"))
    if len(files) > _MOST_PICTURES:
        files = [files[round(k * (len(files) - 1) / (_MOST_PICTURES - 1))] for k in range(_MOST_PICTURES)]
    return [
        {"step": f"{int(file.stem.removeprefix('step-')):,}", "base64": base64_of(file.read_bytes())} for file in files
    ]


def _charts(records: Sequence[dict[str, Any]], scored: dict[str, Any] | None) -> Iterator[Chart]:
    for title, names, unit in _CHARTS:
        lines = {
            label: [(record["step"], record[key]) for record in records if record.get(key) is not None]
            for key, label in names.items()
        }
        figure = next(iter(names)).removeprefix("eval/")
        compared = _compared(scored) if scored and figure in FIGURES else {}
        references = {label: column[figure] for label, column in compared.items() if label != "generated"}
        bands = {
            label: [
                (record["step"], record[key] - spread, record[key] + spread)
                for record in records
                if (spread := record.get(f"{key}_std"))
            ]
            for key, label in names.items()
        }
        lines = {label: points for label, points in lines.items() if points}
        if any(len(points) > 1 for points in lines.values()):
            yield Chart(title, lines, references, y_label=unit, bands=bands)


def _compared(scored: dict[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Columns of an evaluation: name -> figures."""
    return columns({name.removeprefix("eval/"): value for name, value in scored.items()})


def _figures(scored: dict[str, Any]) -> Table:
    compared = _compared(scored)
    found = [[label, *values, meaning] for label, values, meaning in table_rows(compared)]
    return Table([Column("figure"), *numbers(list(compared)), Column("", "note")], found)


def _circuits(run: RunDirectory, segments: Sequence[dict[str, Any]]) -> Iterator[dict[str, str]]:
    prior = run.config.prior
    if prior.kind not in _CIRCUIT_KINDS:
        return
    ansatz = ion_trap_ansatz(prior.n_qubits, prior.n_layers, prior.topology, _CIRCUIT_KINDS[prior.kind])
    if len(ansatz.gates) > _MOST_GATES:
        return
    yield {
        "caption": f"The ansatz: {len(ansatz.gates)} gates, {ansatz.n_params} parameters.",
        "svg": draw(ansatz),
    }
    facts = next((segment["target"] for segment in reversed(segments) if segment["target"]), None)
    if facts is None:
        return
    try:
        target = Target.from_json(json.dumps(facts))
        circuits = measured_circuits(ansatz, prior.bases)
        programs = [transpile(circuit, target).program for circuit in circuits]
    except (QcaanError, TypeError, KeyError):  # a target recorded by another version
        return
    for basis, program in zip(_bases(run, ansatz.n_params), programs, strict=True):
        yield {
            "caption": f"Compiled for {target.device}, basis {basis}: {program.n_two_qubit} entanglers, "
            f"{program.n_pulses} pulses.",
            "svg": draw(program),
        }


def _bases(run: RunDirectory, n_params: int) -> Iterator[str]:
    """The measured bases in words; a trained one with its angles, which follow the ansatz's `n_params` in theta."""
    try:
        saved = checkpoint.latest(run.checkpoints)
    except DataError:
        saved = None
    theta = saved[0].get("prior.theta") if saved else None
    for basis in run.config.prior.bases:
        angles = () if isinstance(basis, str) else basis
        if basis == "trained" and theta is not None:
            angles = tuple(theta[n_params : n_params + run.config.prior.n_qubits].tolist())
            n_params += run.config.prior.n_qubits
        name = basis if isinstance(basis, str) else "of given angles"
        yield f"{name} (RX by {', '.join(f'{angle:.2f}' for angle in angles)} rad)" if angles else name


def _segments(segments: Sequence[dict[str, Any]]) -> Table:
    labels = ("from step", "time", "backend", "device", "calibration", "versions", "machine")
    rows = []
    for segment in segments:
        target = segment["target"] or {}
        rows.append(
            [
                f"{segment['from_step']:,}",
                segment["time"],
                ", ".join(f"{key}: {value}" for key, value in segment["backend"].items()),
                target.get("device", "none"),
                target.get("calibration") or "",
                ", ".join(f"{name} {version}" for name, version in segment["versions"].items()),
                f"{segment['machine']}, Python {segment['python']}",
            ]
        )
    return Table([Column(label) for label in labels], rows)
