"""IonQ on the loopback service: a good driver of noisy devices, with recorded replies, judged by its figures."""

import os

import pytest

from backends.loopback.candidate import LoopbackFake
from qcaan.conformance import candidate_of, check
from qcaan.conformance.fault import MEANT


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"device": "forte-1"}, {"device": "aria-1"}, {}], ids=["forte", "aria", "simulator"]
)
def test_the_driver_conforms_on_the_loopback(options):
    """Offline, under every fault that the service stages, and in meaning. False-alarm rate: 0.001 at most each.

    The service's shots are seeded by its own seed, but a job's key is new in every run.
    """
    before = dict(os.environ)
    with candidate_of("ionq", options) as candidate:
        assert isinstance(candidate.fake, LoopbackFake)
        assert set(candidate.fake.faults) <= set(MEANT)
        tiers = ["offline", "fault", "semantic"] if options == {"device": "forte-1"} else ["offline", "semantic"]
        verdict = check(candidate, tiers=tiers)
    assert verdict.wrong == [], verdict.report()
    names = {c.name for c in verdict.checks}
    assert {c.tier for c in verdict.checks} == set(tiers)
    assert {"recorded replies are decoded", "no secret in anything that is stored"} <= names
    assert {"bit order: a job adopted by its key", "X, Y and Z of one state"} <= names
    if "fault" in tiers:
        assert {"submit: lost", "a lost reply makes no second job", "a time-out makes no second job"} <= names
        assert {"one bad circuit does not sink its batch", "fetch: late", "fetch: truncated"} <= names
    assert dict(os.environ) == before
