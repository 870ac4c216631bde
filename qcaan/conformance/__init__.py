"""What a driver must satisfy, checked against the oracle: `check(backend)` says yes, or what is wrong and why."""

from qcaan.conformance.kit import Check, Verdict, check

__all__ = ["Check", "Verdict", "check"]
