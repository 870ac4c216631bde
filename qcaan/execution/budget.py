"""How much may be spent. Reserving and committing are part of the store's transactions."""

import math
from dataclasses import dataclass

from qcaan.errors import ConfigError


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
