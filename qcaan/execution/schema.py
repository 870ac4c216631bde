"""The tables of the store, and engines that open it.

Why one row a submission and not one a circuit: a submission is what is paid for, journaled and replied to, and a batch
of 200 circuits must not cost 200 inserts. A row's `places` say which circuits of the call it holds, so the ledger
(run, tag, item) -> shots is the rows themselves; `reused` adds the shots that were recorded by other runs.

Why blobs have a table of their own: they are written once and never changed, while a submission's row changes state
four times. Why not `WITHOUT ROWID`: it triples the space. Why SQLite with WAL and synchronous=FULL: a commit is on
the disk when it returns, several processes may read and write, and there is nothing to install.
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    StaticPool,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.engine import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError

from qcaan.errors import ConfigError

VERSION = 2
"""Raised when the tables change."""

_DRIVERS = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}

metadata = MetaData()

facts = Table("facts", metadata, Column("name", String, primary_key=True), Column("value", Text, nullable=False))

targets = Table("targets", metadata, Column("digest", String, primary_key=True), Column("facts", Text, nullable=False))

programs = Table(
    "programs", metadata, Column("digest", String, primary_key=True), Column("gates", Text, nullable=False)
)

budgets = Table("budgets", metadata, Column("name", String, primary_key=True), Column("cap_usd", Float, nullable=False))

rates = Table(
    "rates",
    metadata,
    Column("account", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("until", Float, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("tag", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("requests", Text, nullable=False),
    Column("seed", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("run", "tag"),
)

submissions = Table(
    "submissions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call", ForeignKey("calls.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", String, nullable=False, unique=True),
    Column("state", String, nullable=False, index=True),
    Column("backend", String, nullable=False),
    Column("device", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("target", ForeignKey("targets.digest"), nullable=False),
    Column("shots", Integer, nullable=False),
    Column("n_circuits", Integer, nullable=False),
    Column("places", LargeBinary, nullable=False),
    Column("payload_digest", String, nullable=False),
    Column("budget", String, nullable=False),
    Column("usd_high", Float, nullable=False),
    Column("usd", Float),
    Column("job_id", String, index=True),
    Column("status", String, nullable=False),
    Column("queue_position", Integer),
    Column("status_at", Float),
    Column("reason", Text, nullable=False),
    Column("failures", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("sent_at", Float),
    Column("done_at", Float),
    UniqueConstraint("call", "position", "attempt"),
    Index("ix_submissions_money", "budget", "usd", "usd_high"),  # what a budget holds is summed without the rows
)

blobs = Table(
    "blobs",
    metadata,
    Column("submission", ForeignKey("submissions.id"), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

reused = Table(
    "reused",
    metadata,
    Column("run", String, primary_key=True),
    Column("submission", ForeignKey("submissions.id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("call", ForeignKey("calls.id"), nullable=False, index=True),
    Column("item", Integer, nullable=False),
    Column("flips", BigInteger, nullable=False),
)

pool = Table(
    "pool",
    metadata,
    Column("submission", ForeignKey("submissions.id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("circuit", LargeBinary, nullable=False, index=True),
    Column("shots", Integer, nullable=False),
)


def of_run(query: Select[Any], run: str | None) -> Select[Any]:
    """The query over calls, of one run only; None for all."""
    return query if run is None else query.where(calls.c.run == run)


def store_url(where: str | Path | None) -> URL:
    """The database's URL: a path is a SQLite file, None and ":memory:" are a store that ends with the process.

    "env:NAME" stands for what the environment variable NAME holds, so that no password needs to be written down.

    Raises:
        ConfigError: neither a path nor a URL of SQLite or PostgreSQL, or no such variable.
    """
    if where is None or str(where) == ":memory:":
        return URL.create("sqlite")
    if not isinstance(where, Path) and where.startswith("env:"):
        name = where.removeprefix("env:")
        if name not in os.environ:
            raise ConfigError(f"store: the environment has no variable {name}")
        where = os.environ[name]
    if isinstance(where, Path) or "://" not in where:
        return _file_url(str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError):
        # Not even the cause is told: it may quote a part of a password.
        raise ConfigError("store: this is neither a path nor a database URL") from None
    if url.drivername not in _DRIVERS:
        raise ConfigError(f"store: '{url.drivername}' is not supported; use a path, sqlite:/// or postgresql://")
    if "@" in (url.host or ""):
        raise ConfigError("store: write an @ in the URL's password as %40")
    url = url.set(drivername=_DRIVERS[url.drivername])
    if url.drivername == "sqlite":
        if url.query:
            raise ConfigError(f"store: sqlite:///{url.database} takes no options; leave out what follows the '?'")
        return _file_url(url.database)
    return url


def _file_url(path: str | None) -> URL:
    """Of a file, absolute: a process that changes its folder still means the same store."""
    if path in (None, "", ":memory:"):
        return URL.create("sqlite")
    return URL.create("sqlite", database=str(Path(path).absolute()))


def open_engine(url: URL, busy_s: float) -> Engine:
    """An engine whose write transactions begin by taking SQLite's write lock, waiting for it up to `busy_s`.

    Raises:
        ConfigError: the driver of the database is not installed.
    """
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(
                url, pool_pre_ping=True, hide_parameters=True, connect_args={"client_encoding": "utf8"}
            )
        memory = url.database in (None, "", ":memory:")
        options = {"poolclass": StaticPool} if memory else {}
        arguments = {"check_same_thread": False, "timeout": busy_s}
        engine = create_engine(url, hide_parameters=True, connect_args=arguments, **options)
    except ImportError as error:
        raise ConfigError(f"store: {error}; pip install 'qcaan[postgres]'") from error

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # the sqlite3 module would begin transactions by its own rules
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("reading", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
