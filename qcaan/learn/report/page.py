"""The page of a run: its parts gathered, then put into the template `page.html`.

Why Jinja's autoescaping and pictures as data: what a configuration or a provider's message holds is text and nothing
else, and the file can be mailed, printed and kept.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from qcaan.circuits.draw import draw
from qcaan.circuits.transpile import transpile
from qcaan.config import Config
from qcaan.errors import QcaanError
from qcaan.execution.backend import Target
from qcaan.learn.ansatz import ion_trap_ansatz, measured_circuits
from qcaan.learn.figures import FIGURES, shown
from qcaan.learn.files import write_whole
from qcaan.learn.report.charts import Chart
from qcaan.learn.report.jobs import by_device, job_charts, recorded
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
    path = out or run.path / "report.html"
    templates = Environment(
        loader=PackageLoader("qcaan.learn", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, templates.get_template("page.html").render(_content(run)))
    return path


def _content(run: RunDirectory) -> dict[str, Any]:
    config, records, provenance = run.config, run.metrics(), run.provenance()
    last = records[-1] if records else {"step": 0, "epoch": 0}
    scored = next((record for record in reversed(records) if "eval/fid" in record), None)
    jobs, note = recorded(run)
    segments = provenance["segments"]
    return {
        "title": run.path.resolve().name,
        "path": run.path,
        "lead": f"{config.prior.kind} prior of {config.prior.n_bits} bits on {config.data.name}, backend "
        f"{config.backend.name}, seed {config.seed}; {last['step']:,} steps",
        "tiles": list(_tiles(scored)) if scored else [],
        "pictures": _pictures(run),
        "charts": [chart.svg() for chart in _charts(records, scored)],
        "figures": list(_figures(scored)) if scored else [],
        "scored": _scored(scored) if scored else "",
        "circuits": list(_circuits(config, segments)),
        "jobs_note": note,
        "devices": [
            {
                "device": row.device,
                "submissions": f"{row.submissions:,}",
                "circuits": f"{row.circuits:,}",
                "shots": f"{row.shots:,}",
                "usd": f"${row.usd:,.2f}",
                "turnaround": "-" if row.turnaround_s is None else f"{row.turnaround_s:,.1f} s",
                "states": row.states,
            }
            for row in by_device(jobs)
        ],
        "job_charts": [chart.svg() for chart in job_charts(jobs)],
        "segments": [_segment(segment) for segment in segments],
        "run_name": run.id,
        "config": config.to_yaml(),
    }


def _tiles(scored: dict[str, Any]) -> Iterator[dict[str, str]]:
    for name in _TILES:
        label, meaning = FIGURES[name]
        real = shown(scored["eval/real"][name])
        spread = scored.get(f"eval/{name}_std")
        value = shown(scored[f"eval/{name}"]) + (f" ± {spread:.3f}" if spread else "")
        yield {"label": label, "value": value, "note": f"{meaning}; real {real}"}


def _pictures(run: RunDirectory) -> list[dict[str, Any]]:
    files = sorted(run.samples.glob("step-*.png"))
    if len(files) > _MOST_PICTURES:
        files = [files[round(k * (len(files) - 1) / (_MOST_PICTURES - 1))] for k in range(_MOST_PICTURES)]
    return [
        {"step": f"{int(file.stem.removeprefix('step-')):,}", "base64": base64.b64encode(file.read_bytes()).decode()}
        for file in files
    ]


def _charts(records: Sequence[dict[str, Any]], scored: dict[str, Any] | None) -> Iterator[Chart]:
    for title, names, unit in _CHARTS:
        lines = {
            label: [(record["step"], record[key]) for record in records if record.get(key) is not None]
            for key, label in names.items()
        }
        figure = next(iter(names)).removeprefix("eval/")
        references = {"real test data": scored["eval/real"][figure]} if scored and figure in FIGURES else {}
        chart = Chart(title, {label: points for label, points in lines.items() if points}, references, y_label=unit)
        if any(len(points) > 1 for points in chart.lines.values()):
            yield chart


def _figures(scored: dict[str, Any]) -> Iterator[dict[str, str]]:
    for name, (label, meaning) in FIGURES.items():
        if f"eval/{name}" in scored:
            real = scored["eval/real"][name]
            yield {"label": label, "value": shown(scored[f"eval/{name}"]), "real": shown(real), "meaning": meaning}


def _scored(scored: dict[str, Any]) -> str:
    how = "every image, weighted by the prior" if scored["eval/exact"] else "a sample of images"
    card = scored["eval/classifier"]
    return f"Scored: {how}; classifier {card['hash'][:12]}, test accuracy {card['test_accuracy']:.2%}."


def _circuits(config: Config, segments: Sequence[dict[str, Any]]) -> Iterator[dict[str, str]]:
    prior = config.prior
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
    for basis, program in zip(prior.bases, programs, strict=True):
        named = basis if isinstance(basis, str) else "of given angles"
        yield {
            "caption": f"Compiled for {target.device}, basis {named}: {program.n_two_qubit} entanglers, "
            f"{program.n_pulses} pulses.",
            "svg": draw(program),
        }


def _segment(segment: dict[str, Any]) -> dict[str, str]:
    target = segment["target"] or {}
    return {
        "step": f"{segment['from_step']:,}",
        "time": segment["time"],
        "backend": ", ".join(f"{key}: {value}" for key, value in segment["backend"].items()),
        "device": target.get("device", "none"),
        "calibration": target.get("calibration", ""),
        "versions": ", ".join(f"{name} {version}" for name, version in segment["versions"].items()),
    }
