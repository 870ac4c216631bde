"""How much may be spent. Reserving and committing are part of the store's transactions."""

import math
from dataclasses import dataclass

from qcaan.errors import BudgetError, ConfigError


@dataclass(frozen=True)
class Budget:
    """A hard cap in US dollars, infinity for none.

    Runs on one store that name the same budget share it; by default each has its own.
    """

    cap_usd: float
    name: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.cap_usd) or self.cap_usd < 0:
            raise ConfigError(f"budget.cap_usd is {self.cap_usd}; give an amount in US dollars, 0 or more")


def check_room(budget: str, held_usd: float, usd: float, cap_usd: float) -> None:
    """Raise unless `usd` fit under the cap, beside what is spent or reserved.

    Raises:
        BudgetError: they do not.
    """
    if held_usd + usd > cap_usd + 1e-9:
        raise BudgetError(
            f"budget '{budget}': {held_usd:.2f} USD spent or reserved and {usd:.2f} USD more exceed the cap of "
            f"{cap_usd:.2f} USD; it was not sent; raise budget.cap_usd to go on"
        )
