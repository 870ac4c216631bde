"""What submissions of a call are made under: their keys, their budget, the versions at work."""

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Self

from qcaan.execution.backend import Target
from qcaan.execution.store import Store


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What submissions of a call are made under: their keys, the budget they are paid from, the versions at work."""

    key: Callable[[int, int], str]
    """(position, attempt) -> key, 64 hex characters."""
    budget: str
    cap_usd: float | None
    """None: the one that the budget has in the store when money is asked for."""
    versions: str

    @classmethod
    def of(
        cls,
        store: Store,
        target: Target,
        run: str,
        tag: str,
        seed: int | str,
        *,
        budget: str,
        cap_usd: float | None,
    ) -> Self:
        """The terms of a call.

        A simulator's key holds nothing but names, so that the same run gives the same shots on any machine. Any other
        device must not take a new store's submission for one that it has seen: there, keys hold the store's identity.
        """
        place = "" if target.seedable else store.identity

        def key(position: int, attempt: int) -> str:
            names = [str(seed), run, tag, position, attempt, place]
            return hashlib.sha256(json.dumps(names).encode()).hexdigest()

        return cls(key=key, budget=budget, cap_usd=cap_usd, versions=_versions())


@cache
def _versions() -> str:
    packages = ("qcaan", "numpy", "sqlalchemy")
    return json.dumps({"python": platform.python_version()} | {package: version(package) for package in packages})
