"""`qcaan compile`: an OpenQASM program as a native one, with what it costs before and after."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.completion import target_names
from qcaan.cli.console import doing
from qcaan.cli.options import AsJson, Options, parse_options
from qcaan.errors import CircuitError, ConfigError

if TYPE_CHECKING:
    from qcaan.circuits.native import NativeTarget
    from qcaan.circuits.qasm import Reading
    from qcaan.circuits.report import DeviceFigures, Report
    from qcaan.circuits.transpile import Template


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command("compile")(compile_file)


def compile_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.qasm", help="OpenQASM 2 or 3.")],
    target: Annotated[
        str, typer.Option(help="aria (MS), forte (ZZ), or the name of a backend.", autocompletion=target_names)
    ],
    out: Annotated[Path | None, typer.Option(help="Write the native program here.")] = None,
    form: Annotated[
        str, typer.Option("--format", help="braket: OpenQASM 3, a verbatim box; ionq: a job, JSON.")
    ] = "braket",
    theta: Annotated[
        str | None,
        typer.Option(
            help="Values of the program's inputs in radians: 0.1,pi/8 in their order, or a=0.1,b=pi/8, or @FILE."
        ),
    ] = None,
    options: Options = None,
    as_json: AsJson = False,
) -> None:
    """Compile to the ion-trap native gate set; print gate counts against the input's.

    Example: qcaan compile examples/ghz.qasm --target aria --out ghz.native.qasm
    """
    from qcaan.circuits import report
    from qcaan.circuits.qasm.values import listed
    from qcaan.circuits.render import render_ionq
    from qcaan.circuits.transpile import transpile

    if form not in ("braket", "ionq"):
        raise ConfigError(f"--format {form}: use braket or ionq")
    reading = _read(file)
    with doing(f"compiling for {target}"):
        device, figures = _device(target, options)
        template = transpile(reading.circuit, device)
    values = None if theta is None else _values(theta, reading.inputs)
    bound = None if values is None and reading.inputs else template.bind((values or [])[: template.n_params])
    found = report.describe(template if bound is None else bound, reading.circuit, figures)
    if form == "ionq":
        if bound is None:
            raise ConfigError(
                f"--format ionq: IonQ's jobs have no parameters; give {listed(reading.inputs)} values with --theta"
            )
        program = _ionq_job(render_ionq(template.program, bound.angles)[0], found, reading)
    else:
        program = _commented(found, reading)
    if out is not None:
        _write(out, program)
    if as_json:
        angles = None if bound is None else bound.angles[0].tolist()
        typer.echo(json.dumps(found.to_dict() | {"program": program} | _parameters(reading, template, values, angles)))
        return
    _print(found, console := Console(highlight=False, soft_wrap=True))
    if order := _order(reading):
        console.print(f"result bits      {order} (what the input measures, in its order)", markup=False)
    if bound is None:
        console.print(f"inputs           {listed(reading.inputs)}: give them values with --theta", markup=False)
    if out is None:
        typer.echo("\n" + program, nl=False)
    else:
        console.print(f"\nnative program: {out}", markup=False)


def _read(file: Path) -> "Reading":
    from qcaan.circuits.qasm import read_qasm

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    try:
        return read_qasm(text)
    except CircuitError as error:
        raise CircuitError(f"{file}: {error}") from error


def _device(target: str, options: list[str] | None) -> tuple["NativeTarget", "DeviceFigures | None"]:
    """What to compile for, and its figures if it is a device that has some."""
    from qcaan.circuits import report
    from qcaan.circuits.native import ARIA, FORTE
    from qcaan.execution.registry import open_backend

    named = {"aria": (ARIA, report.ARIA_FIGURES), "forte": (FORTE, report.FORTE_FIGURES)}
    if target in named:
        if options:
            raise ConfigError(f"--set {options[0]}: {target} is a gate set without options; they are for a backend")
        return named[target]
    try:
        device = open_backend(target, **parse_options(options)).target
    except ConfigError as error:
        raise ConfigError(f"--target {target}: use aria, forte or a backend; {error}") from error
    return device, device.figures


def _values(theta: str, names: tuple[str, ...]) -> list[float]:
    from qcaan.circuits.qasm.values import input_values

    try:
        return input_values(Path(theta[1:]).read_text(encoding="utf-8") if theta[:1] == "@" else theta, names)
    except (CircuitError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--theta {theta}: {error}") from error


def _commented(found: "Report", reading: "Reading") -> str:
    """The program with what a reader of its results must know."""
    from qcaan.circuits.qasm.values import listed

    comments = []
    if found.readout_flips is None:
        comments.append(
            f"// Every angle_k, and which bits are flipped, follows from {listed(reading.inputs)}:\n"
            "// qcaan compile ... --theta VALUES --json, or Template.bind(theta) in Python."
        )
    elif any(found.readout_flips):
        flips = "".join(map(str, found.readout_flips))
        comments.append(f"// The true bits are b XOR {flips} (qubit 0 leftmost).")
    if order := _order(reading):
        comments.append(f"// The input's result is the bits {order}, in this order.")
    head, rest = found.program.split("\n", 1)
    return "\n".join([head, *comments, rest])


def _ionq_job(circuit: str, found: "Report", reading: "Reading") -> str:
    """The body of an IonQ job, but for backend and shots; its metadata tell how to read the result (qubit 0 first)."""
    metadata = {
        "readout_flips": "".join(map(str, found.readout_flips or ())),
        "measured": " ".join(map(str, reading.circuit.measured)),
    }
    return json.dumps({"type": "ionq.circuit.v1", "input": json.loads(circuit), "metadata": metadata}) + "\n"


def _write(out: Path, program: str) -> None:
    try:
        out.write_text(program, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}; give a file in a folder that exists") from error


def _order(reading: "Reading") -> str:
    """The bits of the native program that the input measures, if they are not simply all of them."""
    measured = reading.circuit.measured
    return "" if measured == tuple(range(reading.circuit.n_qubits)) else " ".join(f"b[{q}]" for q in measured)


def _parameters(
    reading: "Reading", template: "Template", values: list[float] | None, angles: list[float] | None
) -> dict[str, Any]:
    """For machines: what the input measures, and its parameters.

    `parameters` are its inputs in the order of theta, `template` is one program for all theta, `angles` are the values
    of that program's inputs at `theta`.
    """
    from qcaan.circuits.render import angle_names, render_braket_inputs

    names = angle_names(template.program)
    return {
        "measured": list(reading.circuit.measured),
        "parameters": list(reading.inputs),
        "theta": values,
        "template": render_braket_inputs(template.program) if reading.inputs else None,
        "angles": None if angles is None else dict(zip(names, angles, strict=True)),
    }


def _print(found: "Report", console: Console) -> None:
    table = Table("", "input", "native", box=None, header_style="bold")
    one_qubit = "one-qubit gates / pulses"
    table.add_row("two-qubit gates", str(found.input.two_qubit), str(found.two_qubit))
    table.add_row(one_qubit, str(found.input.one_qubit), str(found.pulses))
    table.add_row("depth", str(found.input.depth), str(found.depth))
    console.print(table)
    if found.total_angle_turns is not None and found.max_angle_turns is not None:
        console.print(
            f"entangling angle {found.total_angle_turns:.4f} turns in all, {found.max_angle_turns:.4f} at most\n"
            f"readout flips    {''.join(map(str, found.readout_flips or ()))} (XOR with what the device reads)"
        )
    if found.estimated_fidelity is not None and found.time_per_shot_s is not None:
        limit = "no limit" if found.max_shots is None else f"{found.max_shots} at most"
        console.print(
            f"fidelity         {found.estimated_fidelity:.4f} (estimate)\n"
            f"time a shot      {found.time_per_shot_s * 1e3:.2f} ms (estimate)\n"
            f"shots in a task  {limit}\n[dim]figures: {found.figures}[/]"
        )
