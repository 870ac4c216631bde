"""A driver's options are the fields of its dataclass; their values are checked here.

Why the driver class is the dataclass: name, type, default and documentation of an option stand in one place, where the
registry lists them without importing an SDK, editors complete them, and Python itself refuses unknown ones.
"""

from dataclasses import Field, fields
from typing import Any, ClassVar, Protocol, get_type_hints

from pydantic import TypeAdapter, ValidationError

from qcaan.errors import ConfigError


class HasOptions(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def check_options(backend: HasOptions, name: str) -> None:
    """Check every field of a driver against its type annotation, converting what is the same value ("8" to 8).

    Raises:
        ConfigError: a value is wrong; the message names the option, the value and what is expected.
    """
    hints = get_type_hints(type(backend), include_extras=True)
    for field in fields(backend):
        value = getattr(backend, field.name)
        try:
            checked = TypeAdapter(hints[field.name]).validate_python(value)
        except ValidationError as error:
            expected = error.errors()[0]["msg"]
            raise ConfigError(f"backend '{name}', option {field.name}={value!r}: {expected}") from error
        setattr(backend, field.name, checked)
