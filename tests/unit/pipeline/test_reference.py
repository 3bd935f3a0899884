"""The reference pages say what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest

from emseg.pipeline.reference import pages

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", list(pages()))
def test_a_page_is_what_the_models_say(name: str) -> None:
    """Otherwise: python -m emseg.pipeline.reference."""
    assert (DOCS / name).read_text() == pages()[name]


def test_the_keys_of_both_trainings_are_listed() -> None:
    """With those of their volumes, and defaults as YAML has them."""
    page = pages()["train-yaml.md"]
    assert "## emseg train affinity: volumes\n" in page
    assert "## emseg train denoise: volumes\n" in page
    assert "| `coding` | `{kind: logit, gain: 16}` |" in page
    assert '| `precision` | `"32"` |' in page
    assert "None" not in page
