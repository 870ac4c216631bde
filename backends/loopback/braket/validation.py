"""What is checked before a task is accepted: the device's facts, as far as the service can see without running it."""

import json
from collections.abc import Mapping
from typing import Any

from backends.loopback.braket.devices import PROGRAM, PROGRAM_SET, Device
from backends.loopback.braket.errors import ServiceError

Json = dict[str, Any]


def check_action(device: Device, params: Mapping[str, Any]) -> tuple[str, list[int]]:
    """The type of an action, and the number of executables of each of its programs.

    Raises:
        ServiceError: it is not for this device; a program set names its first program that is wrong.
    """
    action = parse_action(params["action"])
    kind = str(action.get("braketSchemaHeader", {}).get("name"))
    offered = device.capabilities["action"]
    if kind not in (PROGRAM, PROGRAM_SET) or kind not in offered:
        raise _invalid(f"the action {kind} is not supported by {device.arn}; supported: {', '.join(sorted(offered))}")
    if kind == PROGRAM:
        _check_program(action)
        _check_shots(device, params["shots"])
        _check_parameters(device, action["source"], params)
        return kind, [1]
    return kind, _check_set(device, action, params["shots"], offered[PROGRAM_SET])


def parse_action(text: str) -> Json:
    """An action as a tree.

    Raises:
        ServiceError: it is not a JSON object.
    """
    try:
        action = json.loads(text)
    except ValueError as error:
        raise _invalid(f"the action is not JSON: {error}") from error
    if not isinstance(action, dict):
        raise _invalid(f"the action is a JSON {type(action).__name__}, not an object")
    return action


def executables_of(program: Json) -> int:
    """How many times a program of a set is run: once for each value of its inputs."""
    lengths = {len(values) for values in (program.get("inputs") or {}).values() if isinstance(values, list)}
    return lengths.pop() if lengths else 1


def _check_set(device: Device, action: Json, shots: int, limits: Mapping[str, int]) -> list[int]:
    programs = action.get("programs")
    if not programs or not isinstance(programs, list):
        raise _invalid("a program set needs programs")
    for index, program in enumerate(programs):
        try:
            _check_program(program)
            if len({len(v) if isinstance(v, list) else -1 for v in (program.get("inputs") or {}).values()}) > 1:
                raise _invalid("all inputs must be lists of one length")
        except ServiceError as error:
            failures = [{"programIndex": index, "errors": [error.message]}]
            reason = {"reason": "ProgramSetValidationFailed", "programSetValidationFailures": failures}
            raise ServiceError("ValidationException", "the program set is not valid.", **reason) from error
    counts = [executables_of(program) for program in programs]
    total = sum(counts)
    if total > limits["maximumExecutables"]:
        raise _invalid(f"{total} executables exceed the limit of {limits['maximumExecutables']}")
    if shots > limits["maximumTotalShots"]:
        raise _invalid(f"{shots} shots exceed the limit of {limits['maximumTotalShots']} of a program set")
    if shots % total:
        raise _invalid(f"{shots} shots cannot be divided among {total} executables")
    _check_shots(device, shots // total)
    return counts


def _check_program(program: Json) -> None:
    if not isinstance(program.get("source"), str):
        raise _invalid("a program needs a source")


def _check_shots(device: Device, shots: int) -> None:
    low, high = device.shots_range
    if not low <= shots <= high:
        raise _invalid(f"{shots} shots are outside of the range [{low}, {high}] of {device.arn}")


def _check_parameters(device: Device, source: str, params: Mapping[str, Any]) -> None:
    text = params.get("deviceParameters") or "{}"
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise _invalid(f"the device parameters are not JSON: {error}") from error
    rewired = tree.get("paradigmParameters", {}).get("disableQubitRewiring") is False
    if device.kind == "QPU" and rewired and "#pragma braket verbatim" in source:
        raise _invalid("a verbatim box needs disableQubitRewiring")
    for scheme in tree.get("errorMitigation") or []:
        least = device.minimum_mitigated_shots(scheme["type"])
        if least is None:
            raise _invalid(f"{device.arn} does not offer the error mitigation {scheme['type']}")
        if params["shots"] < least:
            raise _invalid(f"{scheme['type']} needs at least {least} shots, not {params['shots']}")


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)
