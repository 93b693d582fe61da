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

from .evidence import CHANCE, MOST_SHARED, Evidence, share
from .indexed import Indexed
from .judgement import fault
from .refusals import Refusal
from .report_text import indexed_table, lattice_counts, models_text
from .several import matrix_of
from .spot_frames import spot_frames
from .stills_indexer import make_indexer

#: Parts of the estimated longest edge that are tried: superposed lattices and noise make the estimate too long, neighbouring spots that
#: are weak or touch each other too short.
SHORTER, LONGER = (0.6, 0.35), (2.5, 6.0)
#: Edges beyond are not tried, angstrom.
LONGEST = 2000.0
#: Where the longer edge leads to another lattice, it must say this many times more about the spots.
MORE = 1.05


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


def strategies(params: Any, max_cell: float | None, is_still: bool, n_stills: int = 1) -> list[Strategy]:
    """What to try after the parameters as they are; what the user gave stays as it is.

    Parameters
    ----------
    params : Params
        The whole tree of the program.
    max_cell : float or None, angstrom
        The estimate of the first attempt.
    is_still : bool
        Whether there is one still, for which whole crystals may be searched.
    n_stills : int
        That are indexed in the same run: of many, each is tried in fewer ways.
    """
    if not params.diagnosis.try_other_methods:
        return []
    indexing = params.indexing
    known, free = indexing.known_symmetry, indexing.method is Auto
    lengths, methods = [], []
    if indexing.max_cell in (Auto, None) and max_cell is not None and known.unit_cell is None and n_stills == 1:
        lengths = [part * max_cell for part in SHORTER if part * max_cell > 2 * (indexing.min_cell or 0.0)]
        lengths += sorted({min(part * max_cell, LONGEST) for part in LONGER if max_cell < LONGEST})
    if free and known.unit_cell is not None:
        methods.append("real_space_grid_search")
    if free:
        methods.append("fft1d")
    if free and is_still and known.unit_cell is not None and known.space_group is not None:
        methods.append("low_res_spot_match")
    found = [
        *(_of_length(length) for length in lengths),
        *(Strategy(f"indexing.method={name}", {"indexing__method": name}) for name in methods),
    ]
    if is_still and n_stills == 1 and known.unit_cell is not None and indexing.stills.indexer != "sequences":
        # Where several crystals lie apart in the beam predictions miss the spots by more than the model of a still allows.
        method = "real_space_grid_search" if free else indexing.method
        words = f"indexing.method={method} stills.indexer=sequences, without a model of mosaicity"
        found.append(Strategy(words, {"indexing__method": method, "indexing__stills__indexer": "sequences"}))
    return found


def _of_length(max_cell: float) -> Strategy:
    return Strategy(f"max_cell={max_cell:.0f}", {"indexing__max_cell": float(round(max_cell))})


def climb(
    sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any, crystals: list[Crystal], n_stills: int = 1
) -> Climb:
    """Index as the parameters say, and by other strategies until one convinces."""
    result = Climb()
    max_cell = _attempt(result, Strategy("as the parameters say", {}), sweeps, spots, params, context, crystals)
    if crystals:
        return result
    if result.part is not None and not result.doubt:
        if max_cell is not None and n_stills == 1:
            _look_longer(result, max_cell, sweeps, spots, params, context)
        return result
    still = len(sweeps) == 1 and sweeps[0].is_still
    for strategy in strategies(params, max_cell, still, n_stills):
        context.log.info("No lattice convinces: trying %s", strategy.words)
        n_tables = len(context.tables)
        with quiet():
            _attempt(result, strategy, sweeps, spots, params, context, crystals)
        if result.part is not None and not result.doubt:
            _tell(result.part, strategy, "gives a lattice that convinces", context)
            break
        del context.tables[n_tables:]
    return result


def _tell(part: Indexed, strategy: Strategy, text: str, context: Any) -> None:
    """The log and table of the part that another strategy gave."""
    n = part.n_sweeps
    crystals = [e.known_crystal for e in list(part.experiments)[::n]]
    counts = lattice_counts(part.reflections, part.n_lattices, n)
    context.log.info("%s %s", strategy.words, text)
    context.log.info("%s", models_text("Refined crystal models:", crystals, counts))
    context.table(indexed_table(part.reflections, n))


def _look_longer(
    result: Climb, max_cell: float, sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any
) -> None:
    """Where few spots are indexed, see whether the longest edge is too short: then other rows of spots have been taken for those of a cell."""
    longer = [s for s in strategies(params, max_cell, False) if s.changes.get("indexing__max_cell", 0.0) > max_cell]
    for strategy, few in zip(longer, (params.diagnosis.look_below, params.diagnosis.warn_below), strict=False):
        part = result.part
        if part is None or part.n_indexed >= few * len(part.reflections):
            break
        other = Climb()
        context.log.info(
            "%.0f %% of the spots are indexed: trying %s", 100 * part.n_indexed / len(part.reflections), strategy.words
        )
        n_tables = len(context.tables)
        with quiet():
            _attempt(other, strategy, sweeps, spots, params, context, [])
        del context.tables[n_tables:]
        found = other.part
        if found is None or other.doubt or not _gain(found) > MORE * _gain(part) + CHANCE:
            result.tried += [(words, "no better lattice") for words, _ in other.tried]
            continue
        result.part, result.params = found, other.params
        result.tried += other.tried
        _tell(found, strategy, "gives a lattice that says more about the spots", context)


def _attempt(
    result: Climb, strategy: Strategy, sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any,
    crystals: list[Crystal],
) -> float | None:  # fmt: skip
    """One attempt; keeps the better result and returns the longest edge that was expected."""
    indexer = None
    try:
        own = params.changed(**strategy.changes) if strategy.changes else params
        indexer = make_indexer(sweeps, spots, own, context, crystals)
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
    return fault(_first_lattice(part), [])


def _first_lattice(part: Indexed) -> Evidence:
    experiments = Experiments(list(part.experiments)[: part.n_sweeps])
    crystal = experiments[0].known_crystal
    rows = np.sort(np.random.default_rng(42).permutation(len(part.reflections))[:MOST_SHARED])
    return share(spot_frames(experiments, part.reflections.select(rows)), [matrix_of(crystal)]).lattices[0]


def _gain(part: Indexed) -> float:
    """What speaks for all lattices of a result together."""
    experiments = Experiments(list(part.experiments)[: part.n_sweeps])
    crystals = [e.known_crystal for e in list(part.experiments)[:: part.n_sweeps]]
    rows = np.sort(np.random.default_rng(42).permutation(len(part.reflections))[:MOST_SHARED])
    shares = share(spot_frames(experiments, part.reflections.select(rows)), [matrix_of(c) for c in crystals])
    return sum(lattice.gain for lattice in shares.lattices)


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
