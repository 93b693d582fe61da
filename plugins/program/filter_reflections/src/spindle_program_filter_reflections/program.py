"""The program `filter_reflections`."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.params import Bool, Float, Ints, PathParam, SpaceGroup, Str, UnitCell
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_ice import SPACE_GROUP, UNIT_CELL, WIDTH
from spindle_lib_selection.parts import join

from .expressions import flag_counts, rows_with_flags, rows_with_values
from .rules import d_spacings, good_intensities, in_dead_time, in_rings, integrated

MAX_ROWS = 100


class FilterReflections(Program):
    """Keep the reflections that have certain flags, values or resolutions; without any rule, count the flags.

    Rules are applied one after the other, and each says how many reflections are left. Flags are joined by & (and), | (or), ~ (not) and
    brackets; an expression compares columns with numbers.

        spindle filter_reflections integrated.refl
        spindle filter_reflections integrated.refl "flag_expression=integrated_sum & ~reference_spot" d_min=1.5
        spindle filter_reflections integrated.refl "expression=intensity.sum.value / sqrt(intensity.sum.variance) > 3 and zeta > 0.1"
    """

    takes_files = False

    class Params(ParamsBase):
        """Which reflections are kept."""

        class output(ParamsBase):
            """What is written."""

            reflections = PathParam("filtered.refl", help="Reflections that are kept.")
            log = PathParam("spindle.filter_reflections.log", none=True, help="Log file.")

        flag_expression = Str(
            None,
            none=True,
            help="Flags that are kept, such as indexed & ~strong; spindle filter_reflections FILE lists those there are.",
        )
        expression = Str(
            None,
            none=True,
            help="Comparison of columns that is true for what is kept, such as d > 2 and abs(xyzobs.px.value[2] - 40) < 5. There are "
            "+ - * / ** %, brackets, and or not, sqrt abs log log10 exp sin cos degrees radians floor round isfinite, and flags.",
        )
        id = Ints(None, min=0, max=10_000_000, help="Experiments, counted from 0.")
        panel = Ints(None, min=0, max=100_000, help="Panels of the detector, counted from 0.")
        d_min = Float(None, min=0, units="angstrom", help="Highest resolution.")
        d_max = Float(None, min=0, units="angstrom", help="Lowest resolution.")

        class partiality(ParamsBase):
            """The fraction to which reflections are recorded."""

            min = Float(None, min=0, max=1, help="Smallest.")
            max = Float(None, min=0, max=1, help="Largest.")

        select_good_intensities = Bool(
            False, help="Keep what is integrated by summation and by profile fitting, and recorded to 99 % at least."
        )

        class dead_time(ParamsBase):
            """Reflections that pass while the detector does not count."""

            value = Float(0.0, min=0, units="ms", help="Dead time at the end of each image; 0 rejects nothing.")
            reject_fraction = Float(
                0.0, min=0, max=1, help="Reject what has more than this share within the dead part of an image."
            )

        class ice_rings(ParamsBase):
            """Powder rings of ice."""

            filter = Bool(False, help="Leave out reflections on powder rings.")
            unit_cell = UnitCell(UNIT_CELL, help="Cell of the ice; hexagonal by default.", level=1, qualified=True)
            space_group = SpaceGroup(SPACE_GROUP, help="Its space group.", level=1, qualified=True)
            width = Float(WIDTH, min=0, max=10, units="1/angstrom^2", help="Width of a ring in 1/d^2.", level=1)
            d_min = Float(
                None,
                min=0.3,
                units="angstrom",
                help="Highest resolution of the rings; that of the reflections by default.",
                level=1,
                qualified=True,
            )

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Filter; see `spindle.contracts.program.ProgramSpec`."""
        table = join(inputs.reflections)
        if table is None:
            raise UserError("filter_reflections: give a reflection file")
        table = table.view()
        table.identifiers = _identifiers(inputs)
        context.log.info("%d reflections", len(table))
        if not _is_asked(params):
            context.log.info(
                "No rule is given, so that the flags are counted; spindle filter_reflections -h lists the rules"
            )
            rows = flag_counts(table)
            context.table(Table("Flags", ["flag", "nref"], rows, "flags"))
            return ProgramResult(summary={"n_reflections": len(table)} | dict(rows))
        keep = _Selection(table, context)
        self._by_columns(keep, params)
        self._by_resolution(keep, inputs.experiments, params)
        self._by_intensity(keep, inputs.experiments, params)
        if params.ice_rings.filter:
            keep.only(
                lambda t: ~in_rings(d_spacings(t, inputs.experiments), params.ice_rings), "outside of powder rings"
            )
        kept = table.select(keep.rows)
        kept.identifiers = dict(table.identifiers)
        if not len(kept):
            context.log.warning("Warning: no reflection is left; the table that is written is empty")
        summary = {"n_reflections": len(table), "n_kept": len(kept)}
        return ProgramResult(reflections=kept, summary=summary, next_step=f"spindle show {params.output.reflections}")

    def _by_columns(self, keep: _Selection, params: Any) -> None:
        if params.flag_expression is not None:
            keep.only(lambda t: rows_with_flags(t, params.flag_expression), "by flags")
        if params.expression is not None:
            keep.only(lambda t: rows_with_values(t, params.expression), "by the expression")
        for name, what in (("id", "by experiment"), ("panel", "by panel")):
            wanted = getattr(params, name)
            if wanted is not None:
                keep.only(lambda t, n=name, w=wanted: np.isin(t[n], w), what)  # type: ignore[misc]

    def _by_resolution(self, keep: _Selection, experiments: Experiments | None, params: Any) -> None:
        low, high = params.d_min, params.d_max
        if low is not None and high is not None and low > high:
            raise ParameterError(f"d_min={low:g} is above d_max={high:g}: no reflection is between them")
        if low is not None:
            keep.only(lambda t: d_spacings(t, experiments) >= low, f"with d >= {low:g} A")
        if high is not None:
            keep.only(lambda t: d_spacings(t, experiments) <= high, f"with d <= {high:g} A")

    def _by_intensity(self, keep: _Selection, experiments: Experiments | None, params: Any) -> None:
        low, high = params.partiality.min, params.partiality.max
        if low is not None:
            keep.only(lambda t: t["partiality"] >= low, f"with a partiality >= {low:g}")
        if high is not None:
            keep.only(lambda t: t["partiality"] <= high, f"with a partiality <= {high:g}")
        if params.select_good_intensities:
            keep.only(good_intensities, "with good intensities")
        if params.dead_time.value > 0:
            if experiments is None:
                raise ParameterError("dead_time.value: give the experiment that belongs to the reflections")
            keep.only(integrated, "that are integrated")
            self._by_dead_time(keep, experiments, params.dead_time)
        elif params.dead_time.reject_fraction > 0:
            raise ParameterError("dead_time.reject_fraction: give dead_time.value= too, in milliseconds")

    def _by_dead_time(self, keep: _Selection, experiments: Experiments, params: Any) -> None:
        counts: list[tuple[int, int]] = []

        def alive(table: ReflectionTable) -> np.ndarray:
            rejected, found = in_dead_time(table, experiments, params.value, params.reject_fraction)
            counts.extend(found)
            return ~rejected

        keep.only(alive, "outside of the dead time")
        shown: list[list[Any]] = [list(row) for row in counts[:MAX_ROWS]]
        if len(counts) > MAX_ROWS:
            shown.append([f"... {len(counts) - MAX_ROWS} more", None])
        keep.context.table(
            Table("Rejected by the dead time of each image", ["Image", "Reflections"], shown, "dead_time")
        )


class _Selection:
    """Rows that are left after each rule.

    Parameters
    ----------
    table : ReflectionTable
    context : RunContext

    Attributes
    ----------
    rows : (n,) int64
    """

    def __init__(self, table: ReflectionTable, context: Any) -> None:
        self.table, self.context = table, context
        self.rows = np.arange(len(table))

    def only(self, rule: Any, what: str) -> None:
        """Keep the rows for which a rule (a function of a table) is true, and say how many these are."""
        self.rows = self.rows[np.asarray(rule(self.table.select(self.rows)))]
        self.context.log.info("Selected %d reflections %s", len(self.rows), what)


def _is_asked(params: Any) -> bool:
    """Whether any rule is given."""
    given = [params.flag_expression, params.expression, params.id, params.panel, params.d_min, params.d_max]
    given += [params.partiality.min, params.partiality.max]
    rules = [params.select_good_intensities, params.ice_rings.filter, params.dead_time.value > 0]
    return any(v is not None for v in given) or any(rules) or params.dead_time.reject_fraction > 0


def _identifiers(inputs: ProgramInputs) -> dict[int, str]:
    """Those of the experiments, else of the tables."""
    if inputs.experiments is not None and all(e.identifier for e in inputs.experiments):
        return dict(inputs.experiments.identifiers)
    return {k: v for table in reversed(inputs.reflections) for k, v in table.identifiers.items()}
