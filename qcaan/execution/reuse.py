"""Shots of other runs that may serve again: an index over the store, filled when it is asked for.

Why lazily: only the policy "reuse" needs to find shots by circuit, and nobody else should pay for an index.
"""

import hashlib
from collections.abc import Sequence

from sqlalchemy import exists, select

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import ConfigError
from qcaan.execution.backend import Target
from qcaan.execution.counts import IntArray
from qcaan.execution.records import FINISHED, Reuse
from qcaan.execution.schema import calls, pool, reused, submissions
from qcaan.execution.store import Store


def shot_key(circuit: NativeCircuit, target: Target) -> bytes:
    """SHA-256 of what makes shots exchangeable: circuit, device, calibration, mitigation, encoding."""
    facts = (circuit.digest, target.name, target.device, target.calibration, target.mitigation, str(target.encoder))
    return hashlib.sha256("\n".join(facts).encode()).digest()


def check_reusable(target: Target) -> None:
    """Raise unless shots of this device may serve again.

    Raises:
        ConfigError: a device that drifts, and does not say under which calibration it runs.
    """
    if target.kind != "simulator" and not target.calibration:
        raise ConfigError(
            f"store.policy is 'reuse', but backend '{target.name}' does not tell its calibration, so that recorded "
            "shots cannot be known to be those of today; use fresh"
        )


def find_reusable(
    store: Store, run: str, target: Target, circuits: Sequence[NativeCircuit], flips: IntArray, missing: IntArray
) -> list[Reuse]:
    """Recorded shots for circuits that still miss some; `missing` int64 (k,) is reduced by what was found.

    Shots of this run, those it has used already, and those that proved to be none, are left out; so are those that
    would leave fewer missing than the device runs at least.
    """
    _index(store)
    taken: set[tuple[int, int]] = set()
    out: list[Reuse] = []
    used = exists().where(reused.c.run == run, reused.c.submission == pool.c.submission, reused.c.place == pool.c.place)
    query = (
        select(pool.c.submission, pool.c.place, pool.c.shots)
        .join(submissions, submissions.c.id == pool.c.submission)
        .join(calls, calls.c.id == submissions.c.call)
        .where(calls.c.run != run, ~used)
        .order_by(pool.c.submission, pool.c.place)
    )
    for item, circuit in enumerate(circuits):
        for row in store.rows(query.where(pool.c.circuit == shot_key(circuit, target))):
            spot = (row.submission, row.place)
            left = missing[item] - row.shots
            if spot not in taken and (left == 0 or left >= target.min_shots):
                taken.add(spot)
                missing[item] = left
                out.append(Reuse(*spot, item, int(flips[item])))
    return out


def _index(store: Store) -> None:
    """Add finished submissions that the index does not hold yet."""
    indexed = exists().where(pool.c.submission == submissions.c.id)
    add = store.insert_new(pool).on_conflict_do_nothing()  # another process may index the same
    new = store.rows(select(submissions.c.id).where(submissions.c.state.in_(FINISHED), ~indexed))
    for (number,) in new:
        s = store.submission(number)
        target = store.target(s.target)
        keys = [shot_key(circuit, target) for circuit in store.batch(number)]
        with store.write() as connection:
            # Locked: what another process decodes again is seen here, or clears the index after this.
            failures = store.failures(connection, number)
            rows = [
                {"submission": number, "place": place, "circuit": key, "shots": s.shots}
                for place, key in enumerate(keys)
                if place not in failures
            ]
            if rows:
                connection.execute(add, rows)
