"""`check(candidate)`: every question once, then one decision about all shots together.

Why one decision: a driver that is right must not fail because many questions were asked. The exact p values of all
questions are corrected together (Holm), so that a good driver fails with probability `FALSE_ALARM_RATE` at most,
however many there are; nothing is repeated until it passes.
"""

from collections.abc import Callable, Sequence

import numpy as np

from qcaan.conformance import fault, offline, semantic
from qcaan.conformance.candidate import Candidate
from qcaan.conformance.examiner import Examiner, Reading, Wrong
from qcaan.conformance.question import Question
from qcaan.conformance.statistics import effect_of, holm, shots_for
from qcaan.conformance.verdict import Check, Tier, Verdict
from qcaan.errors import ConfigError, QcaanError
from qcaan.execution.backend import Simulator
from qcaan.execution.progress import Work

FALSE_ALARM_RATE = 1e-3
EFFECT = 0.05
POWER = 0.99
PLANNED_TESTS = 300
"""Tests that the shots are chosen for: Holm's first step is that strict."""


def check(
    candidate: Candidate,
    *,
    tiers: Sequence[Tier] | None = None,
    seed: int = 0,
    report: Callable[[Work], None] | None = None,
) -> Verdict:
    """Judge a driver, for nothing: a device that charges is only asked through its fake.

    `tiers` are offline, fault and semantic; by default all that the candidate can be asked. `report` is told before
    each question how many were asked.

    Raises:
        ConfigError: a tier that this candidate cannot be asked; the paid one is `qcaan.conformance.paid`.
        QcaanError: the backend cannot be opened.
    """
    examiner = Examiner(candidate, seed, shots_for(EFFECT, POWER, FALSE_ALARM_RATE / PLANNED_TESTS))
    return judge(examiner, questions(examiner, tiers), report)


def questions(examiner: Examiner, tiers: Sequence[Tier] | None) -> list[Question]:
    """All questions of these tiers."""
    candidate, target = examiner.candidate, examiner.target
    ours = candidate.fake is not None or target.kind != "qpu"
    charges = candidate.fake is None and (target.price.per_task_usd > 0 or target.price.per_shot_usd > 0)
    chosen = tiers or ("offline", *(("fault",) if candidate.fake else ()), *(("semantic",) if ours else ()))
    if "semantic" in chosen and charges:
        raise ConfigError(f"tier semantic: {target.device} charges for it; use the tier paid, or a driver with a fake")
    if "fault" in chosen and candidate.fake is None:
        raise ConfigError(f"tier fault: '{target.name}' offers no fake whose faults could be set")
    if "paid" in chosen:
        raise ConfigError("tier paid: it is asked alone, with a cap and a store")
    remote = not isinstance(examiner.backend, Simulator)
    asked = [
        *offline.questions(candidate, target, free=ours, remote=remote),
        *fault.questions(candidate, target),
        *semantic.questions(target, remote=remote),
    ]
    return [question for question in asked if question.tier in chosen]


def judge(examiner: Examiner, asked: Sequence[Question], report: Callable[[Work], None] | None = None) -> Verdict:
    """Ask, then decide."""
    answers = []
    for place, question in enumerate(asked):
        if report is not None:
            report(Work(question.name, place, len(asked)))
        answers.append((question, *_answer(examiner, question)))
    p = np.concatenate([np.zeros(0), *(reading.p for _, readings, _ in answers for reading in readings)])
    adjusted = iter(holm(p).tolist())
    checks = []
    for question, readings, wrong in answers:
        bad = [reading for reading in readings if min([next(adjusted) for _ in reading.p]) <= FALSE_ALARM_RATE]
        if wrong is None and bad:
            wrong = question.explain(readings, bad)
        checks.append(_check(question, wrong))
    shots = max((r.shots for _, readings, _ in answers for r in readings), default=0)
    figures = examiner.figures.source if examiner.figures and shots else ""
    return Verdict(
        name=examiner.target.name,
        checks=tuple(checks),
        false_alarm_rate=FALSE_ALARM_RATE if p.size else 0.0,
        p_value=float(holm(p).min(initial=1.0)),
        n_tests=p.size,
        shots=shots,
        effect=effect_of(shots, POWER, FALSE_ALARM_RATE / p.size) if shots else 0.0,
        power=POWER if shots else 0.0,
        figures=figures,
    )


def _answer(examiner: Examiner, question: Question) -> tuple[list[Reading], Wrong | None]:
    examiner.readings = []
    wrong = None
    try:
        question.ask(examiner)
    except Wrong as found:
        wrong = found
    except Exception as error:  # noqa: BLE001 - a driver under test may raise anything; its error is the answer
        ours = isinstance(error, QcaanError)
        cause = "" if ours else "a foreign error gets out: drivers raise qcaan.errors.BackendError and its subclasses"
        wrong = Wrong("no error", f"{type(error).__name__}: {error}", cause)
    return examiner.readings, wrong


def _check(question: Question, wrong: Wrong | None) -> Check:
    if wrong is None:
        return Check(question.name, question.tier, True)
    return Check(question.name, question.tier, False, wrong.expected, wrong.came, wrong.cause)
