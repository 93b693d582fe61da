"""From indexed spots to the table of settings, the summary and the files of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.files import write_experiments
from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.report import Table, json_text
from spindle.symmetry import bravais_type, rotations, space_group
from spindle.table import ReflectionTable
from spindle_lib_refinement.short_refinement import Refinement, quiet
from spindle_lib_reindexing import in_setting_of
from spindle_lib_symmetry_analysis.operator_correlations import (
    MeanValues,
    operator_correlation,
    resolution_shells,
    values_of_spots,
)

from .judgement import Solution, is_plausible
from .refining import Refined, RefineSetting
from .settings import BravaisSetting, settings_of

#: Fewer indexed reflections than this do not determine a cell.
FEWEST = 10


def refine_settings(inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
    """Compare the settings; see `spindle_program_refine_bravais_settings.RefineBravaisSettings`."""
    experiments, table = _inputs(inputs, params)
    table = in_setting_of(experiments, table, context.log)
    settings = settings_of(experiments, params.lepage_max_delta, params.best_monoclinic_beta)
    context.table(_groups_table(settings))
    stills = all(e.is_still for e in experiments)
    task = RefineSetting(Refinement(params.refinement, context, stills), experiments, table)
    executor = context.executor
    if params.nproc is not Auto and params.nproc is not None:
        executor = executor.limited(int(params.nproc))
    refined: list[Refined] = []
    with quiet(), context.progress("refining settings", len(settings)) as progress:
        for found in executor.map(task, settings):
            refined.append(found)
            progress.advance(1)
    solutions = _solutions(experiments, table, settings, refined, params)
    context.table(solutions_table(solutions))
    context.log.info("* = recommended: compatible with positions and intensities")
    for solution in solutions:
        if solution.refined.failure:
            context.log.warning(
                "Solution %d (%s) could not be refined: %s", solution.setting.number, solution.setting.bravais,
                solution.refined.failure,
            )  # fmt: skip
    return _result(solutions, params, context)


def _inputs(inputs: ProgramInputs, params: Any) -> tuple[Experiments, ReflectionTable]:
    """The experiments of the crystals to work on, constant, with their indexed reflections.

    Raises
    ------
    UserError
        If something is missing.
    """
    if not inputs.experiments or not inputs.reflections:
        raise UserError("refine_bravais_settings: give experiments and reflections: indexed.expt indexed.refl")
    everything = inputs.experiments
    crystals = [c for c in everything.unique("crystal") if c is not None]
    if not crystals:
        raise UserError("refine_bravais_settings: the experiments have no crystal; run spindle index first")
    wanted = crystals
    if params.crystal_id is not None:
        if params.crystal_id >= len(crystals):
            raise ParameterError(
                f"crystal_id={params.crystal_id}: there are only the crystals 0 to {len(crystals) - 1}"
            )
        wanted = [crystals[params.crystal_id]]
    chosen = [i for i, e in enumerate(everything) if any(e.crystal is c for c in wanted)]
    experiments = Experiments([everything[i] for i in chosen])
    for crystal in wanted:
        experiments = experiments.with_model(crystal, crystal.with_A(crystal.A))
    if len({e.is_still for e in experiments}) > 1:
        raise UserError(
            "refine_bravais_settings: stills and rotation images cannot be refined together; give them apart"
        )
    table = ReflectionTable.concatenate(inputs.reflections).without("shoebox")
    number = np.full(max(len(everything), int(table["id"].max(initial=-1)) + 1) + 1, -1, dtype=np.int32)
    number[chosen] = np.arange(len(chosen), dtype=np.int32)
    ids = number[table["id"]]  # of -1 too: the last element
    table = table.view()
    table["id"] = ids
    table.identifiers = dict(experiments.identifiers)
    table = table.select((ids >= 0) & (table["miller_index"] != 0).any(axis=1))
    if len(table) < FEWEST:
        raise UserError(
            f"refine_bravais_settings: {len(table)} indexed reflections are too few; index more images, or check the "
            "result of spindle index"
        )
    return experiments, table


def _groups_table(settings: list[BravaisSetting]) -> Table:
    """Chiral space groups of each lattice that occurs."""
    rows = []
    for lattice in dict.fromkeys(s.bravais for s in settings):
        numbers = [n for n in range(1, 231) if space_group(n).is_sohncke() and bravais_type(n) == lattice]
        rows.append([lattice, " ".join(_short(space_group(n)) for n in numbers)])
    return Table("Chiral space groups of the lattices", ["Lattice", "Space groups"], rows, "bravais_groups")


def _short(group: gemmi.SpaceGroup) -> str:
    """Symbol without blanks and ones: P21, R3:H."""
    name = str(group.short_name())
    return f"R{name[1:]}:H" if name.startswith("H") else name


def _solutions(
    experiments: Experiments,
    table: ReflectionTable,
    settings: list[BravaisSetting],
    refined: list[Refined],
    params: Any,
) -> list[Solution]:
    """All solutions, judged, the highest number first."""
    triclinic = refined[0].rmsd_mm
    if not np.isfinite(triclinic):
        triclinic = float(np.nanmin([r.rmsd_mm for r in refined])) if any(not r.failure for r in refined) else triclinic
    correlate = _Correlations(experiments, table, params.cc_n_bins)
    found = []
    for setting, one in zip(settings, refined, strict=True):
        solution = Solution(setting, one, *correlate(setting))
        plausible = is_plausible(setting.max_angular_difference, solution.extreme_cc()[0], one.rmsd_mm, triclinic)
        found.append(replace(solution, recommended=plausible))
    return found[::-1]


class _Correlations:
    """Correlations of I / sigma under the rotations of a setting's group, within each crystal."""

    def __init__(self, experiments: Experiments, table: ReflectionTable, n_shells: int | None) -> None:
        self.parts: list[tuple[np.ndarray, np.ndarray, Crystal]] = []
        self.n_shells = n_shells
        if "intensity.sum.value" not in table or "intensity.sum.variance" not in table:
            return
        rows, value, sigma = values_of_spots(table)
        crystals = experiments.unique("crystal")
        place = {id(c): k for k, c in enumerate(crystals)}
        owner = np.array([place[id(e.crystal)] for e in experiments])[table["id"][rows]]
        for k, crystal in enumerate(crystals):
            mine = owner == k
            self.parts.append((table["miller_index"][rows][mine], (value / sigma)[mine], crystal))

    def __call__(self, setting: BravaisSetting) -> tuple[list[float], list[int]]:
        """Correlation and number of pairs of each rotation, the identity first."""
        means, d_star = [], []
        for hkl, value, crystal in self.parts:
            new, whole = setting.operator.apply_to_indices(hkl)
            mean = MeanValues.of(new[whole], value[whole], friedel=True)
            means.append(mean)
            d_star.append(np.linalg.norm(mean.hkl @ setting.operator.matrix.T @ crystal.A.T, axis=1))
        shells = None if self.n_shells is None else resolution_shells(d_star, self.n_shells)
        found = [operator_correlation(means, r, shells) for r in rotations(setting.group)]
        return [float(cc) for cc, _ in found], [int(n) for _, n in found]


def solutions_table(solutions: list[Solution]) -> Table:
    """One row for each solution."""
    headers = ["Solution", "Metric fit\n(deg)", "rmsd\n(mm)", "min/max cc", "#spots", "lattice", "unit_cell", "volume",
               "cb_op"]  # fmt: skip
    rows = []
    for s in solutions:
        low, high = s.extreme_cc()
        cell = s.cell
        rows.append([
            f"{'*' if s.recommended else ' '} {s.setting.number:4d}",
            f"{s.setting.max_angular_difference:.4f}",
            None if s.refined.failure else f"{s.refined.rmsd_mm:.3f}",
            "-/-" if low is None or high is None else f"{low:.3f}/{high:.3f}",
            s.refined.n_reflections,
            s.setting.bravais,
            " ".join(f"{v:6.2f}" for v in cell),
            f"{s.refined.experiments[0].known_crystal.volume:.0f}",
            s.setting.operator.as_abc(),
        ])  # fmt: skip
    return Table("Settings", headers, rows, "bravais_settings")


def _result(solutions: list[Solution], params: Any, context: Any) -> ProgramResult:
    """Files, key numbers and what to do next."""
    folder, prefix = Path(params.output.directory or "."), params.output.prefix or ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(
            f"output.directory={folder}: the folder cannot be made: {error.strerror}; give another"
        ) from error
    text = json_text({str(s.setting.number): s.to_dict() for s in solutions})
    files: dict[str, Callable[[Path], None]] = {str(folder / f"{prefix}bravais_summary.json"): _Text(text)}
    names = {}
    for s in solutions:
        names[s.setting.number] = str(folder / f"{prefix}bravais_setting_{s.setting.number}.expt")
        files[names[s.setting.number]] = _Models(s.refined.experiments)
    best = next((s for s in solutions if s.recommended), None)
    summary: dict[str, Any] = {
        "n_solutions": len(solutions),
        "recommended": [s.setting.number for s in solutions if s.recommended],
    }
    if best is None:
        summary["problem"] = "no setting could be refined"
        context.log.warning(
            "No setting is recommended: none could be refined. The spots may be too few, or wrongly indexed; see the "
            "messages above"
        )
        return ProgramResult(summary=summary, files=files, next_step="spindle show <experiments> <reflections>")
    summary.update(
        best=best.setting.number, lattice=best.setting.bravais, unit_cell=[round(float(v), 4) for v in best.cell],
        change_of_basis_op=best.setting.operator.as_abc(), rmsd_mm=best.refined.rmsd_mm,
    )  # fmt: skip
    operator = best.setting.operator
    context.log.info(
        "The highest symmetry recommended is solution %d: %s, cell %s. %s", best.setting.number, best.setting.bravais,
        " ".join(f"{v:.3f}" for v in best.cell),
        "Its basis is that of the reflections" if operator.is_identity() else "Reflections come into its basis with "
        f"spindle reindex change_of_basis_op={operator.as_abc()}; spindle refine does so by itself",
    )  # fmt: skip
    return ProgramResult(
        summary=summary, files=files, next_step=f"spindle refine {names[best.setting.number]} <reflections>"
    )


class _Text:
    """Writes a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, path: Path) -> None:
        path.write_text(self.text, encoding="utf-8")


class _Models:
    """Writes experiments."""

    def __init__(self, experiments: Experiments) -> None:
        self.experiments = experiments

    def __call__(self, path: Path) -> None:
        write_experiments(self.experiments, path)
