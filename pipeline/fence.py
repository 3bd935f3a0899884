"""The fence of a worker: below which URLs its tasks may read and write, whatever a message or a plan says."""

from __future__ import annotations

from collections.abc import Sequence

from emseg.pipeline.plan import Plan, base_url
from emseg.tasks.volume.errors import MessageError
from emseg.tasks.volume.url import canonical_url, is_below, redacted


def require_run_inside(run_url: str, root: str | None) -> None:
    """Refuse a run directory that is not below the root.

    Raises:
        MessageError: it is outside.
    """
    if root is not None and not is_below(run_url, root):
        raise MessageError(f"a message names run {redacted(run_url)}, outside {redacted(root)}; it is set aside")


def require_layers_inside(plan: Plan, run_url: str, root: str | None, read_roots: Sequence[str] = ()) -> None:
    """Refuse a plan with a layer that is neither below the root nor below one of the places to read from.

    Raises:
        MessageError: a layer is outside; names it.
    """
    if root is None:
        return
    if plan.derived:
        require_run_inside(base_url(run_url), root)
    for name, ref in plan.refs(run_url).items():
        url = canonical_url(ref.url)
        if not any(is_below(url, r) for r in (root, *read_roots)):
            raise MessageError(
                f"layer {name!r} of {redacted(run_url)} is at {redacted(url)}, outside {redacted(root)}; "
                "start workers with --read-root if they may read there"
            )


def layers_to_read(plan: Plan, run_url: str, root: str | None) -> frozenset[str]:
    """Names of the layers outside the root: a task may read them at most."""
    if root is None:
        return frozenset()
    return frozenset(n for n, ref in plan.refs(run_url).items() if not is_below(canonical_url(ref.url), root))
