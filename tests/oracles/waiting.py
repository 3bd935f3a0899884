"""The size rule with waiting clusters and the mean with frozen ones, in plain Python over dicts of rows."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

FIRST = (-65535, 0)  # as a key (-weight, edge): before every edge
Pair = tuple[int, int]


def join(rows: dict[Pair, Any], keep: int, gone: int, parallel: Any) -> dict[Pair, Any]:
    """Rows with `gone` called `keep`, parallel ones taken together."""
    out: dict[Pair, Any] = {}
    for pair, row in rows.items():
        a, b = sorted(keep if c == gone else c for c in pair)
        if a != b:
            out[a, b] = parallel(out[a, b], row) if (a, b) in out else row
    return out


def size_rule(
    rows: dict[Pair, Pair], parts: dict[int, list[tuple[Pair, int]]], waiting: set[int], small: int
) -> tuple[dict[int, int], dict[Pair, Pair], set[int], dict[int, list[tuple[Pair, int]]]]:
    """Rows are pair -> key (-weight, edge). Returns names, undecided rows, waiting names, parts of names."""
    name = {c: c for c in parts}
    parts = {c: list(p) for c, p in parts.items()}
    waiting, undecided = set(waiting), set()
    while left := {pair: key for pair, key in rows.items() if (pair, key) not in undecided}:
        (u, v), key = min(left.items(), key=lambda item: item[1])
        large = {c: sum(n for at, n in parts[c] if at < key) >= small for c in (u, v)}
        if large[u] and large[v]:
            del rows[u, v]
            continue
        guests = [c for c in (u, v) if c not in waiting and not large[c]]
        if not guests:
            undecided.add(((u, v), key))
            continue
        guest = guests[-1]
        host = u if guest == v else v
        keep, gone = min(u, v), max(u, v)
        parts[keep] = parts[host] + [(max(at, key), n) for at, n in parts[guest]]
        waiting = {keep if c == gone else c for c in waiting}
        name = {c: keep if n == gone else n for c, n in name.items()}
        rows = join(rows, keep, gone, min)
    return name, rows, waiting, {c: p for c, p in parts.items() if name[c] == c}


def agglomerate(
    rows: dict[Pair, tuple[int, int, int]], frozen: set[int], clusters: list[int], w_mean: int
) -> tuple[dict[int, int], set[int], dict[Pair, tuple[int, int, int]]]:
    """Rows are pair -> (sum, count, last edge). Returns names, frozen names, rows with both ends frozen."""
    name, frozen = {c: c for c in clusters}, set(frozen)
    done: set[Pair] = set()
    while left := {pair: r for pair, r in rows.items() if pair not in done}:
        (u, v), row = min(left.items(), key=lambda item: (-Fraction(item[1][0], item[1][1]), item[1][2]))
        if row[0] < w_mean * row[1]:
            break
        if u in frozen or v in frozen:
            frozen |= {u, v}
            done.add((u, v))
            continue
        name = {c: u if n == v else n for c, n in name.items()}
        rows = join(rows, u, v, lambda a, b: (a[0] + b[0], a[1] + b[1], max(a[2], b[2])))
    return name, frozen, {pair: r for pair, r in rows.items() if frozen.issuperset(pair)}
