"""Which data sets take part, and which of their images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import excluded_images, on_excluded_images
from spindle_lib_selection.parts import Parts, join

__all__ = ["Data", "begin"]

USAGE = "spindle multiplex */integrated.expt */integrated.refl"


@dataclass(slots=True)
class Data:
    """Data sets that are left, and why others are not.

    Attributes
    ----------
    experiments : Experiments
    table : ReflectionTable
        `id` points into `experiments`.
    places : list of int
        Which of the experiments that were given each of them is.
    given : Experiments
        All that were given.
    left_out : dict of int to str
        Why others of those are not used.
    notes : dict of int to str
        What is to be said of those that are, such as images that were left out.
    """

    experiments: Experiments
    table: ReflectionTable
    places: list[int]
    given: Experiments
    left_out: dict[int, str] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.experiments)

    def only(self, reasons: dict[int, str]) -> Data:
        """Without some of the data sets: reasons by their places in `experiments`."""
        if not reasons:
            return self
        kept = [i for i in range(len(self)) if i not in reasons]
        experiments, table = Parts(self.experiments, self.table).take(kept)
        assert table is not None
        left_out = self.left_out | {self.places[i]: reason for i, reason in reasons.items()}
        return Data(experiments, table, [self.places[i] for i in kept], self.given, left_out, self.notes)

    def replaced(self, experiments: Experiments, table: ReflectionTable) -> Data:
        """The same data sets with other models and values; those that a step has dropped are told by their identifiers."""
        place = {e.identifier: k for k, e in zip(self.places, self.experiments, strict=True)}
        places = [place[e.identifier] for e in experiments]
        left_out = dict(self.left_out)
        for k in self.places:
            if k not in places:
                left_out.setdefault(k, "a later step left it out")
        return Data(experiments, table, places, self.given, left_out, self.notes)


def begin(inputs: ProgramInputs, params: Any, log: Any) -> Data:
    """Check what was given, choose data sets and images.

    Raises
    ------
    UserError
        If it cannot be scaled together: fewer than two data sets, stills, no integrated reflections.
    """
    if not inputs.experiments or not inputs.reflections:
        raise UserError(f"multiplex: give the experiments and reflections of several integrated data sets: {USAGE}")
    experiments = inputs.experiments
    if len(experiments) < 2:
        raise UserError(
            "multiplex: there is one data set; it needs two or more. For one crystal: spindle symmetry <experiments> <reflections>, then "
            "spindle scale"
        )
    _check(experiments)
    table = join(inputs.reflections)
    assert table is not None
    for name in ("miller_index", "id", "flags", "xyzcal.px"):
        if name not in table:
            raise UserError(f"multiplex: the reflections have no column {name}; give files of spindle integrate")
    integrated = table.has_flags(Flag.INTEGRATED_SUM) | table.has_flags(Flag.INTEGRATED_PRF)
    if not integrated.any():
        raise UserError(
            f"multiplex: none of the {len(table)} reflections is integrated; run spindle integrate on each data set first"
        )
    table = table.without("shoebox")
    known = (table["id"] >= 0) & (table["id"] < len(experiments))
    table = table.select(known & integrated) if not (known & integrated).all() else table
    data = Data(experiments, table, list(range(len(experiments))), experiments)
    for exclude in (_identifiers, _images, _dose, _empty, _unfitted, _unrefined):
        data = exclude(data, params, log)
        if not len(data):
            why = "; ".join(dict.fromkeys(data.left_out.values()))
            raise UserError(f"multiplex: no data set is left: {why}")
    return data


def _check(experiments: Experiments) -> None:
    seen: dict[str, int] = {}
    for i, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise UserError(f"multiplex: experiment {i} has no crystal; run spindle index and spindle integrate first")
        if experiment.scan is None or experiment.scan.is_still:
            raise UserError(
                f"multiplex: experiment {i} is a still; stills are scaled with spindle cosym and spindle scale_stills"
            )
        other = seen.setdefault(experiment.identifier, i)
        if other != i and experiment.identifier:
            raise UserError(
                f"multiplex: experiments {other} and {i} have the same identifier, {experiment.identifier}: one data set was given twice, "
                "or copied; spindle assign_experiment_identifiers gives new ones"
            )


def _column(table: ReflectionTable) -> str:
    return "xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"


def _identifiers(data: Data, params: Any, log: Any) -> Data:
    if not params.identifiers:
        return data
    wanted = [word for item in params.identifiers for word in str(item).split(",") if word]
    there = [e.identifier for e in data.experiments]
    if unknown := [w for w in wanted if w not in there]:
        shown = ", ".join(there[:5]) + (" ..." if len(there) > 5 else "")
        raise ParameterError(f"identifiers: there is no {unknown[0]}; the experiments are {shown}")
    return data.only({i: "not among identifiers=" for i, name in enumerate(there) if name not in wanted})


def _without_rows(data: Data, out: np.ndarray, what: str, log: Any) -> Data:
    """Without some reflections; how many each set loses is noted."""
    if not out.any():
        return data
    log.info("%d reflections are left out: %s", np.count_nonzero(out), what)
    notes = dict(data.notes)
    for i in np.unique(data.table["id"][out]).tolist():
        notes[data.places[i]] = "; ".join(filter(None, [notes.get(data.places[i], ""), what]))
    return Data(data.experiments, data.table.select(~out), data.places, data.given, data.left_out, notes)


def _images(data: Data, params: Any, log: Any) -> Data:
    # as the user counts the experiments: before any is left out
    ranges = excluded_images(params.exclude_images, len(data.given))
    at = {place: i for i, place in enumerate(data.places)}
    ranges = [r._replace(experiment=at[r.experiment]) for r in ranges if r.experiment in at]
    column = _column(data.table)
    data = _without_rows(data, on_excluded_images(data.table, ranges, column), "exclude_images", log)
    if (k := params.exclude_images_multiple) is not None:
        image = np.floor(data.table[column][:, 2]).astype(np.int64) + 1
        data = _without_rows(data, image % k == 0, f"multiples of image {k}", log)
    return data


def _dose(data: Data, params: Any, log: Any) -> Data:
    if params.dose is None:
        return data
    first, last = params.dose
    if last < first:
        raise ParameterError(f"dose={first},{last}: the last image comes before the first")
    reasons = {}
    for i, experiment in enumerate(data.experiments):
        begin_, end = experiment.known_scan.image_range
        if end < first or begin_ > last:
            reasons[i] = f"its images, {begin_} to {end}, are none of dose={first},{last}"
    data = data.only(reasons)
    if not len(data):
        return data
    z = data.table[_column(data.table)][:, 2]
    return _without_rows(data, (z < first - 1) | (z >= last), f"images beyond {first} to {last}", log)


def _counts(data: Data, flag: Flag | None) -> np.ndarray:
    rows = data.table["id"] if flag is None else data.table["id"][data.table.has_flags(flag)]
    return np.bincount(rows, minlength=len(data))


def _empty(data: Data, params: Any, log: Any) -> Data:
    return data.only(
        dict.fromkeys(np.flatnonzero(_counts(data, None) == 0).tolist(), "it has no integrated reflection")
    )


def _unfitted(data: Data, params: Any, log: Any) -> Data:
    if not params.remove_profile_fitting_failures:
        return data
    return _lacking(data, Flag.INTEGRATED_PRF, "none of its reflections is profile-fitted")


def _unrefined(data: Data, params: Any, log: Any) -> Data:
    return _lacking(
        data, Flag.USED_IN_REFINEMENT, "none of its reflections was used in refinement: it has no strong ones"
    )


def _lacking(data: Data, flag: Flag, reason: str) -> Data:
    """Without the sets of which no reflection has a flag, unless none has it at all."""
    counts = _counts(data, flag)
    return data.only(dict.fromkeys(np.flatnonzero(counts == 0).tolist(), reason)) if counts.any() else data
