"""What the shell offers when TAB is pressed: backends, and directories of runs. Nothing is opened for it."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

RUNS = Path("runs")
"""Where `qcaan train` makes run directories."""


def backend_names(incomplete: str) -> list[str]:
    """Backends that are installed here, their SDKs or not."""
    from qcaan.execution.registry import GROUP

    return sorted(entry.name for entry in entry_points(group=GROUP) if entry.name.startswith(incomplete))


def target_names(incomplete: str) -> list[str]:
    """What circuits can be compiled for: two gate sets, and every backend."""
    return sorted(name for name in ("aria", "forte", *backend_names("")) if name.startswith(incomplete))


def run_directories(incomplete: str) -> list[str]:
    """Run directories: those below `RUNS`, here, and below the folder that is being typed."""
    typed = Path(incomplete)
    folders = {RUNS, Path(), typed, typed.parent}
    return sorted({str(path) for path in _runs(folders) if str(path).startswith(incomplete)})


def _runs(folders: set[Path]) -> Iterator[Path]:
    for folder in folders:
        for config in folder.glob("*/config.yaml"):
            yield config.parent
