"""The reference pages of run.yaml and of training configs, made from the models: python -m emseg.pipeline.reference."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from emseg.pipeline.config import RunConfig
from emseg.pipeline.denoise_config import DenoiseTraining
from emseg.pipeline.train_config import AffinityTraining

FILLED = "`${NAME}` and `${NAME:-default}` are filled in from the environment."


def pages() -> dict[str, str]:
    """Markdown by the name of its file below docs."""
    return {"run-yaml.md": run_page(), "train-yaml.md": train_page()}


def run_page() -> str:
    """Every key of a run: default, and what it means."""
    lines = [
        "# run.yaml",
        "",
        "Every key of a run. Unknown keys are refused. Geometry is x, y, z; thresholds are probabilities.",
        "Precedence, least first: defaults, what the model recommends for `fragment`, `merge` and `relabel`, the file",
        "that `extends:` names, the file, `--set a.b=value`. The values in use stand in `plan.json`.",
        FILLED,
        "",
        *_sections(RunConfig, "Top level"),
    ]
    return "\n".join(lines) + "\n"


def train_page() -> str:
    """Every key of the configs of both trainings."""
    affinity, denoise = "emseg train affinity", "emseg train denoise"
    lines = [
        "# Training configs",
        "",
        f"Every key of the file that `{affinity}` reads, then of that of `{denoise}`. Unknown keys are refused.",
        "Geometry is x, y, z. Precedence, least first: defaults, the file that `extends:` names, the file,",
        f"`--set a.b=value`. {FILLED} `volumes` is a list.",
        "",
        *_sections(AffinityTraining, affinity, of=f"{affinity}: "),
        *_sections(DenoiseTraining, denoise, of=f"{denoise}: "),
    ]
    return "\n".join(lines) + "\n"


def _sections(model: type[BaseModel], title: str, prefix: str = "", of: str = "") -> Iterator[str]:
    """A table of a model's keys, then those of its sections, whose titles begin with `of`."""
    yield f"## {title}"
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
        yield from _sections(section, of + path, path, of)


def _section(annotation: Any) -> type[BaseModel] | None:
    options = [annotation, *(a for a in get_args(annotation) if a is not NoneType)]
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _default(value: Any, section: type[BaseModel] | None) -> str:
    if value is PydanticUndefined:
        return "required"
    if section is not None:
        return "none" if value is None else "see below"
    if value is None or value in ((), "", {}):
        return "none"
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """A value as YAML has it in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return f'"{value}"' if isinstance(value, str) and value.isdigit() else str(value)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    for name, page in pages().items():
        (folder / name).write_text(page)
