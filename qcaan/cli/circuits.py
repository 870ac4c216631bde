"""`qcaan compile`: an OpenQASM program as a native one, with what it costs before and after."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.options import AsJson, Options, parse_options
from qcaan.errors import CircuitError, ConfigError

if TYPE_CHECKING:
    from qcaan.circuits.report import Report


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command("compile")(compile_file)


def compile_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.qasm", help="OpenQASM 2 or 3.")],
    target: Annotated[str, typer.Option(help="aria (MS), forte (ZZ), or the name of a backend.")],
    out: Annotated[Path | None, typer.Option(help="Write the native program here.")] = None,
    form: Annotated[str, typer.Option("--format", help="braket: OpenQASM 3, a verbatim box; ionq: JSON.")] = "braket",
    options: Options = None,
    as_json: AsJson = False,
) -> None:
    """Compile to the ion-trap native gate set; print gate counts against the input's.

    Example: qcaan compile examples/ghz.qasm --target aria --out ghz.native.qasm
    """
    from qcaan.circuits import report
    from qcaan.circuits.native import ARIA, FORTE, NativeTarget
    from qcaan.circuits.qasm import from_qasm
    from qcaan.circuits.render import render_ionq
    from qcaan.circuits.transpile import transpile
    from qcaan.execution.registry import open_backend

    if form not in ("braket", "ionq"):
        raise ConfigError(f"--format {form}: use braket or ionq")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    try:
        circuit = from_qasm(text)
    except CircuitError as error:
        raise CircuitError(f"{file}: {error}") from error
    device: NativeTarget
    if target in (named := {"aria": ARIA, "forte": FORTE}):
        device = named[target]
    else:
        try:
            device = open_backend(target, **parse_options(options)).target
        except ConfigError as error:
            raise ConfigError(f"--target {target}: use aria, forte or a backend; {error}") from error
    template = transpile(circuit, device)
    figures = report.ARIA_FIGURES if "ms" in device.native_gates else report.FORTE_FIGURES
    found = report.describe(template, circuit, figures)
    program = found.program
    if form == "ionq":
        if template.n_params:
            raise ConfigError("--format ionq: IonQ's jobs have no parameters; bind theta first, or use braket")
        program = render_ionq(template.program, template.bind().angles)[0] + "\n"
    elif found.readout_flips and any(found.readout_flips):
        head, rest = program.split("\n", 1)
        flips = "".join(map(str, found.readout_flips))
        program = f"{head}\n// The true bits are b XOR {flips} (qubit 0 leftmost).\n{rest}"
    if out is not None:
        out.write_text(program, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(found.to_dict() | {"program": program}))
        return
    _print(found, console := Console(highlight=False, soft_wrap=True))
    if out is None:
        typer.echo("\n" + program, nl=False)
    else:
        console.print(f"\nnative program: {out}")


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
    limit = "no limit" if found.max_shots is None else f"{found.max_shots}"
    console.print(
        f"fidelity         {found.estimated_fidelity:.4f} (estimate)\n"
        f"time a shot      {found.time_per_shot_s * 1e3:.2f} ms (estimate)\n"
        f"shots in a task  {limit} at most\n[dim]figures: {found.figures}[/]"
    )
