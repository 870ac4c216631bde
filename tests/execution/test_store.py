"""The store itself: what is refused, what survives a full disk, a lock and a stranger."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import event

from qcaan.circuits.circuit import Circuit
from qcaan.errors import ConfigError, IntegrityError, StoreError, UnavailableError
from qcaan.execution import Fault, Request, Runner, ScriptedBackend, Store
from qcaan.execution.policy import Patience
from qcaan.execution.schema import store_url

WANTED = [Request(Circuit(2).h(0), 50), Request(Circuit(2).h(1), 60)]
QUICK = Patience(submits_per_s=1e9, requests_per_s=1e9)


def runner(store, device=None, **options):
    device = device or ScriptedBackend(kind="emulator")
    return Runner(device, store=store, run="a", seed=1, **{"patience": QUICK} | options)


@pytest.mark.parametrize(
    ("where", "url"),
    [
        (None, "sqlite://"),
        (":memory:", "sqlite://"),
        ("a/b.sqlite", f"sqlite:///{Path.cwd()}/a/b.sqlite"),
        ("sqlite:///a/b.sqlite", f"sqlite:///{Path.cwd()}/a/b.sqlite"),
        ("sqlite:////x.db", "sqlite:////x.db"),
        ("postgresql://me:secret@host/db", "postgresql+psycopg://me:***@host/db"),
    ],
)
def test_urls(where, url):
    assert store_url(where).render_as_string(hide_password=True) == url


@pytest.mark.parametrize("where", ["mysql://host/db", "://", "what://"])
def test_urls_that_are_none(where):
    with pytest.raises(ConfigError, match="store: "):
        store_url(where)


def test_a_store_is_made_with_its_folder_and_opened_again(tmp_path):
    path = tmp_path / "deep" / "store.sqlite"
    with Store.open(path) as store:
        identity = store.identity
    with Store.open(str(path)) as store:
        assert store.identity == identity
        assert store.durable
        assert str(path) in store.name


def test_stores_have_identities_of_their_own():
    with Store.open() as a, Store.open() as b:
        assert a.identity != b.identity
        assert not a.durable


def test_passwords_are_never_shown():
    with pytest.raises(StoreError) as caught:
        Store.open("postgresql://me:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "store.sqlite"
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE facts SET value = '99' WHERE name = 'version'")
    connection.close()
    with pytest.raises(StoreError, match="another version of qcaan"):
        Store.open(path)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"hello " * 1000)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Store.open(tmp_path / "file" / "store.sqlite")


def test_it_is_as_durable_as_it_says(disk):
    with disk.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_locked_by_another_process_for_too_long(tmp_path):
    path = tmp_path / "store.sqlite"
    holder = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    device = ScriptedBackend(kind="emulator")
    with Store.open(path, busy_s=0.2) as store:
        process = subprocess.Popen(
            [sys.executable, "-c", holder, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process held it for more than 0.2 s"):
            runner(store, device).run(WANTED, tag="t")
        assert device.n_jobs == 0
        process.communicate("")
        assert len(runner(store, device).run(WANTED, tag="t")) == 2
        assert device.n_jobs == 2


def test_a_short_lock_is_waited_for(tmp_path):
    path = tmp_path / "store.sqlite"
    with Store.open(path, busy_s=60) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        assert len(runner(store).run(WANTED, tag="t")) == 2
        timer.join()
        other.close()


@pytest.mark.parametrize("spare_pages", range(0, 9, 2))
def test_a_full_disk_loses_nothing(tmp_path, spare_pages):
    path = tmp_path / "store.sqlite"
    device = ScriptedBackend(kind="emulator", n_qubits=12)
    big = [Request(wide(), 4000) for _ in range(3)]
    with Store.open(path) as store:
        with store.engine.connect() as connection:
            used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        quota = {"pages": used + spare_pages}

        @event.listens_for(store.engine, "begin")
        def limit(connection):
            connection.exec_driver_sql(f"PRAGMA max_page_count={quota['pages']}")

        with pytest.raises(StoreError, match="make room, then resume"):
            runner(store, device).run(big, tag="t")
        quota["pages"] = 100_000
        results = runner(store, device).run(big, tag="t")
        assert [rows[0].shots for rows in results] == [4000] * 3
        assert device.n_jobs == 3
        assert set(device.keys().values()) == {1}


def wide():
    circuit = Circuit(10)
    for q in range(10):
        circuit = circuit.h(q)
    return circuit


def test_one_call_is_driven_by_one_at_a_time(store):
    order = []

    def hold():
        with store.lock("a", "t", 1):
            order.append("held")
            started.set()
            seen.wait(60)
            order.append("left")

    started, seen = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    assert started.wait(60)
    with pytest.raises(StoreError, match="another process is working on 't' of run 'a'"), store.lock("a", "t", 0):
        pass
    with store.lock("a", "other", 0):
        pass
    seen.set()
    with store.lock("a", "t", 60):
        order.append("mine")
    thread.join()
    assert order == ["held", "left", "mine"]


def test_locks_leave_no_files(disk, tmp_path):
    with disk.lock("a", "t", 1):
        assert len(list(tmp_path.glob("*.lock"))) == 1
    assert not list(tmp_path.glob("*.lock"))


def test_locks_are_free_after_an_error(store):
    with pytest.raises(KeyError), store.lock("a", "t", 0):
        raise KeyError
    with store.lock("a", "t", 0):
        pass


def test_programs_and_targets_are_stored_once(store):
    r = runner(store)
    for tag in "abc":
        r.run(WANTED, tag=tag)
    used = {c.program.digest for tag in "abc" for s in store.call("a", tag).submissions for c in store.batch(s.id)}
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM programs").scalar_one() == len(used)
        assert connection.exec_driver_sql("SELECT count(*) FROM targets").scalar_one() == 1
    assert store.target(store.call("a", "a").submissions[0].target).name == "scripted"


def test_no_secret_is_stored(disk, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    runner(disk).run(WANTED, tag="t")
    disk.close()
    assert b"hunter2" not in b"".join(p.read_bytes() for p in tmp_path.iterdir())


def test_damaged_blobs_are_noticed(disk):
    r = runner(disk)
    r.run(WANTED, tag="t")
    with disk.write() as connection:
        connection.exec_driver_sql("UPDATE blobs SET data = x'00' WHERE kind = 'counts'")
    with pytest.raises(Exception, match="damaged"):
        r.run(WANTED, tag="t")


def test_damaged_circuits_are_noticed_before_they_are_sent(disk):
    device = ScriptedBackend(kind="emulator", faults=[Fault("submit", 1, "offline")])
    with pytest.raises(UnavailableError):
        runner(disk, device).run(WANTED[:1], tag="t")
    with disk.write() as connection:
        (data,) = connection.exec_driver_sql("SELECT data FROM blobs WHERE kind = 'payload'").one()
        damaged = data[:-1] + bytes([data[-1] ^ 1])  # the lowest bits of an angle: nothing else would notice
        connection.exec_driver_sql("UPDATE blobs SET data = ? WHERE kind = 'payload'", (damaged,))
    with pytest.raises(IntegrityError, match="are damaged"):
        runner(disk, device).run(WANTED[:1], tag="t")
    assert device.n_jobs == 0


def test_unknown_key(memory):
    with pytest.raises(ConfigError, match="no submission with the key"):
        memory.by_key("k")
