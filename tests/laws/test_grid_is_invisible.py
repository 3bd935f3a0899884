"""The law: fragments and segments do not depend on the grid, to the byte, ids included. F, S and A in one sweep."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from laws.counts import CONTROL_CASES, in_parts
from laws.volumes import FAMILIES, GRIDS, QUANTILE_RULES, Case, cuts_of, law_case, random_case, whole
from oracles.stitching import single_pass

from emseg.tasks.arrays import inside
from emseg.tasks.arrays import leaf as leaves
from emseg.tasks.arrays import settle as settling
from emseg.tasks.arrays import sweep as sweeping
from emseg.tasks.arrays.agglomeration import Agglomerated, MeanRows, agglomeration
from emseg.tasks.arrays.leaf import LeafResult
from emseg.tasks.arrays.parts import FIRST_EDGE, FIRST_MAX
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.rules import Linkage, Rules
from emseg.tasks.arrays.settle import Clusters, settle
from emseg.tasks.arrays.sides import excluded_box
from emseg.tasks.arrays.size_rule import Joined, MaxRows, PartColumns, size_rule
from emseg.tasks.arrays.sweep import climb, sweep
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.arrays.weights import BIN_WEIGHT
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import CorruptChunkError

REFERENCE = Path(__file__).parents[2] / ".." / "shared" / "reference" / "exact_merge.py"


def run(case: Case, cuts: list[list[int]]) -> tuple[bytes, bytes]:
    """Bytes of fragments and segments over a grid."""
    swept = sweep(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX)
    return swept.fragments_ZYX.tobytes(), swept.segments_ZYX.tobytes()


@in_parts
@pytest.mark.parametrize("family", FAMILIES)
def test_any_grid_gives_the_bytes_of_one_chunk(family: str, seeds: range) -> None:
    """Tie-heavy volumes, by mean, max and quantile, masked and with dust: each grid gives what one chunk gives."""
    assert [found for seed in seeds for found in _different(law_case(seed, family), seed)] == []


def _different(case: Case, seed: int) -> list[tuple[int, str]]:
    """The kinds of grid that show."""
    one = run(case, whole(case.bbox))
    return [(seed, kind) for kind in GRIDS if run(case, cuts_of(kind, case.bbox, seed)) != one]


@pytest.mark.parametrize("seed", range(24))
def test_one_chunk_gives_what_the_oracle_says(seed: int) -> None:
    """The kernels agree with plain Python on a whole volume: fragments, size rule, mean, dust, exclusion."""
    _require_the_oracles(random_case(seed, 4, 9))


@pytest.mark.parametrize("seed", range(16))
def test_one_chunk_gives_what_the_oracle_says_of_quantiles(seed: int) -> None:
    """So they do where quantiles of the weights decide, which plain Python sorts."""
    case = random_case(seed, 4, 9)
    _require_the_oracles(replace(case, rules=QUANTILE_RULES[seed % len(QUANTILE_RULES)]))


def _require_the_oracles(case: Case) -> None:
    fragments, segments = single_pass(case.weights_CZYX, case.bbox, case.rules, case.excluded_ZYX)
    swept = sweep(case.weights_CZYX, case.bbox, whole(case.bbox), case.rules, case.excluded_ZYX)
    assert np.array_equal(swept.fragments_ZYX, fragments)
    assert np.array_equal(swept.segments_ZYX, segments)


def test_the_cases_do_merge_refuse_and_drop() -> None:
    """The random volumes are no empty trial: rows wait, fragments merge by both rules, dust falls, some stay apart."""
    merged = kept = dusted = 0
    for seed in range(40):
        case = random_case(seed)
        swept = sweep(case.weights_CZYX, case.bbox, whole(case.bbox), case.rules, case.excluded_ZYX)
        fragments, segments = (len(np.unique(a[a > 0])) for a in (swept.fragments_ZYX, swept.segments_ZYX))
        merged += segments < fragments
        kept += segments > 1
        dusted += bool(((swept.segments_ZYX == 0) & (swept.fragments_ZYX > 0)).any())
    assert merged > 30
    assert kept > 15
    assert dusted > 2


def test_a_grown_box_keeps_what_the_old_one_settled() -> None:
    """Every segment that the old box settles, its grown faces open, has the same id and voxels in the larger run."""
    settled_in_all = 0
    for seed in range(80):
        case = random_case(seed, 9, 15)
        rules = replace(case.rules, dust_vx=0)
        old = BBox.of(case.bbox.min, [b - 3 for b in case.bbox.max])
        cuts = cuts_of("irregular", old, seed)
        climbed = climb(case.weights_CZYX, case.bbox, cuts, rules, case.excluded_ZYX)
        grown = sweep(case.weights_CZYX, case.bbox, whole(case.bbox), rules, case.excluded_ZYX).segments_ZYX
        ids, voxels = np.unique(grown, return_counts=True)
        size_in_all = dict(zip(ids.tolist(), voxels.tolist(), strict=True))
        inside = grown[old.slices_ZYX(case.bbox.min)]
        for forests in climbed.tree:
            for forest in forests.values():
                settled_in_all += len(forest.settled)
                for segment, size in zip(forest.settled.tolist(), forest.settled_voxels.tolist(), strict=True):
                    assert size_in_all[segment] == size
                    assert (inside == segment).sum() == size
    assert settled_in_all > 40


def _nothing_waits(patch: pytest.MonkeyPatch) -> None:
    """S and A decide at once; clusters on open faces still go up, each as one first part."""

    def eager_size_rule(waiting: np.ndarray, parts: PartColumns, rows: MaxRows, small: int, w_low: int) -> Joined:
        joined = size_rule(np.zeros_like(waiting), parts, rows, small, w_low)
        out = np.zeros_like(waiting)
        out[joined.root[waiting]] = True
        at = np.flatnonzero(out)
        first = np.full(len(at), FIRST_MAX, np.uint16), np.full(len(at), FIRST_EDGE, np.uint64)
        return replace(joined, waiting=out, parts=PartColumns(at, *first, joined.voxels[at]))

    def eager_agglomeration(
        frozen: np.ndarray, voxels: np.ndarray, rows: MeanRows, w_mean: int, linkage: Linkage
    ) -> Agglomerated:
        means = agglomeration(np.zeros_like(frozen), voxels, rows, w_mean, linkage)
        out = np.zeros_like(frozen)
        out[means.root[frozen]] = True
        return replace(means, frozen=out)

    patch.setattr(settling, "size_rule", eager_size_rule)
    patch.setattr(settling, "agglomeration", eager_agglomeration)


def _join_keys_ignored(patch: pytest.MonkeyPatch) -> None:
    """What a child joined counts from the start in every decision of its parent."""

    def forgetful(waiting: np.ndarray, parts: PartColumns, rows: MaxRows, small: int, w_low: int) -> Joined:
        first = np.full_like(parts.max, FIRST_MAX), np.full_like(parts.edge, FIRST_EDGE)
        return size_rule(waiting, PartColumns(parts.cluster, *first, parts.voxels), rows, small, w_low)

    patch.setattr(settling, "size_rule", forgetful)


def _ties_by_cluster(patch: pytest.MonkeyPatch) -> None:
    """Equal means are ordered by the ids of the clusters."""

    def named(frozen: np.ndarray, voxels: np.ndarray, rows: MeanRows, w_mean: int, linkage: Linkage) -> Agglomerated:
        pair = np.minimum(rows.u, rows.v) * len(frozen) + np.maximum(rows.u, rows.v)
        return agglomeration(frozen, voxels, replace(rows, edge=pair.astype(np.uint64)), w_mean, linkage)

    patch.setattr(settling, "agglomeration", named)


def _quantiles_of_quantiles(patch: pytest.MonkeyPatch) -> None:
    """A contact goes on as its score and its edges, not as its histogram."""

    def averaged(frozen: np.ndarray, voxels: np.ndarray, rows: MeanRows, w_mean: int, linkage: Linkage) -> Agglomerated:
        means = agglomeration(frozen, voxels, rows, w_mean, linkage)
        if means.rows.bins is None:
            return means
        n, bins = len(means.rows.u), means.rows.bins
        row = np.repeat(np.arange(n), bins.length)
        edges = np.bincount(row, bins.count, n).astype(np.uint32)
        one = WeightBins(np.ones(n, np.uint16), (means.rows.sum // BIN_WEIGHT).astype(np.uint8), edges)
        return replace(means, rows=replace(means.rows, bins=one))

    patch.setattr(settling, "agglomeration", averaged)


def _one_tie_field(patch: pytest.MonkeyPatch) -> None:
    """The size rule breaks its ties by the greatest edge key, as the mean does."""

    def same(rows: Rows) -> Rows:
        return replace(rows, best_edge=rows.last_edge)

    inner, across = leaves.contact_rows, inside.rows_across
    patch.setattr(leaves, "contact_rows", lambda *a: same(inner(*a)))
    patch.setattr(inside, "rows_across", lambda *a: same(across(*a)))


def _masked_in_its_core_only(patch: pytest.MonkeyPatch) -> None:
    """A leaf knows what is excluded in its core, not around it."""

    def short_sighted(
        weights: np.ndarray, core: BBox, bbox: BBox, rules: Rules, excluded: np.ndarray | None = None
    ) -> LeafResult:
        if excluded is not None:
            inside, blank = core.slices_ZYX(excluded_box(core, bbox).min), np.zeros_like(excluded)
            blank[inside] = excluded[inside]
            excluded = blank
        return leaves.leaf(weights, core, bbox, rules, excluded)

    patch.setattr(sweeping, "leaf", short_sighted)


def _dust_of_a_leaf(patch: pytest.MonkeyPatch) -> None:
    """What is small in its own core falls there."""

    def dusted(
        weights: np.ndarray, core: BBox, bbox: BBox, rules: Rules, excluded: np.ndarray | None = None
    ) -> LeafResult:
        result = leaves.leaf(weights, core, bbox, rules, excluded)
        small = np.bincount(result.labels_ZYX.reshape(-1)) < rules.dust_vx
        return replace(result, labels_ZYX=np.where(small[result.labels_ZYX], np.uint32(0), result.labels_ZYX))

    patch.setattr(sweeping, "leaf", dusted)


def _shows(case: Case, seed: int) -> bool:
    """Whether some grid gives other bytes, or leaves that contradict each other."""
    try:
        return bool(_different(case, seed))
    except CorruptChunkError:
        return True


BROKEN = [
    (_nothing_waits, "mean"),
    (_nothing_waits, "max"),
    (_join_keys_ignored, "any"),
    (_ties_by_cluster, "any"),
    (_quantiles_of_quantiles, "quantile"),
    (_nothing_waits, "quantile"),
    (_one_tie_field, "any"),
    (_masked_in_its_core_only, "mask"),
    (_dust_of_a_leaf, "dust"),
]


@pytest.mark.parametrize(("breaks", "family"), BROKEN)
def test_a_broken_rule_breaks_the_law(
    breaks: Callable[[pytest.MonkeyPatch], None], family: str, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    """Nothing waits, join keys ignored, ids break ties, quantiles of quantiles, one tie field for both, a mask without
    its margin, dust by leaf: each gives some grid other bytes."""
    breaks(monkeypatch)
    seeds = next((n + 1 for n in range(CONTROL_CASES) if _shows(law_case(n, family), n)), None)
    record_property("seeds", seeds)
    print(f"{breaks.__name__}, {family}: {seeds} seeds until a grid shows")
    assert seeds is not None


def _reference() -> ModuleType:
    if not REFERENCE.is_file():
        pytest.skip("the reference check is not beside this checkout")
    spec = importlib.util.spec_from_file_location("exact_merge", REFERENCE)
    if spec is None or spec.loader is None:
        pytest.skip("the reference check cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_size_rule_and_mean_agree_with_the_reference() -> None:
    """On the reference's own volumes S and A give its single pass."""
    reference = _reference()
    for seed in range(60):
        labels, affinity, _ = reference.random_case(seed)
        low, small, threshold = (60, 25, 100) if seed % 2 else (20, 60, 60)
        expected = reference.single_pass(labels, affinity, low, small, threshold)
        rows = sorted(reference.contact_rows(labels, affinity, (0, 0, 0), labels.shape).items())
        sizes = reference.sizes(labels)
        ids = np.array(sorted(sizes), np.uint64)
        u, v = (np.searchsorted(ids, [pair[i] for pair, _ in rows]).astype(np.int64) for i in (0, 1))

        def column(i: int, dtype: type, rows: Any = rows) -> np.ndarray:
            return np.array([row[i] for _, row in rows], dtype)

        first = np.full(len(ids), FIRST_MAX, np.uint16), np.full(len(ids), FIRST_EDGE, np.uint64)
        voxels = np.array([sizes[int(i)] for i in ids], np.uint64)
        clusters = Clusters(
            ids,
            np.zeros(len(ids), bool),
            PartColumns(np.arange(len(ids)), *first, voxels),
            MaxRows(u, v, column(2, np.uint16), column(4, np.uint64)),
            MeanRows(u, v, column(0, np.uint64), column(1, np.uint32), column(3, np.uint64)),
        )
        settled = settle(clusters, Rules(low, 65535, small, threshold))
        assert settled.to.tolist() == [expected(int(i)) for i in ids]
