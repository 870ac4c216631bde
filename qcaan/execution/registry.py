"""The one door to every device: `open_backend(name, **options)` and `available_backends()`.

A driver is an entry point of the group `qcaan.backends`: its name, and a class or function that takes keyword options
and returns a `Backend`. Built-in drivers come through the same door as foreign ones.

Why listing reads source text: importing a driver imports its SDK, which may take seconds or not be installed. The
options and the one-line description are therefore parsed from the driver's source, and versions are read from package
metadata. Opening imports one driver, the one that was asked for.
"""

import ast
import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path

import qcaan
from qcaan.errors import ConfigError, MissingSDK
from qcaan.execution.backend import Backend

GROUP = "qcaan.backends"
_UNREADABLE = "the driver cannot be read"


@dataclass(frozen=True)
class BackendInfo:
    """What is known of a backend without importing it."""

    name: str
    module: str
    """Where the driver is, "module:attribute"."""
    distribution: str
    """The installed package that brings the driver, with its version; "" if unknown."""
    doc: str
    """One line."""
    options: Mapping[str, str]
    """Option -> its default as Python text; "" if the option is required."""
    sdk: Mapping[str, str]
    """The packages that the driver needs -> installed version, "" if missing."""
    install: str
    """The command that installs what is missing; "" if the backend can be opened."""


def open_backend(name: str, **options: object) -> Backend:
    """The backend `name` with these options, from the driver's entry point.

    "NAME:VALUE" is short for NAME with VALUE for its driver's first option: "qiskit:qiskit_aer:AerSimulator".

    Raises:
        ConfigError: there is no such backend or option; the message lists what there is.
        MissingSDK: the driver's SDK is not installed; the message is the pip command.
    """
    name, options = spelled_out(name, options)
    entry = _entry(name)
    factory = _load(entry)
    _check_options(name, factory, options)
    try:
        backend = factory(**options)
    except ImportError as error:
        raise _missing(entry, error) from error
    if not isinstance(backend, Backend):
        raise ConfigError(f"backend '{name}': {entry.value} made a {type(backend).__name__}, which is not a Backend")
    return backend


def spelled_out(name: str, options: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Name and options of a backend whose name may be the short form "NAME:VALUE".

    Raises:
        ConfigError: there is no such backend, it has no options, or the option is given twice.
    """
    full, colon, value = name.partition(":")
    if not colon:
        return name, dict(options)
    first = next(iter(inspect.signature(_load(_entry(full))).parameters), None)
    if first is None:
        raise ConfigError(f"backend '{name}': '{full}' has no options; leave ':{value}' out")
    if first in options:
        raise ConfigError(f"backend '{name}': the option {first} is given twice, in the name and by itself")
    return full, {first: value, **options}


def available_backends() -> list[BackendInfo]:
    """Every registered backend, by name. No SDK is imported and nothing is asked of a network."""
    return [_info(entry) for entry in sorted(_entries().values(), key=lambda entry: entry.name)]


def _entries() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        known = found.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise ConfigError(f"two installed packages call a backend '{entry.name}': {known.value} and {entry.value}")
    return found


def _entry(name: str) -> EntryPoint:
    entries = _entries()
    if name not in entries:
        raise ConfigError(f"there is no backend '{name}'{_suggest(name, list(entries))}; known: {_names(entries)}")
    return entries[name]


def _load(entry: EntryPoint) -> Callable[..., object]:
    _refuse_shadow(entry)
    try:
        factory: Callable[..., object] = entry.load()
    except ImportError as error:
        raise _missing(entry, error) from error
    except AttributeError as error:
        raise ConfigError(f"backend '{entry.name}': its entry point {entry.value} does not exist") from error
    return factory


def _refuse_shadow(entry: EntryPoint) -> None:
    """The name `backends` is generic: say so plainly when another package of that name comes first on the path."""
    if entry.dist is None or entry.dist.name != "qcaan":
        return
    package = entry.module.partition(".")[0]
    ours = Path(next(iter(qcaan.__path__))).parent / package
    spec = importlib.util.find_spec(package)
    found = [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
    if spec and ours.resolve() not in found:
        where = spec.origin or (str(found[0]) if found else "an unknown place")
        raise ConfigError(
            f"backend '{entry.name}': the package '{package}' that Python finds first is {where}, not qcaan's own in "
            f"{ours}; rename that package, or take its folder off sys.path"
        )


def _missing(entry: EntryPoint, error: ImportError) -> Exception:
    module = error.name or str(error)
    owner = entry.module.partition(".")[0]
    if module == owner or module.startswith(owner + ".") or module.partition(".")[0] == "qcaan":
        return ConfigError(f"backend '{entry.name}': its driver {entry.module} cannot be imported: {error}")
    distribution = entry.dist.name if entry.dist else "qcaan"
    return MissingSDK(entry.name, module.partition(".")[0], distribution)


def _check_options(name: str, factory: Callable[..., object], options: Mapping[str, object]) -> None:
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    unknown = [option for option in options if option not in known]
    if unknown:
        hints = ", ".join(f"'{option}'{_suggest(option, known)}" for option in unknown)
        raise ConfigError(f"backend '{name}' has no option {hints}; its options: {_names(known) or 'none'}")
    missing = [p.name for p in parameters if p.name in known and p.default is p.empty and p.name not in options]
    if missing:
        raise ConfigError(f"backend '{name}' needs the option {_names(missing)}")


def _suggest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def _names(names: Mapping[str, object] | list[str]) -> str:
    return ", ".join(sorted(names))


def _info(entry: EntryPoint) -> BackendInfo:
    doc, options = _describe(entry)
    sdk = {package: _version(package) for package in _requirements(entry)}
    dist = entry.dist
    owner = dist.name if dist else "qcaan"
    return BackendInfo(
        name=entry.name,
        module=entry.value,
        distribution=f"{dist.name} {dist.version}" if dist else "",
        doc=doc,
        options=options,
        sdk=sdk,
        install="" if all(sdk.values()) else f"pip install '{owner}[{entry.name}]'",
    )


def _requirements(entry: EntryPoint) -> list[str]:
    """Packages of the distribution's extra that has the backend's name."""
    extra = re.compile(rf"""extra\s*==\s*['"]{re.escape(entry.name)}['"]""")
    lines = (entry.dist.requires if entry.dist else None) or []
    names = [re.match(r"[A-Za-z0-9._-]+", line) for line in lines if extra.search(line)]
    return [match.group() for match in names if match]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _describe(entry: EntryPoint) -> tuple[str, dict[str, str]]:
    """One line of documentation and the options of a driver, from its source text; empty if there is no source."""
    if entry.module in sys.modules:
        return _describe_loaded(entry)
    try:
        spec = importlib.util.find_spec(entry.module)
        if spec is None or spec.origin is None:
            return _UNREADABLE, {}
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        return _UNREADABLE, {}
    definition = next((node for node in tree.body if getattr(node, "name", None) == entry.attr), None)
    doc = ""
    options: dict[str, str] = {}
    if isinstance(definition, ast.ClassDef):
        doc = ast.get_docstring(definition) or ""
        methods = {node.name: node for node in definition.body if isinstance(node, ast.FunctionDef)}
        if "__init__" in methods:
            options = _options(methods["__init__"].args)
        else:
            fields = [node for node in definition.body if isinstance(node, ast.AnnAssign)]
            options = {ast.unparse(f.target): ast.unparse(f.value) if f.value else "" for f in fields}
            options.pop("target", None)
    elif isinstance(definition, ast.FunctionDef):
        doc = ast.get_docstring(definition) or ""
        options = _options(definition.args)
    return _first_line(doc or ast.get_docstring(tree) or ""), options


def _describe_loaded(entry: EntryPoint) -> tuple[str, dict[str, str]]:
    factory = _load(entry)
    parameters = inspect.signature(factory).parameters.values()
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    options = {p.name: "" if p.default is p.empty else repr(p.default) for p in named}
    return _first_line(inspect.getdoc(factory) or inspect.getdoc(sys.modules[entry.module]) or ""), options


def _options(arguments: ast.arguments) -> dict[str, str]:
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    defaults = [""] * (len(positional) - len(arguments.defaults)) + [ast.unparse(d) for d in arguments.defaults]
    options = dict(zip(positional, defaults, strict=True))
    options.pop("self", None)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        options[argument.arg] = ast.unparse(default) if default else ""
    return options


def _first_line(doc: str) -> str:
    return doc.strip().partition("\n")[0]
