"""The program `scale_stills`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Auto
from spindle.report import Table, json_text
from spindle.table import ReflectionTable
from spindle_lib_merging import MergingStatistics, merging_statistics, pack_indices, problems_of, shell_table
from spindle_lib_pages import text_writer
from spindle_lib_reference_intensities import Indexings, in_basis_of, read_reference
from spindle_lib_selection.parts import join

from .merging import Halves, halves_of
from .observations import Observations, collect, with_common_cell
from .outputs import page, scaled_experiments, scaled_table
from .params import ScaleStillsParams
from .postrefinement import Postrefinement, Result, summary_of

__all__ = ["ScaleStills"]

#: Numbers of stills for which halves are compared: all, and these parts of them.
PARTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
MOST_TOLD = 10


class ScaleStills(Program):
    """Scale many stills and find how much of each reflection they record, for merging.

    A still records a part of each reflection. Scale, B factor, orientation and the width of the reciprocal-lattice points of each crystal
    are refined against the means of all others, in turns with these; partial intensities are divided by the part that follows, and
    weighed by how well it is known. The agreement of two halves of the stills is told for several numbers of stills.

        spindle scale_stills integrated.expt integrated.refl
        spindle scale_stills integrated.expt integrated.refl method=monte_carlo
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle integrate writes it"}
    Params = ScaleStillsParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: ScaleStillsParams, context: Any) -> ProgramResult:
        """Scale; see `spindle.contracts.program.ProgramSpec`."""
        if not inputs.experiments or not inputs.reflections:
            raise UserError(
                "scale_stills: give integrated stills: spindle scale_stills integrated.expt integrated.refl"
            )
        experiments, table = inputs.experiments, join(inputs.reflections)
        assert table is not None
        if params.postrefinement.common_cell:
            experiments = with_common_cell(experiments)
        obs = collect(experiments, table, params.d_min, params.d_max, params.anomalous)
        crystal = experiments[0].known_crystal
        context.log.info(
            "%d observations of %d reflections on %d stills, in %s",
            len(obs),
            obs.n_unique,
            obs.n_stills,
            crystal.space_group.xhm(),
        )
        if params.reference is None and len(experiments) < 2:
            raise UserError(
                "scale_stills: one still has nothing to be compared with; give more stills, or a reference="
            )
        if Indexings(crystal).ambiguous:
            context.log.warning(
                "The lattice has more symmetry than %s: stills can be indexed in several ways, which have to be brought to one with spindle "
                "cosym before", crystal.space_group.xhm(),
            )  # fmt: skip
        target = self._target(experiments, obs, params, context)
        result = self._best(obs, experiments, target, params, context)
        kept = np.setdiff1d(np.flatnonzero(np.diff(obs.offsets) > 0), list(result.reasons))
        if not len(kept) or not (result.merged.weight > 0).any():
            raise UserError(f"scale_stills: no still is left: {_told(result.reasons)}")
        if result.reasons:
            context.log.warning(
                "%d of %d stills are left out: %s", len(result.reasons), obs.n_stills, _told(result.reasons)
            )
        return self._result(experiments, table, obs, result, kept, params, context)

    def _best(
        self,
        obs: Observations,
        experiments: Experiments,
        target: np.ndarray | None,
        params: ScaleStillsParams,
        context: Any,
    ) -> Result:
        """The result with the partiality model of the parameters, or with that under which two halves of the stills agree better."""
        tells = bool((obs.partiality < 0.95).mean() > 0.05) if len(obs) else False
        models = [str(params.partiality.model)]
        if params.partiality.model is Auto or params.method == "monte_carlo":
            models = ["refined", "table"] if tells and params.method != "monte_carlo" else ["refined"]
        found = [Postrefinement(obs, experiments, params, context, target, model).run() for model in models]
        if len(found) == 1:
            return found[0]
        every, rows, scores = np.ones(obs.n_unique, bool), [], []
        for result in found:
            rng = np.random.default_rng(context.seed)
            h = halves_of(obs, result.g, result.merged.weight, result.kept, rng, every)
            rows.append([result.model, len(result.kept), round(h.cc_half, 4), round(h.r_split, 4), ""])
            scores.append(h.r_split if np.isfinite(h.r_split) and h.r_split > 0 else np.inf)
        best = int(np.argmin(scores))
        rows[best][-1] = "*"
        headers = ["Model", "Stills", "CC1/2", "R split", ""]
        context.table(
            Table("Partiality models: that with the smaller R split is taken", headers, rows, "partiality_models")
        )
        return found[best]

    def _target(
        self, experiments: Experiments, obs: Observations, params: ScaleStillsParams, context: Any
    ) -> np.ndarray | None:
        if params.reference is None:
            return None
        beam, model, crystal = experiments[0].beam, params.reference_model, experiments[0].known_crystal
        reference = read_reference(
            Path(params.reference), "reference", 0.99 * float(obs.d.min()), probe=beam.probe, wavelength=beam.wavelength,
            k_sol=model.k_sol, b_sol=model.b_sol,
        )  # fmt: skip
        sigma = np.sqrt(obs.variance)
        moved, _ = in_basis_of(crystal, reference, obs.hkl, obs.value, sigma, "reference")
        lookup = dict(zip(pack_indices(moved.hkl).tolist(), moved.value.tolist(), strict=True))
        mine, mates = pack_indices(obs.groups.hkl).tolist(), pack_indices(-obs.groups.hkl).tolist()
        found = np.array([lookup.get(a, lookup.get(b, np.nan)) for a, b in zip(mine, mates, strict=True)])
        n = int(np.isfinite(found).sum())
        if n < 20:
            raise UserError(
                f"scale_stills: the reference ({reference.source}) has {n} of the {obs.n_unique} measured reflections, at least 20 are needed"
            )
        context.log.info("stills are refined against %d intensities %s", n, reference.source)
        return found

    def _result(
        self, experiments: Experiments, table: ReflectionTable, obs: Observations, result: Result, kept: np.ndarray,
        params: ScaleStillsParams, context: Any,
    ) -> ProgramResult:  # fmt: skip
        statistics, halves = self._statistics(experiments, obs, result, kept, params, context)
        tables = [_stills_table(result, kept, params.partiality.width), _halves_table(halves), shell_table(statistics)]
        if result.history:
            tables.insert(0, _history_table(result))
        for shown in tables:
            context.table(shown)
        if params.method == "postrefinement":
            e = result.errors
            context.log.info(
                "sigma'^2 = %.3f sigma^2 + (g <I>)^2 (%.4f^2 + v), v the variance of ln g by post-refinement",
                e.a2,
                np.sqrt(e.b2),
            )
        whole = halves[-1]
        summary: dict[str, Any] = {
            "n_stills": len(kept), "n_left_out": len(result.reasons), "n_observations": int((result.merged.weight > 0).sum()),
            "n_unique": statistics.overall.n_unique, "cc_half": whole.cc_half, "r_split": whole.r_split,
            "completeness": statistics.overall.completeness, "multiplicity": statistics.overall.multiplicity,
            "i_over_sigma": statistics.overall.i_over_sigma, "d_min": statistics.overall.d_min,
            "n_outliers": int(result.outlier.sum()), "partiality_model": result.model,
        }  # fmt: skip
        files: dict[str, Callable[[Path], None]] = {}
        if params.output.json is not None:
            record = {
                **summary, "halves": [{k: getattr(h, k) for k in Halves.__slots__} for h in halves],
                "merging_statistics": statistics.as_dict(), "parameters": result.parameters.tolist(),
                "left_out": {str(k): v for k, v in result.reasons.items()},
            }  # fmt: skip
            files[str(params.output.json)] = text_writer(json_text(record))
        if params.output.html is not None:
            files[str(params.output.html)] = text_writer(page(tables, statistics, halves, result, kept))
        configuration = {
            "method": params.method,
            "partiality_model": result.model,
            "width": params.partiality.width,
        }
        least = params.partiality.min if params.method == "postrefinement" else 0
        names = f"{params.output.experiments} {params.output.reflections}"
        following = f"spindle merge {names} partiality_threshold={least:g}"
        if problems := problems_of(statistics, 1.0):
            summary["problem"] = problems[0]
            following = f"nothing to merge yet, since {problems[0]}; look at indexing, symmetry (spindle cosym) and geometry first"
        return ProgramResult(
            experiments=scaled_experiments(experiments, obs, result, configuration),
            reflections=scaled_table(table, obs, result, params.partiality.min),
            files=files, summary=summary, next_step=following,
        )  # fmt: skip

    def _statistics(
        self,
        experiments: Experiments,
        obs: Observations,
        result: Result,
        kept: np.ndarray,
        params: ScaleStillsParams,
        context: Any,
    ) -> tuple[MergingStatistics, list[Halves]]:
        crystal = experiments[0].known_crystal
        use = result.merged.weight > 0
        cell = np.median([e.known_crystal.cell for e in experiments], axis=0)
        g = result.g[use]
        statistics = merging_statistics(
            obs.hkl[use],
            obs.value[use] / g,
            1.0 / (result.merged.weight[use] * g**2),
            cell,
            crystal.space_group,
            params.merging.nbins,
        )
        rng = np.random.default_rng(context.seed)
        which = np.bincount(obs.index[use], minlength=obs.n_unique) > 0
        numbers = sorted({max(2, round(len(kept) * part)) for part in PARTS}) if len(kept) > 1 else []
        halves = [
            halves_of(obs, result.g, result.merged.weight, rng.permutation(kept)[:n], rng, which) for n in numbers
        ] or [Halves(len(kept), 0, float("nan"), float("nan"), 1.0, 1.0)]  # fmt: skip
        return statistics, halves


def _told(reasons: dict[int, str]) -> str:
    """The first stills that are left out, with reasons."""
    shown = [f"{k} ({text})" for k, text in sorted(reasons.items())[:MOST_TOLD]]
    return ", ".join(shown) + (" ..." if len(reasons) > MOST_TOLD else "")


def _history_table(result: Result) -> Table:
    rows = [[cycle, round(cc, 4), round(z, 4)] for cycle, cc, z in result.history]
    return Table("Cycles of merging and refinement", ["Cycle", "CC with the others", "Rms z"], rows, "cycles")


def _halves_table(halves: list[Halves]) -> Table:
    rows = [
        [
            h.n_stills,
            h.n_common,
            round(h.cc_half, 4),
            round(h.r_split, 4),
            round(100 * h.completeness, 1),
            round(h.multiplicity, 1),
        ]
        for h in halves
    ]
    headers = ["Stills", "Common reflections", "CC1/2", "R split", "Completeness (%)", "Multiplicity"]
    return Table(
        "Agreement of two halves of the stills; completeness is that of the measured reflections",
        headers,
        rows,
        "halves",
    )


def _stills_table(result: Result, kept: np.ndarray, width: str) -> Table:
    p = result.parameters[kept]
    scale = 1.0 if width == "size" else float(np.degrees(1.0))
    unit = "1/A" if width == "size" else "deg"
    rows = [
        ["scale", *(round(v, 4) for v in summary_of(np.exp(p[:, 0])))],
        ["relative B (A^2)", *(round(v, 3) for v in summary_of(p[:, 1]))],
        ["rotation (deg)", *(round(v, 4) for v in summary_of(np.degrees(np.hypot(p[:, 2], p[:, 3]))))],
        [f"width ({unit})", *(round(v * scale, 5) for v in summary_of(np.exp(p[:, 4])))],
    ]
    return Table("What was found of the stills", ["", "Median", "10 %", "90 %"], rows, "stills")
