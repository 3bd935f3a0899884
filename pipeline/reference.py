"""The reference page of run.yaml, made from the models: python -m emseg.pipeline.reference > docs/run-yaml.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from emseg.pipeline.config import RunConfig


def reference() -> str:
    """Markdown of every key: default, and what it means."""
    lines = [
        "# run.yaml",
        "",
        "Every key of a run. Unknown keys are refused. Geometry is x, y, z; thresholds are probabilities.",
        "Precedence, least first: defaults, what the model recommends for `fragment`, `merge` and `relabel`, the file",
        "that `extends:` names, the file, `--set a.b=value`. The values in use stand in `plan.json`.",
        "`${NAME}` and `${NAME:-default}` are filled in from the environment.",
        "",
        *_sections(RunConfig, ""),
    ]
    return "\n".join(lines) + "\n"


def _sections(model: type[BaseModel], prefix: str) -> Iterator[str]:
    yield f"## {prefix or 'Top level'}"
    yield ""
    yield (model.__doc__ or "").strip().splitlines()[0]
    yield ""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    inner: list[tuple[type[BaseModel], str]] = []
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        path = f"{prefix}.{name}" if prefix else name
        if section is not None:
            inner.append((section, path))
        shown = _default(field.default, section)
        yield f"| `{name}` | {shown} | {field.description or (section and (section.__doc__ or '').splitlines()[0])} |"
    yield ""
    for section, path in inner:
        yield from _sections(section, path)


def _section(annotation: Any) -> type[BaseModel] | None:
    options = [annotation, *(a for a in get_args(annotation) if a is not NoneType)]
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _default(value: Any, section: type[BaseModel] | None) -> str:
    if value is PydanticUndefined:
        return "required"
    if section is not None:
        return "none" if value is None else "see below"
    if value is None or value == ():
        return "none"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
