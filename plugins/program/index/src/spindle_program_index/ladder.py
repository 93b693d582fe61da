"""Other ways to index, one after the other, when the usual one finds nothing that convinces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.contracts.refiner import RefinementError
from spindle.errors import ParameterError, PluginError, UserError
from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_refinement.short_refinement import quiet

from .evidence import MOST_SHARED, share
from .indexed import Indexed
from .indexer import Indexer
from .judgement import fault
from .refusals import Refusal
from .report_text import indexed_table, lattice_counts, models_text
from .several import matrix_of
from .spot_frames import spot_frames

#: Parts of the estimated longest edge that are tried: superposed lattices and noise make the estimate too long.
SHORTER = (0.6, 0.35)


@dataclass(frozen=True)
class Strategy:
    """A way to index: what is different from the parameters, in words and values."""

    words: str
    changes: dict[str, Any]


@dataclass(slots=True)
class Climb:
    """What the attempts gave.

    Attributes
    ----------
    part : Indexed or None
        That of the first attempt that convinces, else the best doubtful one.
    doubt : str
        Why it does not convince; "" when it does.
    params : Params
        With which it was made.
    error : UserError or None
        Of the first attempt.
    tried : list of (str, str)
        What was tried, and what came of it.
    refusals : list of Refusal
        Candidates of the first attempt.
    """

    part: Indexed | None = None
    doubt: str = ""
    params: Any = None
    error: UserError | None = None
    tried: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def text(self) -> str:
        """What was tried, a line each; "" when the first attempt was the only one."""
        if len(self.tried) < 2:
            return ""
        return "\n".join(["Tried:", *(f"  - {words}: {outcome}" for words, outcome in self.tried)])


def strategies(params: Any, max_cell: float | None, can_use_crystals: bool) -> list[Strategy]:
    """What to try after the parameters as they are; nothing when the user chose the method or the longest edge.

    Parameters
    ----------
    params : Params
        The whole tree of the program.
    max_cell : float or None, angstrom
        The estimate of the first attempt.
    can_use_crystals : bool
        Whether there is one still, for which whole crystals may be searched.
    """
    indexing = params.indexing
    chosen = indexing.method != "fft3d" or indexing.max_cell not in (Auto, None)
    if chosen or not params.diagnosis.try_other_methods:
        return []
    found = []
    known = indexing.known_symmetry
    if known.unit_cell is not None:
        found.append(Strategy("indexing.method=real_space_grid_search", {"indexing__method": "real_space_grid_search"}))
    if max_cell is not None and known.unit_cell is None:
        found += [
            Strategy(f"max_cell={part * max_cell:.0f}", {"indexing__max_cell": float(round(part * max_cell))})
            for part in SHORTER
            if part * max_cell > 2 * (indexing.min_cell or 0.0)
        ]
    found.append(Strategy("indexing.method=fft1d", {"indexing__method": "fft1d"}))
    if can_use_crystals and known.unit_cell is not None and known.space_group is not None:
        found.append(Strategy("indexing.method=low_res_spot_match", {"indexing__method": "low_res_spot_match"}))
    return found


def climb(sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any, crystals: list[Crystal]) -> Climb:
    """Index as the parameters say, and by other strategies until one convinces."""
    result = Climb()
    max_cell = _attempt(result, Strategy("as the parameters say", {}), sweeps, spots, params, context, crystals)
    if crystals or (result.part is not None and not result.doubt):
        return result
    still = len(sweeps) == 1 and sweeps[0].is_still
    for strategy in strategies(params, max_cell, still):
        context.log.info("No lattice convinces: trying %s", strategy.words)
        n_tables = len(context.tables)
        with quiet():
            _attempt(result, strategy, sweeps, spots, params, context, crystals)
        if result.part is not None and not result.doubt:
            part, n = result.part, result.part.n_sweeps
            crystals_found = [e.known_crystal for e in list(part.experiments)[::n]]
            counts = lattice_counts(part.reflections, part.n_lattices, n)
            context.log.info("%s gives a lattice that convinces", strategy.words)
            context.log.info("%s", models_text("Refined crystal models:", crystals_found, counts))
            context.table(indexed_table(part.reflections, n))
            break
        del context.tables[n_tables:]
    return result


def _attempt(
    result: Climb, strategy: Strategy, sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any,
    crystals: list[Crystal],
) -> float | None:  # fmt: skip
    """One attempt; keeps the better result and returns the longest edge that was expected."""
    indexer = None
    try:
        own = params.changed(**strategy.changes) if strategy.changes else params
        indexer = Indexer(sweeps, spots, own, context, crystals)
        part = indexer.run()
    except (ParameterError, PluginError) as error:
        if not strategy.changes:
            raise
        context.log.debug("%s: %s", strategy.words, error)
        result.tried.append((strategy.words, "not installed"))
        return None
    except (IndexingError, RefinementError) as error:
        result.error = result.error or error
        result.tried.append((strategy.words, str(error).splitlines()[0].removeprefix("index: ").split(". ")[0]))
        if indexer is not None and not strategy.changes:
            result.refusals = indexer.refusals
        return None if indexer is None else getattr(indexer, "max_cell", None)
    why = "" if crystals else doubt(part)
    result.tried.append((strategy.words, why or f"{part.n_indexed} spots indexed"))
    if result.part is None or not why:
        result.part, result.doubt, result.params = part, why, own
    if not strategy.changes:
        result.refusals = indexer.refusals
    return part.max_cell


def doubt(part: Indexed) -> str:
    """Why the first lattice of a result does not convince; "" when it does."""
    experiments = Experiments(list(part.experiments)[: part.n_sweeps])
    crystal = experiments[0].known_crystal
    rows = np.sort(np.random.default_rng(42).permutation(len(part.reflections))[:MOST_SHARED])
    lattice = share(spot_frames(experiments, part.reflections.select(rows)), [matrix_of(crystal)]).lattices[0]
    return fault(lattice, [])


def refusal_table(refusals: list[Refusal]) -> Table:
    """Candidates with a verdict each."""
    rows = [
        [
            " ".join([f"{v:.1f}" for v in r.cell]), r.n_indexed, "--" if r.rmsd_px is None else f"{r.rmsd_px:.2f}", r.verdict,
        ]
        for r in refusals
    ]  # fmt: skip
    return Table(
        "Candidates that were refused:",
        ["Cell (A, deg)", "Spots\nindexed", "rmsd\n(px)", "Verdict"],
        rows,
        "refused_candidates",
    )
