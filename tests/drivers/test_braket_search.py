"""Tasks are found by their tag, whatever the service lists and however it reads a filter."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.braket.aws import resolve
from backends.braket.encode import payload
from backends.braket.search import TaskSearch
from backends.braket.session import Session
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import RejectedError, ThrottledError, TransientError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Service:
    """Lists tasks, the newest first; `dated` is what it makes of the filter createdAt."""

    def __init__(self, dated="read"):
        self.tasks = []
        self.dated = dated
        self.read = []
        """How many tasks each search read."""
        self.breaks_after = None

    def create(self, key, hours=0.0):
        """A task that was created so many hours ago, without a tag if `key` is empty."""
        tags = {"tags": {"qcaan-key": key}} if key else {}
        made = {"quantumTaskArn": f"arn:{len(self.tasks)}", "createdAt": NOW - timedelta(hours=hours)}
        self.tasks.append(made | tags)
        return made["quantumTaskArn"]

    def search(self, filters):
        device, *since = filters
        assert device == {"name": "deviceArn", "operator": "EQUAL", "values": ["forte"]}
        first = datetime.min.replace(tzinfo=UTC)
        if since:
            (by_time,) = since
            assert (by_time["name"], by_time["operator"]) == ("createdAt", "GTE")
            if self.dated == "refused":
                raise RejectedError("ValidationException: createdAt")
            if self.dated != "ignored":
                first = datetime.fromisoformat(by_time["values"][0])
            if self.dated == "misread":
                return
        self.read.append(0)
        for task in sorted(self.tasks, key=lambda task: task["createdAt"], reverse=True):
            if task["createdAt"] >= first:
                if self.read[-1] == self.breaks_after:
                    raise TransientError("the connection is lost")
                self.read[-1] += 1
                yield task


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def search(service):
    return TaskSearch("forte", service.search)


def test_what_is_new_is_found_without_reading_the_rest(service, search):
    for k in range(300):
        service.create(f"{k}", hours=k)
    arn = service.create("mine")
    service.create("")
    assert search.find("mine") == arn
    assert service.read[0] <= 3


def test_the_second_search_reads_the_last_hour_alone(service, search):
    for k in range(50):
        service.create(f"{k}", hours=k)
    assert [search.find("mine"), search.find("mine")] == [None, None]
    assert service.read == [50, 2]
    arn = service.create("mine")
    assert search.find("mine") == arn


def test_what_is_known_is_not_searched_again(service, search):
    arn = service.create("mine")
    assert [search.find("mine"), search.find("mine")] == [arn, arn]
    assert len(service.read) == 1


def test_a_task_that_shows_late_is_found(service, search):
    service.create("first")
    assert search.find("mine") is None
    arn = service.create("mine", hours=0.9)  # created before the newest one, and listed after it
    assert search.find("mine") == arn


@pytest.mark.parametrize("dated", ["refused", "misread", "ignored"])
def test_a_service_that_reads_times_in_another_way_hides_nothing(dated):
    service = Service(dated)
    search = TaskSearch("forte", service.search)
    service.create("first", hours=5)
    assert search.find("mine") is None
    arn = service.create("mine", hours=4)
    assert search.find("mine") == arn


def test_a_search_that_breaks_off_is_not_taken_for_a_whole_one(service, search):
    arn = service.create("mine", hours=30)
    for k in range(20):
        service.create(f"{k}")
    service.breaks_after = 5
    with pytest.raises(TransientError):
        search.find("mine")
    service.breaks_after = None
    assert search.find("mine") == arn


class Pages:
    """Lists tasks by pages that are told apart by counting; after each page something may happen to the list."""

    def __init__(self, order, *between):
        self.tasks = []
        self.order = order
        self.between = list(between)
        self.n_read = 0

    def create(self, key):
        self.tasks.append({"quantumTaskArn": f"arn:{key}", "createdAt": NOW + timedelta(len(self.tasks))})
        self.tasks[-1]["tags"] = {"qcaan-key": key}

    def search(self, filters, size=2):
        start = 0
        while page := sorted(self.tasks, key=self.order)[start : start + size]:
            self.n_read += len(page)
            yield from page
            start += size
            if self.between:
                self.between.pop(0)(self)


def vanish(listing):
    """The oldest task is gone, unless it is the one that is looked for."""
    if listing.tasks[0]["tags"]["qcaan-key"] != "mine":
        listing.tasks[:1] = []


def appear(listing):
    listing.create(f"late {len(listing.between)}")


def stay(listing):
    pass


ORDERS = {
    "newest first": lambda task: -task["createdAt"].timestamp(),
    "oldest first": lambda task: task["createdAt"].timestamp(),
    "no order": lambda task: hashlib.sha256(task["quantumTaskArn"].encode()).digest(),
}


def test_a_list_that_shifts_while_it_is_read_again_hides_nothing():
    """The oldest first, pages of two: 0 1 | 2 3, 0 vanishes, and what is looked for moves to the page that was read."""
    listing = Pages(ORDERS["oldest first"], stay, vanish)
    for key in ("0", "1", "2", "3", "mine", "5"):
        listing.create(key)
    assert TaskSearch("forte", listing.search).find("mine") == "arn:mine"
    assert listing.n_read == 5 + 4, "once to the end, and from the start until it is found"


def test_there_is_none_only_where_the_list_held_still():
    listing = Pages(ORDERS["oldest first"], vanish)
    for key in "012345":
        listing.create(key)
    search = TaskSearch("forte", listing.search)
    with pytest.raises(TransientError, match="1 tasks vanished while they were listed, arn:0 is one of them"):
        search.find("mine")
    assert search.find("mine") is None


KEYS = st.lists(st.integers(0, 99).map(str), max_size=12, unique=True)
EVENTS = st.lists(st.sampled_from([vanish, appear, stay]), max_size=12)


@given(st.sampled_from(sorted(ORDERS)), KEYS, KEYS, EVENTS)
def test_no_shift_of_the_list_hides_a_task(order, older, newer, events):
    listing = Pages(ORDERS[order], *events)
    for key in [*older, "mine", *(f"newer {key}" for key in newer)]:
        listing.create(key)
    try:
        assert TaskSearch("forte", listing.search).find("mine") == "arn:mine"
    except TransientError:
        assert order != "newest first"


@given(KEYS, EVENTS)
def test_the_newest_first_no_list_is_read_twice(keys, events):
    listing = Pages(ORDERS["newest first"], *(event for event in events if event is not vanish))
    for key in keys:
        listing.create(key)
    assert TaskSearch("forte", listing.search).find("mine") is None
    assert listing.n_read <= len(keys) + len(events)


def test_no_task_at_all(search):
    assert [search.find("mine"), search.find("mine")] == [None, None]


# The overlap is an hour: a task shows in a search less than an hour after a younger one did.
STEP = st.tuples(st.sampled_from(["create", "find"]), st.integers(0, 9), st.floats(0, 0.9))


@given(st.lists(STEP, max_size=30), st.sampled_from(["read", "refused", "misread", "ignored"]))
def test_what_is_there_is_found_and_what_is_not_is_not(steps, dated):
    service, created = Service(dated), {}
    search = TaskSearch("forte", service.search)
    for what, number, lag in steps:
        key = str(number)
        if what == "create" and key not in created:
            created[key] = service.create(key, hours=lag)
        elif what == "find":
            assert search.find(key) == created.get(key)


def test_only_the_first_page_is_asked_for_once(aws):
    """A search that a throttle breaks off on page 100 would begin anew for ever."""
    session, circuit = Session(resolve("ionq-forte-1")), NativeCircuit.build(1)
    place = {"outputS3Bucket": session.default_bucket(), "outputS3KeyPrefix": "pages"}
    first, *_ = [session.create(f"page {k}", **payload([circuit], 100), **place) for k in range(101)]
    throttle = {"kind": "throttle", "operation": "SearchQuantumTasks", "times": 1}
    aws.set_faults([throttle])
    with pytest.raises(ThrottledError):
        session.find("page 0")
    aws.set_faults([throttle | {"after": 1}])
    assert session.find("page 0") == first
    assert aws.state()["faults"][0]["hits"] == 1
