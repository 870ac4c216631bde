"""Fixtures of the learning tests: runners on the local simulator, as it is or with its facts changed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from backends.local import LocalBackend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store

MakeRunner = Callable[..., Runner]


@pytest.fixture
def make_runner() -> MakeRunner:
    """`make_runner(seed=1, **facts)`: a runner with a store of its own; `facts` replace those of the target."""

    def make(seed: int = 1, **facts: object) -> Runner:
        backend = LocalBackend()
        backend.target = replace(backend.target, **facts)
        return Runner(backend, store=Store.open(None), run="test", seed=seed)

    return make
