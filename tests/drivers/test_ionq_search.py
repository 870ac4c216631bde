"""Jobs by their key, from a list that cannot be searched: every order that it may have, at the cost of few pages."""

import json

import pytest

from backends.ionq.encode import KEY
from backends.ionq.search import JobSearch
from qcaan.errors import IntegrityError


class Listing:
    """IonQ's list of jobs, a page at a time; queries are kept."""

    def __init__(self, page):
        self.page = page
        self.asked = []

    def get(self, path, doing, *, query):
        self.asked.append((path, dict(query)))
        return json.dumps(self.page(query))


def entry(number, minute, key=None, parent=None):
    time = f"2026-05-01T{minute // 60:02d}:{minute % 60:02d}:00.000Z"
    metadata = {KEY: key} if key else None
    return {"id": f"job-{number}", "submitted_at": time, "metadata": metadata, "parent_job_id": parent}


def listing(jobs, size=2):
    def page(query):
        start = int(query.get("next", 0))
        following = start + size
        return {"jobs": jobs[start:following], "next": str(following) if following < len(jobs) else None}

    return Listing(page)


JOBS = [entry(k, 600 - 30 * k, key=f"key-{k}") for k in range(8)]


class TestSearch:
    def test_the_newest_is_found_on_the_first_page(self):
        answers = listing(JOBS)
        assert JobSearch(answers, "qpu.forte-1").find("key-1") == "job-1"
        assert answers.asked == [("/jobs", {"target": "qpu.forte-1"})]

    def test_one_that_is_not_there_costs_everything_once(self):
        answers = listing(JOBS)
        search = JobSearch(answers, "qpu.forte-1")
        assert search.find("none") is None
        assert len(answers.asked) == 4
        jobs = [entry(9, 630, key="new"), *JOBS]
        answers.page = listing(jobs).page
        assert search.find("another") is None
        assert len(answers.asked) == 4 + 3, "an hour before the newest that was known, and no further"
        assert search.find("new") == "job-9"
        assert search.find("key-7") == "job-7"
        assert len(answers.asked) == 7

    @pytest.mark.parametrize("where", ["first", "last"])
    def test_another_order_is_read_to_the_end(self, where):
        jobs = JOBS[::-1] if where == "first" else [*JOBS[:-2], JOBS[-1], JOBS[-2]]
        answers = listing(jobs)
        search = JobSearch(answers, "qpu.forte-1")
        for expected in (4, 8):
            assert search.find("none") is None
            assert len(answers.asked) == expected

    def test_times_that_cannot_be_read(self):
        answers = listing([one | {"submitted_at": 7} for one in JOBS])
        search = JobSearch(answers, "qpu.forte-1")
        assert search.find("none") is search.find("none") is None
        assert len(answers.asked) == 8

    def test_a_child_is_not_the_job(self):
        """Children that inherited their parent's metadata."""
        jobs = [entry(1, 61, key="k", parent="job-2"), entry(2, 60, key="k")]
        assert JobSearch(listing(jobs), "qpu.forte-1").find("k") == "job-2"

    def test_a_list_that_does_not_end(self):
        answers = Listing(lambda _: {"jobs": [], "next": "a"})
        with pytest.raises(IntegrityError, match="page a comes twice"):
            JobSearch(answers, "qpu.forte-1").find("k")

    def test_a_list_that_changed(self):
        with pytest.raises(IntegrityError, match="the list of jobs lacks jobs"):
            JobSearch(Listing(lambda _: {"items": []}), "qpu.forte-1").find("k")
