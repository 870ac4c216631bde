"""Objects named by text, "module:function", as they stand in a configuration.

Why text: a configuration is a file, and another process that opens the same backend must find the same device.
"""

import importlib
import inspect
import os
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from qcaan.errors import BackendError, ConfigError, CredentialsError

_SECRET = ("token", "secret", "password", "api_key", "apikey")
"""Parts of the names of arguments that are secrets."""


def load(backend: str, option: str, path: str) -> Any:  # noqa: ANN401 - whatever it names
    """What "module:attribute" names.

    Raises:
        ConfigError: it is not of that form, or is not there; the message names the option and the remedy.
    """
    module, _, attribute = path.partition(":")
    where = f"backend '{backend}', option {option}='{path}'"
    if not module or not attribute:
        raise ConfigError(f"{where}: write module:function, for example my_lab.devices:trap")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{where}: {error}; install what is missing, or put the folder of your module on PYTHONPATH"
        ) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigError(f"{where}: '{module}' has no '{attribute}'")
        found = getattr(found, name)
    return found


class Factory:
    """Makes an object of another framework from `path`, "module:function", and keyword arguments.

    A text argument "env:NAME" stands for the value of the environment variable NAME: secrets are only referenced,
    and an argument that is called like one must be.
    `takes_seed`: the function has a parameter `seed` that the arguments leave open.
    """

    def __init__(self, backend: str, path: str, arguments: Mapping[str, Any], *, option: str = "factory") -> None:
        self._where = f"backend '{backend}', option {option}='{path}'"
        made = load(backend, option, path)
        if not callable(made):
            raise ConfigError(f"{self._where}: it is a {type(made).__name__}, not a function or class")
        self._make: Callable[..., Any] = made
        self._arguments = dict(arguments)
        self.takes_seed = "seed" in _parameters(made) and "seed" not in arguments

    def make(self, **more: Any) -> Any:  # noqa: ANN401 - an object of another framework
        """A new object; `more` are further arguments.

        Raises:
            ConfigError: the function does not take these arguments, or refuses them.
            CredentialsError: an environment variable that an argument names is not set.
        """
        given = looked_up(self._where, self._arguments)
        try:
            return self._make(**given, **more)
        except BackendError:
            raise
        except Exception as error:
            raise ConfigError(f"{self._where}: {type(error).__name__}: {error}") from error


def told_free(backend: str, what: str) -> ConfigError:
    """That a device whose jobs cannot be looked up again must be said to be free, as nothing else tells."""
    return ConfigError(
        f"backend '{backend}', option kind: {what}, and its jobs cannot be looked up again: what it is asked for is "
        "asked again after a crash, without a budget, so it must not charge. If it is free, say so: kind='emulator', "
        "or 'simulator' if it has no noise"
    )


def looked_up(where: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments, "env:NAME" replaced by the value of the environment variable NAME.

    Raises:
        ConfigError: one that is called like a secret is given as it is; its value is not told.
        CredentialsError: one is not set; the message begins with `where`.
    """
    return {name: _looked_up(where, name, value) for name, value in arguments.items()}


def class_and_version(thing: object) -> str:
    """The name of its class, with the version of the package that it is from, if that is an installed distribution."""
    package = type(thing).__module__.partition(".")[0]
    try:
        return f"{type(thing).__name__} ({package} {version(package)})"
    except PackageNotFoundError:
        return type(thing).__name__


def _parameters(made: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(made).parameters)
    except (TypeError, ValueError):
        return []


def _looked_up(where: str, name: str, value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, str) or not value.startswith("env:"):
        if isinstance(value, str) and any(word in name.lower() for word in _SECRET):
            raise ConfigError(
                f"{where}, argument {name}: options are stored with every result, secrets must not be; set an "
                f"environment variable, and write {name}='env:ITS_NAME'"
            )
        return value
    variable = value.removeprefix("env:")
    if variable not in os.environ:
        raise CredentialsError(f"{where}, argument {name}='{value}': the environment variable {variable} is not set")
    return os.environ[variable]
