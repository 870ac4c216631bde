"""What a call has of what it needs: which shots are its own, which are lent, and the results when none is missing."""

from collections.abc import Mapping, Sequence

import numpy as np

from qcaan.execution.backend import Target
from qcaan.execution.counts import Counts, Failed, IntArray
from qcaan.execution.records import FINISHED, Call
from qcaan.execution.request import Ask
from qcaan.execution.result import Origin, Part, Result
from qcaan.execution.store import Store


def covered(call: Call, store: Store, target: Target, n_items: int) -> IntArray:
    """Shots of each circuit that are recorded, or that a submission on this device is responsible for, (n_items,)."""
    shots = np.zeros(n_items, np.int64)
    for r in store.reuses(call.id):
        lender = store.submission(r.submission)
        if r.place not in lender.failures:  # else it was decoded again since, and proved to be none
            shots[r.item] += lender.shots
    attempts = {(s.position, s.attempt) for s in call.submissions}
    for s in call.submissions:
        here = (s.backend, s.device) == (target.name, target.device)
        handed_on = (s.position, s.attempt + 1) in attempts
        in_charge = here and not handed_on and s.state not in ("released", "done")
        for place, item in enumerate(s.where[0].tolist()):
            if in_charge or (s.state in FINISHED and place not in s.failures):
                shots[item] += s.shots
    return shots


def assemble(
    call: Call,
    asks: Sequence[Ask],
    needed: IntArray,
    store: Store,
    at_hand: Mapping[int, list[Counts | Failed]],
    *,
    replayed: bool,
) -> list[list[Result]] | None:
    """The results, if every circuit has the shots that it needs; `at_hand`: counts by submission, as far as known."""
    found: list[list[Part]] = [[] for _ in needed]
    missing = needed.tolist()
    for s in call.submissions:
        if s.state not in FINISHED:
            continue
        items, flips = s.where
        read = at_hand.get(s.id) or store.counts(s.id)
        for place, (item, flip, counts) in enumerate(zip(items.tolist(), flips.tolist(), read, strict=True)):
            # A decoder that was corrected may find shots where an attempt that was made since has found them too.
            if isinstance(counts, Counts) and s.shots <= missing[item]:
                missing[item] -= s.shots
                found[item].append((s, place, flip, counts))
    if any(missing):
        for r in store.reuses(call.id):
            got, s = store.counts(r.submission)[r.place], store.submission(r.submission)
            if isinstance(got, Counts) and s.shots <= missing[r.item]:
                missing[r.item] -= s.shots
                found[r.item].append((s, r.place, r.flips, got))
        if any(missing):
            return None
    results: list[list[Result]] = []
    numbered = enumerate(found)
    origin = Origin(store, call, replayed)
    for ask in asks:
        measured = ask.circuit.measured
        results.append([Result(measured, *next(numbered), origin) for _ in ask.theta])
    return results
