"""Braket's protocol, the server's half, from the service model that botocore ships.

Which operation a request is, its parameters checked against their shapes, replies and errors written by their shapes.

Why botocore's model: it is the file from which every AWS client is made, so both sides agree on each name, limit and
timestamp format, also after an update. botocore itself has only the client's half of the protocol (rest-json).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

from backends.loopback.braket.errors import ServiceError

Params = dict[str, Any]


class Protocol:
    """The server's half of rest-json for one service."""

    def __init__(self, service: str = "braket") -> None:
        self._model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        self._validator = ParamValidator()
        self._routes = [
            (http["method"], re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", http["requestUri"])), operation)
            for operation in map(self._model.operation_model, self._model.operation_names)
            for http in (operation.http,)
        ]

    @property
    def operations(self) -> list[str]:
        """Names of all operations."""
        return list(self._model.operation_names)

    def parse(self, method: str, path: str, query: str, body: bytes) -> tuple[str, Params]:
        """The operation and its parameters, checked; `path` is percent-encoded.

        Raises:
            ServiceError: there is no such operation, or a parameter violates its shape; all violations are told.
        """
        for verb, pattern, operation in self._routes:
            match = pattern.fullmatch(path) if verb == method else None
            if match:
                return operation.name, self._parameters(operation, match.groupdict(), query, body)
        raise ServiceError("ValidationException", f"there is no operation {method} {path}")

    def _parameters(self, operation: OperationModel, labels: Mapping[str, str], query: str, body: bytes) -> Params:
        try:
            tree = json.loads(body or b"{}")
        except ValueError as error:
            raise ServiceError("ValidationException", f"the body is not JSON: {error}") from error
        if not isinstance(tree, dict):
            raise ServiceError("ValidationException", f"the body is a JSON {type(tree).__name__}, not an object")
        values = parse_qs(query)
        params: Params = {}
        for name, shape in operation.input_shape.members.items():
            wire = shape.serialization.get("name", name)
            place = shape.serialization.get("location")
            if place == "uri":
                params[name] = unquote(labels[wire])
            elif place == "querystring":
                if wire in values:
                    params[name] = values[wire] if shape.type_name == "list" else values[wire][0]
            elif tree.get(wire) is not None:
                params[name] = _read(shape, tree[wire])
        report = self._validator.validate(params, operation.input_shape)
        problems = [report.generate_report()] if report.has_errors() else _violations(operation.input_shape, params)
        if problems:
            raise ServiceError("ValidationException", "; ".join(problems).replace("\n", "; "))
        return params

    def reply(self, operation: str, result: Params) -> tuple[int, bytes]:
        """HTTP status and JSON body of a successful call; what the operation's output shape does not have is left out.

        Raises:
            KeyError: the result lacks a member that the shape requires.
        """
        model = self._model.operation_model(operation)
        tree = _write(model.output_shape, result)
        return int(model.http["responseCode"]), json.dumps(tree, separators=(",", ":")).encode()


def error_reply(error: ServiceError) -> tuple[dict[str, str], bytes]:
    """Headers and JSON body of a refused call."""
    return {"x-amzn-ErrorType": error.code}, json.dumps({"message": error.message} | error.fields).encode()


def _read(shape: Shape, value: Any) -> Any:  # noqa: ANN401
    """A JSON value as the type of its shape; what does not fit is left for the validator to tell."""
    if shape.type_name == "timestamp":
        try:
            return parse_timestamp(value)
        except (ValueError, TypeError):
            return value
    if shape.type_name == "structure" and isinstance(value, dict):
        known = {k: v for k, v in value.items() if k in shape.members and v is not None}
        return {k: _read(shape.members[k], v) for k, v in known.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_read(shape.member, v) for v in value]
    return value


def _violations(shape: Shape, value: Any, where: str = "") -> list[str]:  # noqa: ANN401
    """Limits that botocore's validator leaves to the service: largest sizes, enums and patterns."""
    if shape.type_name == "structure":
        return [p for k, v in value.items() for p in _violations(shape.members[k], v, f"{where}.{k}".lstrip("."))]
    problems = []
    largest = shape.metadata.get("max")
    size = len(value) if shape.type_name in ("string", "list", "map") else value
    if largest is not None and size > largest:
        problems.append(f"{where}: {size} is over the limit of {largest}")
    if shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            problems.append(f"{where}: '{value}' is not one of {', '.join(shape.enum)}")
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            problems.append(f"{where}: '{value}' does not match {pattern}")
    if shape.type_name == "list":
        problems += [p for i, v in enumerate(value) for p in _violations(shape.member, v, f"{where}[{i}]")]
    return problems


def _write(shape: Shape | None, value: Any) -> Any:  # noqa: ANN401
    if shape is None:
        return {}
    if shape.type_name == "structure":
        lacking = [name for name in shape.required_members if value.get(name) is None]
        if lacking:
            raise KeyError(f"{shape.name} needs {', '.join(lacking)}")
        present = {name: m for name, m in shape.members.items() if value.get(name) is not None}
        return {m.serialization.get("name", name): _write(m, value[name]) for name, m in present.items()}
    if shape.type_name == "list":
        return [_write(shape.member, v) for v in value]
    if shape.type_name == "timestamp":
        epoch = shape.serialization.get("timestampFormat") == "unixTimestamp"
        return value if epoch else iso(value)
    return value


def iso(seconds: float) -> str:
    """A time in seconds since 1970 as YYYY-MM-DDTHH:mm:ss.sssZ."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
