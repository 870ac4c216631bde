"""Fixtures of the learning tests: runners on the local simulator, some real digits, the classifier that scores them."""

import dataclasses
from collections.abc import Callable

import pytest

from backends.local import LocalBackend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store
from qcaan.learn.classifier import Classifier, load_classifier
from qcaan.learn.data import Images, load

MakeRunner = Callable[..., Runner]


@pytest.fixture
def make_runner() -> MakeRunner:
    """`make_runner(seed=1, **facts)`: a runner with a store of its own; `facts` replace those of the target."""

    def make(seed: int = 1, **facts: object) -> Runner:
        backend = LocalBackend()
        backend.target = dataclasses.replace(backend.target, **facts)
        return Runner(backend, store=Store.open(None), run="test", seed=seed)

    return make


@pytest.fixture(scope="session")
def mnist() -> Images:
    """The first images of MNIST, under its name: enough for every property, and fast."""
    whole = load()
    return dataclasses.replace(
        whole,
        train=whole.train[:1500],
        train_labels=whole.train_labels[:1500],
        test=whole.test[:1500],
        test_labels=whole.test_labels[:1500],
    )


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The package's."""
    return load_classifier()
