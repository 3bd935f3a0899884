"""Small plans: what failed is tried again by the same command."""

from __future__ import annotations

from pathlib import Path

import pytest

from emseg.pipeline.receipts import Ledger
from emseg.pipeline.small import run_small
from emseg.tasks.volume.errors import LayerError, TaskFailedError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer


def test_the_same_command_again_retries_what_failed(case, tmp_path: Path) -> None:
    """A task that failed for good is said to be tried by the same command, and it is, once its cause is mended."""
    content = case.source_path().read_bytes()
    case.source_path().unlink()
    records = str(tmp_path / "records")
    with pytest.raises(TaskFailedError, match="run the same command again") as caught:
        run_small(case.plan, records, 1)
    assert "status" not in str(caught.value)
    case.source_path().write_bytes(content)
    run = run_small(case.plan, records, 1)
    assert all(Ledger(run).exists(key) for key in case.plan.keys())


def test_another_layer_in_the_way_leaves_no_plan(case, tmp_path: Path) -> None:
    """A layer that cannot be made is refused before the plan is stored."""
    spec = LayerSpec("image", "uint8", 1, case.layer.bounds, (8, 8, 8), (16, 16, 16))
    with pytest.raises(LayerError, match="exists with another info"):
        run_small(case.plan, str(tmp_path / "records"), 1, specs={case.layer.url: spec})
    assert not (tmp_path / "records").exists()
    assert create_layer(str(tmp_path / "free"), spec).bounds == case.layer.bounds
