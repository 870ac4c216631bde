"""The conformance kit: seconds a tier on each backend, the mutant table, and how often a good driver fails.

    python benchmarks/conformance.py [--json] [--runs 200]

Times are processor seconds of this process; wall seconds hold the stand-in service and the other process that is asked
too. A false alarm at level x is a run of a good driver whose least p value, after Holm's correction, is at most x, so
one run serves every level. Rows have no peer: no other kit judges drivers by these questions.
"""

import argparse
import json
import time
from collections.abc import Iterator

from qcaan.conformance import Candidate, candidate_of, check
from qcaan.conformance.mutants import MUTANTS
from qcaan.conformance.reference import ReferenceSimulator, scripted

BACKENDS: dict[str, dict[str, object]] = {
    "local": {},
    "aer": {},
    "cirq": {},
    "braket": {},
    "braket, twin of Forte-1": {"device": "ionq-forte-1", "emulate": True},
    "braket, Forte-1 on the loopback": {"device": "ionq-forte-1"},
    "ionq, Forte-1 on the loopback": {"device": "forte-1"},
}
LEVELS = (0.001, 0.01, 0.05, 0.2)
Row = dict[str, object]


def tiers() -> Iterator[Row]:
    for name, options in BACKENDS.items():
        with candidate_of(name.partition(",")[0], options) as candidate:
            check(candidate, tiers=["semantic"])  # what is compiled and imported once
            for tier in ("offline", "fault", "semantic"):
                if tier == "fault" and candidate.fake is None:
                    continue
                wall, cpu = time.perf_counter(), time.process_time()
                verdict = check(candidate, tiers=[tier])
                took = time.process_time() - cpu
                yield {
                    "work": f"tier {tier} on {name}",
                    "ours": round(took, 2),
                    "unit": "processor s",
                    "wall_s": round(time.perf_counter() - wall, 2),
                    "passed": verdict.passed,
                    "n_tests": verdict.n_tests,
                }


def mutants() -> Iterator[Row]:
    for mutant in MUTANTS:
        with mutant.candidate() as candidate:
            wrong = {c.name: c.diagnosis for c in check(candidate, tiers=[mutant.tier]).wrong}
        said = wrong.get(mutant.check, "")
        yield {"work": f"mutant: {mutant.name}", "ours": mutant.diagnosis in said and bool(said), "unit": "found"} | {
            "check": mutant.check,
            "diagnosis": said,
        }


def false_alarms(runs: int) -> Iterator[Row]:
    for name in ("simulator", "remote device, noise-free, held to assumed figures"):
        least = []
        for seed in range(runs):
            if name == "simulator":
                least.append(check(Candidate(open=ReferenceSimulator), tiers=["semantic"], seed=seed).p_value)
                continue
            with scripted(seed=seed) as candidate:
                least.append(check(candidate, tiers=["semantic"], seed=seed).p_value)
        for level in LEVELS:
            alarms = sum(p <= level for p in least)
            yield {
                "work": f"false alarms of a good {name} at level {level:g}, {runs} seeds",
                "ours": alarms / runs,
                "unit": "rate",
                "alarms": alarms,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=200, help="seeds for the false alarms")
    parser.add_argument("--only", choices=["tiers", "mutants", "alarms"])
    arguments = parser.parse_args()
    parts = {"tiers": tiers, "mutants": mutants, "alarms": lambda: false_alarms(arguments.runs)}
    rows = []
    for part in (arguments.only,) if arguments.only else parts:
        for row in parts[part]():
            rows.append(row)
            if not arguments.json:
                print("  ".join(str(value) for value in row.values()), flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
