"""The store that a command works on: its options, and how it is found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qcaan.config import Config
from qcaan.errors import ConfigError

if TYPE_CHECKING:
    from qcaan.execution.store import Store

HERE = "."
Where = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="STORE",
        envvar="QCAAN_STORE",
        help="A run directory, a file, a database URL, or env:NAME; without it this folder, if it is a run.",
        show_default=False,
    ),
]
RunName = Annotated[str | None, typer.Option("--run", help="Only this run's; names are in the list.")]


@contextmanager
def open_store(where: str) -> Iterator["Store"]:
    """The store that `--store` names.

    Raises:
        ConfigError: there is none.
    """
    from qcaan.execution.store import Store

    url = where
    if "://" not in where and not where.startswith("env:"):
        path = Path(where)
        if (path / "config.yaml").is_file():
            url = Config.load(path / "config.yaml").store.url or str(path / "store.sqlite")
        elif where == HERE:
            raise ConfigError(
                "this folder is no run: name a run directory, a store's file or a database URL with --store, or in the "
                "environment variable QCAAN_STORE"
            )
    if not Store.is_there(url):
        raise ConfigError(f"--store {where}: there is no such run directory or file")
    with Store.open(url) as store:
        yield store
