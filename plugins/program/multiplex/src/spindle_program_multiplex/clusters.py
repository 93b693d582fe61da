"""Which groups of data sets are scaled and merged by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

__all__ = ["Group", "chosen_groups", "groups_of"]

UNLIMITED = 100.0


@dataclass(frozen=True, slots=True)
class Group:
    """Data sets that are alike.

    Attributes
    ----------
    kind : "cos", "cc" or "coordinate"
    number : int
        Row of its tree, from 1, or label.
    members : frozenset of str
        Identifiers.
    height : float
        At which its two branches join; 0 for a dense place.
    completeness, multiplicity : float
        NaN where not known.
    """

    kind: str
    number: int
    members: frozenset[str]
    height: float
    completeness: float
    multiplicity: float

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.kind}_cluster_{self.number}"


def groups_of(record: dict[str, Any]) -> dict[str, list[Group]]:
    """All groups that `correlation_matrix` has found, by kind, in the order of its trees."""
    found: dict[str, list[Group]] = {}
    for kind, key in (("cos", "cos_matrix_clustering"), ("cc", "correlation_matrix_clustering")):
        found[kind] = [
            Group(kind, int(number), frozenset(b["datasets"]), b["height"], b["completeness"], b["multiplicity"])
            for number, b in record[key].items()
        ]
    labels = record["significant_clusters"]["labels"]
    by_members = {g.members: g for g in found["cos"] + found["cc"]}
    found["coordinate"] = []
    for label in sorted(set(labels) - {-1}):
        members = frozenset(name for name, k in zip(record["datasets"], labels, strict=True) if k == label)
        like = by_members.get(members)
        known = (like.completeness, like.multiplicity) if like is not None else (float("nan"), float("nan"))
        found["coordinate"].append(Group("coordinate", int(label), members, 0.0, *known))
    return found


def chosen_groups(
    groups: dict[str, list[Group]], n_sets: int, clustering: Any
) -> tuple[list[Group], list[tuple[Group, Group]]]:
    """The groups that pass all limits, the highest of each tree first, and the pairs that are meant by distinct ones.

    Parameters
    ----------
    groups : dict of str to list of Group
        See `groups_of`.
    n_sets : int
        All data sets.
    clustering : Params
        Scope ``clustering``.
    """
    tree = clustering.hierarchical
    kinds = []
    if "hierarchical" in clustering.method:
        kinds += [k for k, name in (("cos", "cos_angle"), ("cc", "correlation")) if name in tree.method]
    if "coordinate" in clustering.method:
        kinds.append("coordinate")
    most = clustering.max_output_clusters or n_sets
    chosen: list[Group] = []
    pairs: list[tuple[Group, Group]] = []
    for kind in kinds:
        distinct = tree.distinct_clusters and kind != "coordinate"
        found = [g for g in reversed(groups[kind]) if _passes(g, n_sets, clustering, distinct)]
        if not distinct:
            chosen += found[:most]
            continue
        all_of = {g.members for g in found}
        siblings = [
            (a, b) for a, b in combinations(found, 2) if not a.members & b.members and a.members | b.members in all_of
        ]
        pairs += siblings[:most]
        for pair in siblings[:most]:
            chosen += [g for g in pair if g not in chosen]
    return chosen, pairs


def height_limit(kind: str, clustering: Any) -> float:
    """Largest height of a group of this kind: its own limit, or the common one where that is as it was."""
    tree = clustering.hierarchical
    own = {"cc": tree.max_cluster_height_cc, "cos": tree.max_cluster_height_cos}.get(kind)
    if own is None or own == UNLIMITED:
        own = tree.max_cluster_height
    return UNLIMITED if own is None else float(own)


def _passes(group: Group, n_sets: int, clustering: Any, distinct: bool) -> bool:
    # what is not known of a dense place does not speak against it
    if group.completeness < (clustering.min_completeness or 0) or group.multiplicity < (
        clustering.min_multiplicity or 0
    ):
        return False
    if len(group.members) == n_sets and not distinct:
        return False
    if group.kind != "coordinate" and group.height > height_limit(group.kind, clustering):
        return False
    return len(group.members) >= (clustering.min_cluster_size or 1)
