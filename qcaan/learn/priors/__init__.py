"""Priors behind one protocol.

Adding one: a file with a `Prior` made from `PriorOptions`, and a line in `KINDS`, or in `CLASSICAL` if it runs nothing.
"""

import difflib
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from qcaan.config import explain
from qcaan.errors import ConfigError
from qcaan.learn.born_machine import BornMachine
from qcaan.learn.prior import Prior, PriorOptions
from qcaan.learn.priors.bernoulli import Bernoulli, ProductBernoulli
from qcaan.learn.priors.continuous import Gaussian, Uniform
from qcaan.learn.priors.controls import Shuffled, unentangled
from qcaan.learn.priors.mixture import Mixture
from qcaan.learn.priors.rbm import Rbm

__all__ = ["CLASSICAL", "KINDS", "Prior", "PriorOptions", "open_prior"]

Kinds = dict[str, Callable[[PriorOptions], Prior]]

CLASSICAL: Kinds = {
    "bernoulli": Bernoulli,
    "product_bernoulli": ProductBernoulli,
    "rbm": Rbm,
    "gaussian": Gaussian,
    "uniform": Uniform,
}
"""Those that need no runner: they can be drawn from at any time, and it costs nothing."""
KINDS: Kinds = {
    "born_machine": BornMachine,
    "mixture": Mixture,
    "unentangled": unentangled,
    "shuffled": Shuffled,
    **CLASSICAL,
}
"""Every kind of prior by its name in a configuration."""


def open_prior(kind: str, **options: Any) -> Prior:  # noqa: ANN401 - the fields of PriorOptions
    """The prior of this kind; `options` are the other fields of `PriorOptions`.

    Raises:
        ConfigError: an unknown kind or option (with the nearest known one), or a value that the kind cannot use.
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(KINDS)}"
        raise ConfigError(f"prior.kind '{kind}' is unknown; {hint}")
    try:
        checked = PriorOptions(kind=kind, **options)
    except ValidationError as error:
        raise ConfigError(explain(error, PriorOptions, "prior.").strip()) from error
    return KINDS[kind](checked)
