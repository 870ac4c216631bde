"""What the Search operations share: filters and pages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from backends.loopback.braket.errors import ServiceError

_TIMES = {"createdAt"}
_NAMES = {"quantumTaskArn", "deviceArn", "status", "createdAt", "jobArn"}


def matches(item: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an item passes all filters; times are seconds since 1970 in items, ISO 8601 in filters.

    Raises:
        ServiceError: a filter's name, operator or value is not supported.
    """
    return all(_passes(item, f["name"], f.get("operator", "EQUAL"), f["values"]) for f in filters)


def page(items: list[Any], params: Mapping[str, Any], default: int) -> tuple[list[Any], str | None]:
    """The items of the page that the request asks for, and the token of the next one.

    Raises:
        ServiceError: the token is not one of ours.
    """
    token = params.get("nextToken", "0")
    if not token.isdigit():
        raise ServiceError("ValidationException", f"nextToken: {token!r} is not a token of this service")
    start, size = int(token), params.get("maxResults", default)
    stop = start + size
    return items[start:stop], str(stop) if stop < len(items) else None


def _passes(item: Mapping[str, Any], name: str, operator: str, values: Sequence[str]) -> bool:
    if name not in _NAMES:
        known = ", ".join(sorted(_NAMES))
        raise ServiceError("ValidationException", f"filters: '{name}' is not a filter; use one of {known}")
    value = item.get(name)
    if name not in _TIMES:
        if operator != "EQUAL":
            raise ServiceError("ValidationException", f"filters: {name} takes the operator EQUAL, not {operator}")
        return value in values
    try:
        bounds = [datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() for text in values]
    except ValueError as error:
        raise ServiceError("ValidationException", f"filters: {name}: {error}; use ISO 8601") from error
    if len(bounds) != (2 if operator == "BETWEEN" else 1):
        raise ServiceError("ValidationException", f"filters: {operator} of {name} does not take {len(bounds)} values")
    assert isinstance(value, float)
    first = bounds[0]
    return {
        "EQUAL": value == first,
        "LT": value < first,
        "LTE": value <= first,
        "GT": value > first,
        "GTE": value >= first,
        "BETWEEN": first <= value <= bounds[-1],
    }[operator]
