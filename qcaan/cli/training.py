"""`qcaan train`, `resume`, `sample`, `evaluate`, `report`, `diff`, `classifier`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from qcaan.cli.completion import backend_names, run_directories
from qcaan.cli.console import doing, jobs_line
from qcaan.cli.options import AsJson, plain
from qcaan.config import Config
from qcaan.config import diff as config_diff
from qcaan.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qcaan.execution.progress import Progress as JobProgress
    from qcaan.execution.progress import Work
    from qcaan.learn.run_directory import RunDirectory

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as prior.shots=1000; repeatable."),
]
BackendName = Annotated[
    str | None,
    typer.Option("--backend", metavar="NAME", help="Run on this backend.", autocompletion=backend_names),
]
RunPath = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.", autocompletion=run_directories)]

_LOADING = "loading PyTorch"
_SHOWN = {"prior/loss": "prior", "prior/kl": "KL", "gan/loss_d": "D", "gan/loss_g": "G"}


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (train, resume, sample, evaluate, report, diff, classifier):
        app.command()(command)


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as examples/digits.yaml.")],
    backend: BackendName = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Run directory.", show_default="a new one under runs/")] = None,
) -> None:
    """Train, and end with pictures and the scores beside those of real data.

    Example: qcaan train examples/digits.yaml --backend aer --set train.max_steps=500
    """
    resolved = Config.load(config, _changes(overrides, backend))
    with doing(f"{_LOADING} and data"):
        from qcaan.learn.train import prepare

        run = prepare(resolved, out)
    with run:
        _finish(run)


def resume(
    directory: RunPath,
    backend: BackendName = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="A new run directory; DIR stays as it is.", show_default="DIR itself")
    ] = None,
) -> None:
    """Go on with a run from its last checkpoint, on the same backend or on another.

    Example: qcaan resume runs/my-run --backend cirq
    """
    with doing(_LOADING):
        from qcaan.learn.run_directory import RunDirectory
        from qcaan.learn.train import change, prepare

    with RunDirectory.open(directory) as run:
        changes = _changes(overrides, backend)
        config = Config.load(run.config.model_dump(mode="json"), changes)
        with doing(f"opening {config.backend.name}"):
            other = None if out is None else prepare(config, out, start=run)
            if other is None and changes:
                change(run, config)
        if other is None:
            _finish(run)
            return
        with other:
            _finish(other)


def sample(
    directory: RunPath,
    n: Annotated[int, typer.Option("-n", min=1, help="How many images.")] = 100,
    out: Annotated[
        Path | None, typer.Option(help="A .png (one grid) or .npy (uint8).", show_default="in DIR/samples")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other images.")] = 0,
    label: Annotated[
        int | None, typer.Option(min=0, max=9, help="This class alone, of a run with gan.conditional.")
    ] = None,
) -> None:
    """Draw images from a trained run. Nothing is sent to a device: the bits come from the checkpoint.

    Example: qcaan sample runs/my-run -n 400 --out more.png
    """
    with doing(_LOADING):
        from qcaan.learn.run_directory import RunDirectory
        from qcaan.learn.trained import Trained

    with RunDirectory.open(directory) as run:
        of_class = "" if label is None else f"-label-{label}"
        path = out or run.samples / f"sample-{n}-seed-{seed}{of_class}.png"
        if path.suffix not in (".png", ".npy"):
            raise ConfigError(f"--out {path}: end the name in .png or .npy")
        images = Trained.load(run).draw(n, seed, label)
    if path.suffix == ".npy":
        import numpy as np

        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, images)
    else:
        from qcaan.learn.pictures import save_grid

        save_grid(path, images)
    typer.echo(path)


def evaluate(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A run, a folder of 28 x 28 images, or a .npy.")],
    data: Annotated[
        str | None, typer.Option(help="The data set to compare with.", show_default="the run's, or mnist")
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(min=1, max=16, help="Bits of the prior that images of a folder or .npy were drawn from."),
    ] = None,
    classifier: Annotated[
        Path | None,
        typer.Option(help="A classifier of 'qcaan classifier --out'.", show_default="the one kept for the data"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score images: Inception Score, FID, precision, coverage, ... each beside the value that real data gets.

    With --bits they also stand beside as many real images as that prior has bitstrings; a run knows its bits.

    Example: qcaan evaluate runs/my-run --json
    """
    with doing(_LOADING) as meter:
        from qcaan.learn import metrics
        from qcaan.learn.classifier import load_classifier
        from qcaan.learn.data import load
        from qcaan.learn.pictures import read_images
        from qcaan.learn.run_directory import RunDirectory
        from qcaan.learn.trained import Trained

        chosen = load_classifier(classifier) if classifier else None
        if (source / "config.yaml").is_file():
            if bits is not None:
                raise ConfigError(f"--bits {bits}: {source} is a run, which knows its bits; leave the option out")
            with RunDirectory.open(source) as run:
                images = load(data or run.config.data.name)
                trained = Trained.load(run)
                scorer = chosen or metrics.classifier_for(images, meter.work)
                found = trained.evaluate(images, scorer, run.config, meter.work)
        else:
            images = load(data or "mnist")
            theirs = read_images(source)
            scorer = chosen or metrics.classifier_for(images, meter.work)
            found = metrics.evaluate(theirs, images, scorer, n_bits=bits, report=meter.work)
    figures = found.to_dict()
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _print_figures(figures)


def report(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A run directory, or a sweep's.", autocompletion=run_directories)
    ],
    out: Annotated[Path | None, typer.Option(help="The HTML file.", show_default="DIR/report.html")] = None,
) -> None:
    """One self-contained HTML page. Of a run: digits, losses, scores, circuits, shots and money, provenance.

    Of a sweep: the comparison with its intervals, digits of every variant, where every run stands, shots and money.

    Example: qcaan report runs/my-run
    """
    with doing("writing the page"):
        from qcaan.learn.report import write_report, write_sweep_report
        from qcaan.learn.run_directory import RunDirectory
        from qcaan.learn.sweep import Sweep

        if (directory / "sweep.yaml").is_file():
            page = write_sweep_report(Sweep.open(directory), out)
        else:
            with RunDirectory.open(directory) as run:
                page = write_report(run, out)
    typer.echo(page)


def diff(
    config_a: Annotated[Path, typer.Argument(metavar="A", help="A YAML file or a run directory.")],
    config_b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: AsJson = False,
) -> None:
    """What changes between two runs: every key whose resolved value differs.

    Example: qcaan diff examples/digits.yaml runs/my-run
    """
    changes = config_diff(_config_of(config_a), _config_of(config_b))
    if as_json:
        typer.echo(json.dumps({key: list(values) for key, values in changes.items()}))
    elif not changes:
        typer.echo("no difference")
    else:
        table = Table("key", str(config_a), str(config_b), box=None, header_style="bold")
        for key, (left, right) in changes.items():
            table.add_row(key, plain(left), plain(right))
        Console(soft_wrap=True, highlight=False).print(table)


def classifier(
    out: Annotated[Path, typer.Option(help="Folder for the weights and their card.")],
    data: Annotated[str, typer.Option(help="'mnist', or a folder of IDX files.")] = "mnist",
    seed: Annotated[int, typer.Option(min=0, help="Of the first weights and the order of images.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images.")] = 8,
    weights: Annotated[
        Path | None,
        typer.Option(help="Train nothing: keep this classifier, and measure anew what real images get."),
    ] = None,
) -> None:
    """Train an evaluation classifier as the one in the package was, and measure what real images get (five minutes).

    `qcaan evaluate --classifier` scores with it.

    Example: qcaan classifier --out my-classifier --data my-digits
    """
    with doing(_LOADING) as meter:
        from qcaan.learn.classifier import load_classifier, train_classifier
        from qcaan.learn.data import load
        from qcaan.learn.metrics import with_real_figures

        images = load(data)
        if weights is None:
            network = train_classifier(images, seed=seed, epochs=epochs, report=meter.work)
        else:
            network = load_classifier(weights, measured=False)
        trained = with_real_figures(network, images, meter.work)
    trained.save(out)
    typer.echo(f"{out}: test accuracy {trained.test_accuracy:.2%}, hash {trained.hash}")


def _finish(run: "RunDirectory") -> None:
    """Train to the end with a progress bar, then say where everything is."""
    from qcaan.execution.progress import Work
    from qcaan.learn.report import write_report
    from qcaan.learn.train import steps

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"run {plain(run.path)} on backend [bold]{run.config.backend.name}[/]")
    try:
        with doing(f"opening {run.config.backend.name}") as meter:

            def report(news: "JobProgress | Work") -> None:
                if isinstance(news, Work):
                    meter.work(news)
                else:
                    meter.tell(jobs_line(news))

            for progress in steps(run, report):
                shown = {label: progress.values[name] for name, label in _SHOWN.items() if name in progress.values}
                passing = progress.phase == "refit"
                meter.show(progress.phase, progress.step, progress.total, shown, quiet=passing)
            meter.doing("writing the page")
            page = write_report(run)
    except KeyboardInterrupt:
        console.print(f"\nstopped, nothing is lost; go on with: qcaan resume {plain(run.path)}")
        raise
    except Exception:  # whatever stopped it, its checkpoint is there to go on from
        console.print(f"\ngo on with: qcaan resume {plain(run.path)}")
        raise
    scored = [record for record in run.metrics() if "eval/fid" in record]
    if scored:
        _print_figures({name.removeprefix("eval/"): value for name, value in scored[-1].items()})
    pictures = sorted(run.samples.glob("step-*.png"))
    console.print(f"\npictures    {plain(pictures[-1])}\nnumbers     {plain(run.path / 'metrics.jsonl')}")
    console.print(f"page        {plain(page)}")
    console.print(f"tensorboard tensorboard --logdir {plain(run.path / 'tensorboard')}")


def _print_figures(figures: "Mapping[str, Any]") -> None:
    from qcaan.learn.figures import columns, footnote, table_rows

    compared = columns(figures)
    table = Table("", *compared, "", box=None, header_style="bold")
    for label, values, meaning in table_rows(compared):
        table.add_row(label, *values, f"[dim]{meaning}[/]")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"[dim]{footnote(figures)}[/]")


def _changes(overrides: list[str] | None, backend: str | None) -> list[str]:
    return [*([f"backend.name={backend}"] if backend else []), *(overrides or [])]


def _config_of(path: Path) -> Config:
    return Config.load(path / "config.yaml" if path.is_dir() else path)
