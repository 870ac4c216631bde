"""What a call has of what it needs: which shots are its own, which are lent, and the results when none is missing."""

from collections.abc import Mapping, Sequence
from functools import cache

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
            if isinstance(counts, Counts):
                missing[item] -= s.shots
                found[item].append((s, place, flip, counts))
    if any(missing):
        lender, read_of = cache(store.submission), cache(store.counts)
        for r in store.reuses(call.id):
            got, s = read_of(r.submission)[r.place], lender(r.submission)
            if isinstance(got, Counts):
                found[r.item].append((s, r.place, r.flips, got))
        # A decoder that was corrected may find shots where others have been run, or lent, in their place since.
        found = [_exactly(parts, shots) for parts, shots in zip(found, needed.tolist(), strict=True)]
        if not all(found):
            return None
    results: list[list[Result]] = []
    numbered = enumerate(found)
    origin = Origin(store, call, replayed)
    for ask in asks:
        measured = ask.circuit.measured
        results.append([Result(measured, *next(numbered), origin) for _ in ask.theta])
    return results


def _exactly(parts: Sequence[Part], needed: int) -> list[Part]:
    """The first parts that have `needed` shots together; none if no parts do."""
    ways: dict[int, list[Part]] = {0: []}
    for part in parts:
        for shots, way in list(ways.items()):
            if (more := shots + part[0].shots) <= needed:
                ways.setdefault(more, [*way, part])
        if needed in ways:
            return ways[needed]
    return []
