"""Read a YAML file into a pydantic model. Errors name file, line, key, value and what is allowed.

Precedence, least first: defaults, the file that `extends:` names, the file, `--set a.b=value`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from emseg.tasks.volume.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)
Lines = dict[tuple[str, ...], str]  # path of a key -> "file:line"
MAX_EXTENDS = 8
FORMS = {  # what pydantic says in words of its own
    "model_type": "it needs keys of its own: ",
    "tuple_type": "write a list, such as [64, 64, 64]",
    "decimal_parsing": "write a number, such as 0.5",
    "decimal_type": "write a number, such as 0.5",
}
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def load_yaml(
    model: type[Model], path: Path, sets: Sequence[str] = (), defaults: Mapping[str, Any] | None = None
) -> Model:
    """Typed content of a file.

    Args:
        model: what the file must be.
        path: the file.
        sets: overrides "a.b.c=value", the value in YAML.
        defaults: values that the file overrides.

    Raises:
        ConfigError: one line for the first thing that is wrong.
    """
    lines: Lines = {}
    values = _merged(dict(defaults or {}), _read(path, lines, MAX_EXTENDS))
    for text in sets:
        _apply(values, text, lines)
    return validated(model, values, lines, str(path))


def validated(model: type[Model], values: Mapping[str, Any], lines: Lines, where: str) -> Model:
    """Typed values; the first error as one line."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(_sentence(model, dict(first), lines, where)) from None


def variables_of(path: Path, value: str) -> list[str]:
    """Environment variables that a text of a config, as it was understood, was filled from; none if it was written."""
    texts = [text for text in _texts(_raw(path)) if _filled(text) == value]
    return sorted({match[1] for text in texts for match in VARIABLE.finditer(text)})


def _raw(path: Path) -> Any:
    """What a file, already understood, and those that it extends hold, with nothing filled in."""
    values = yaml.safe_load(path.read_text())
    base = values.get("extends")
    return [values, _raw(path.parent / base)] if isinstance(base, str) else values


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _filled(text: str) -> str:
    return VARIABLE.sub(lambda match: os.environ.get(match[1], match[2] or ""), text)


def _read(path: Path, lines: Lines, depth: int) -> dict[str, Any]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConfigError(f"{path}: cannot be read ({reason}); give a YAML file") from None
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{place}: is not YAML ({getattr(error, 'problem', None) or error})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys and values, such as `run: runs/mine`")
    try:
        values = _expanded(values, path)
    except RecursionError:
        raise ConfigError(f"{path}: an alias holds itself; write the values out") from None
    base = values.pop("extends", None)
    parent: dict[str, Any] = {}
    if base is not None:
        if depth == 0 or not isinstance(base, str):
            raise ConfigError(f"{path}: extends: {base!r} must name a file, at most {MAX_EXTENDS} deep")
        parent = _read(path.parent / base, lines, depth - 1)
    _number(node, (), str(path), lines)
    return _merged(parent, values)


def _expanded(value: Any, path: Path) -> Any:
    """Values with ${NAME} and ${NAME:-default} of the environment filled in."""
    if isinstance(value, dict):
        return {str(k): _expanded(v, path) for k, v in value.items()}
    if isinstance(value, list):
        return [_expanded(v, path) for v in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise ConfigError(f"{path}: ${{{match[1]}}} is not set in the environment; set it, or write the value")
        return found

    return VARIABLE.sub(fill, value)


def _number(node: Any, path: tuple[str, ...], file: str, lines: Lines) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            lines[here] = f"{file}:{key.start_mark.line + 1}"
            _number(value, here, file, lines)


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return out


def _apply(values: dict[str, Any], text: str, lines: Lines) -> None:
    name, equals, value = text.partition("=")
    path = tuple(name.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"--set {text!r}: write it as stages.fragment.t_low=0.02")
    place = values
    for part in path[:-1]:
        inner = place.get(part)
        place[part] = dict(inner) if isinstance(inner, dict) else {}
        place = place[part]
    try:
        place[path[-1]] = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(getattr(error, "problem", None) or error)
        raise ConfigError(f"--set {text!r}: the value is not YAML ({reason}); quote it if it is text") from None
    for end in range(1, len(path) + 1):
        lines[path[:end]] = f"--set {text}"


def _sentence(model: type[BaseModel], error: dict[str, Any], lines: Lines, where: str) -> str:
    path = tuple(str(p) for p in error["loc"])
    place = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), where)
    name = ".".join(path) or "the file"
    if error["type"] == "extra_forbidden":
        known = _known(model, path[:-1])
        near = difflib.get_close_matches(path[-1], known, 1)
        hint = f"did you mean {near[0]!r}?" if near else _elsewhere(model, path[-1], known)
        return f"{place}: unknown key {name!r}; {hint}"
    if error["type"] == "missing":
        return f"{place}: {name!r} is missing; add it"
    if error["type"] in FORMS:
        inner = ", ".join(_known(model, path)) if error["type"] == "model_type" else ""
        return f"{place}: {name} is {error.get('input')!r}: {FORMS[error['type']]}{inner}"
    message = error["msg"].removeprefix("Value error, ")
    shown = repr(error.get("input"))
    if error["type"] == "value_error" or len(shown) > 60:
        return f"{place}: {name}: {message}"
    return f"{place}: {name} is {shown}: {message[0].lower()}{message[1:]}"


def _elsewhere(model: type[BaseModel], name: str, known: Sequence[str]) -> str:
    dotted = {path.rsplit(".", 1)[-1]: path for path in _all_keys(model)}
    near = difflib.get_close_matches(name, list(dotted), 1)
    listed = f"known here: {', '.join(known)}"
    return f"did you mean {dotted[near[0]]!r}? {listed}" if near else listed


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        inner = _section(field.annotation)
        if inner is not None:
            yield from _all_keys(inner, f"{prefix}{name}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, alone or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in get_args(annotation) if (found := _section(a)) is not None), None)


def _known(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    current: type[BaseModel] | None = model
    for part in path:
        if part.isdigit():
            continue  # a place in a list: the items are of the section that the list's annotation names
        current = _section(current.model_fields[part].annotation) if current is not None else None
    return sorted(current.model_fields) if current is not None else []
