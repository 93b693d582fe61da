"""The program `spindle compare`."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.files import read_experiments, read_reflections
from spindle.params import Bool, Choice, Int, PathParam, Str, Strings, build
from spindle.params import Params as ParamsBase
from spindle.report import Table, json_text
from spindle_lib_pages import text_writer

from .against_truth import AgainstTruth, compare_with_truth, truth_beside
from .chain import NAMES, Given, first_step, run_entrants, touched_steps
from .choices import Declared, Entrant, product, read_runs
from .contestant import Contestant
from .finished import is_result_of_others, read_finished
from .measures import key_numbers
from .merged import merged_level_needed
from .outside import DIALS, Runner, declared_runner, run_outside
from .page import TITLES, comparison_page
from .ranking import Ranking, rank
from .tables import contestant_table, cost_table, failure_table, merging_table, pair_table, truth_table
from .versus import Level, common_statistics, compare_level, twins

__all__ = ["Compare"]


class Compare(Program):
    """Compare algorithms, settings, other programs and finished results on the same images.

    Give images (or the .expt and .refl files of any step) and settings with several values: every combination is a contestant.
    Steps that contestants share are done once; one that fails is a row with its reason. Settings are those of `spindle process`.

        spindle compare images/*.cbf background.algorithm=glm,simple,radial profile.fitting=True,False
        spindle compare images/*.cbf background.algorithm=glm,simple runners=dials
        spindle compare images/*.cbf find_spots.spotfinder.threshold.algorithm=dispersion,dispersion_extended stop_after=index
        spindle compare refined.expt refined.refl background.algorithm=glm,simple
        spindle compare scaled.refl other/scaled.refl XDS_ASCII.HKL
        spindle compare images/*.cbf runs=runs.toml

    Files .refl (with the .expt file of the same name beside them), XDS_ASCII.HKL, INTEGRATE.HKL and unmerged .mtz files are finished
    results when no settings are given; with settings, the first .expt and .refl are what the contestants begin with, and finished
    results are given with `results=`. Where the images are simulated, all are compared with the truth, too.
    """

    settings_to = "vary"

    class Params(ParamsBase):
        vary = Str(
            multiple=True,
            help="A setting of all contestants, NAME=VALUE, or several, NAME=VALUE,VALUE; on the command line NAME=VALUE alone. A name given "
            "several times has all those values.",
        )
        runs = PathParam(
            None,
            none=True,
            help="File of runs (TOML): tables [runs.NAME] with settings, [shared] with those of all, [runners.NAME] with commands of other "
            "programs, [results.NAME] with finished results.",
        )
        results = Str(
            multiple=True,
            help="A finished result, [NAME=]FILE or [NAME=]FILE.refl,FILE.expt; may be given several times.",
        )
        runners = Strings(
            (), help="Other programs that process the same input: dials, or names of [runners] in the file of runs."
        )
        stop_after = Choice(NAMES[2:], default="scale", help="Last step of the contestants.")
        truth = PathParam(
            None,
            none=True,
            help="Folder with the truth of simulated images; by default it is looked for beside the images.",
        )
        use_truth = Bool(True, help="Compare with the truth, where there is one.")
        n_shells = Int(10, min=1, max=100, help="Number of resolution shells, and of classes of intensity.")
        n_bins = Int(20, min=2, max=1000, help="Number of bins that differences are shown in.", level=1)
        n_bootstrap = Int(1000, min=0, max=100_000, help="Drawings for the 95 % intervals; 0 leaves them out.", level=1)
        max_contestants = Int(50, min=1, max=10_000, help="More combinations than that are refused.", level=1)

        class output(ParamsBase):
            """What is written."""

            html = PathParam("compare.html", none=True, output=True, help="Page with all tables and plots.")
            json = PathParam("compare.json", none=True, output=True, help="The same for other programs.")
            log = PathParam("spindle.compare.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """See `spindle.contracts.program.ProgramSpec`."""
        declared = None if params.runs is None else read_runs(params.runs)
        toml = [f for f in inputs.files if f.suffix == ".toml"]
        if toml:
            if declared is not None or len(toml) > 1:
                raise UserError(f"compare: {toml[-1]} is a second file of runs; give one")
            declared = read_runs(toml[0])
        base = build(context.host.load("program", "process").Params, (), context.host.load)
        entrants = product(base, params.vary, declared, params.max_contestants)
        runners = _runners(params.runners, declared)
        given, results = _sort(
            inputs, params, bool(entrants or runners), [e.tree for e in entrants if e.tree is not None]
        )
        stop = NAMES.index(params.stop_after)
        if not entrants and given is not None and not runners:
            raise UserError(
                "compare: images, and nothing to choose: give a setting with several values (background.algorithm=glm,simple), another "
                "program (runners=dials) or a file of runs"
            )
        contestants: list[Contestant] = []
        if given is None and (entrants or runners):
            raise UserError(
                "compare: settings, and nothing to process: give images, or the .expt and .refl files of a step"
            )
        if given is not None:
            if not entrants:  # the usual settings against other programs
                entrants = [Entrant("spindle", {}, base)]
            _check_differ(entrants, given, stop, bool(runners or results), params)
            contestants = run_entrants(entrants, given, stop, context)
            for runner in runners:
                with tempfile.TemporaryDirectory(prefix="spindle-compare-") as folder:
                    contestants.append(run_outside(runner, given, stop, Path(folder), context))
        contestants += read_finished(results, declared.results if declared is not None else {}, context)
        _name_apart(contestants)
        if len(contestants) < 2:
            what = f"only {contestants[0].name}" if contestants else "nothing"
            raise UserError(
                f"compare: {what} to compare; give a setting with two values or more, another program (runners=dials) or a second result"
            )
        if all(c.last is None for c in contestants):
            reasons = "\n".join(f"  {c.name}: {c.reason}" for c in contestants)
            raise UserError(f"compare: none of the {len(contestants)} contestants has a result:\n{reasons}")
        return _report(contestants, _truth_folder(params, inputs, given, contestants), params, context)


def _runners(names: Sequence[str], declared: Declared | None) -> list[Runner]:
    own = {} if declared is None else {n: declared_runner(n, t) for n, t in declared.runners.items()}
    for name in names:
        if name not in own and name != DIALS.name:
            known = ", ".join([DIALS.name, *own])
            raise UserError(
                f"compare: runners={name}: there is no such runner; known are {known}. A file of runs declares others"
            )
    found = dict(own)
    if DIALS.name in names and DIALS.name not in own:
        found[DIALS.name] = DIALS
    return list(found.values())


def _sort(inputs: ProgramInputs, params: Any, processes: bool, trees: list[Any]) -> tuple[Given | None, list[str]]:
    """What contestants begin with, and finished results."""
    results = list(params.results)
    files = [f for f in inputs.files if f.suffix != ".toml"]
    models = [f for f in files if f.suffix == ".expt"]
    tables = [f for f in files if f.suffix == ".refl"]
    others = [f for f in files if is_result_of_others(f)]
    images = [f for f in files if f not in models and f not in tables and f not in others]
    results += [str(f) for f in others]
    experiments, reflections = inputs.experiments, inputs.reflections[0] if inputs.reflections else None
    if not processes:
        if images:
            return Given(images), results
        for table in tables:
            same = [m for m in models if m.with_suffix("") == table.with_suffix("")]
            if not same and len(models) == len(tables):
                same = [models[tables.index(table)]]
            results.append(f"{table},{same[0]}" if same else str(table))
        if experiments is not None:
            return Given([], experiments, reflections, first_step(experiments, reflections, trees)), results
        return None, results
    if models:
        if len(models) > 1 or len(tables) > 1:
            raise UserError(
                f"compare: with settings, one .expt and one .refl file are what all contestants begin with, and {len(models)} and "
                f"{len(tables)} were given; give finished results with results={tables[-1] if tables else 'FILE.refl'}"
            )
        experiments = read_experiments(models[0])
        reflections = read_reflections(tables[0]) if tables else None
    elif tables:
        raise UserError(f"compare: {tables[0]} needs the experiments that it belongs to; give the .expt file too")
    if experiments is not None and images:
        raise UserError(f"compare: {images[0]} and experiments were given; give either images or experiments")
    if experiments is None and not images:
        return None, results
    return Given(images, experiments, reflections, first_step(experiments, reflections, trees)), results


def _check_differ(entrants: list[Entrant], given: Given, stop: int, has_others: bool, params: Any) -> None:
    """Raise where contestants would all be the same."""
    trees = [e.tree for e in entrants if e.tree is not None]
    if not trees:
        reasons = "\n".join(f"  {e.name}: {e.reason}" for e in entrants)
        raise UserError(f"compare: none of the contestants can run:\n{reasons}")
    if stop < given.start:
        raise UserError(
            f"compare: stop_after={params.stop_after} comes before {NAMES[given.start]}, with which the given files begin"
        )
    if len(entrants) == 1:
        if not has_others:
            raise UserError(
                f"compare: {' '.join(params.vary) or 'the settings'}: one value of each makes one contestant; give a second value "
                "(NAME=VALUE,VALUE), another program (runners=dials) or a finished result (results=FILE.refl)"
            )
        return
    touched = touched_steps(trees)
    if len(trees) > 1 and (not touched or touched[0] > stop):
        where = NAMES[touched[0]] if touched else "no step"
        raise UserError(
            f"compare: the contestants differ in {where} only, which is not done with stop_after={params.stop_after}; they would all be the same"
        )


def _name_apart(contestants: list[Contestant]) -> None:
    """Give contestants of the same name numbers."""
    several = {name for name, n in Counter(c.name for c in contestants).items() if n > 1}
    seen: Counter[str] = Counter()
    for contestant in contestants:
        if contestant.name in several:
            seen[contestant.name] += 1
            contestant.name = f"{contestant.name} ({seen[contestant.name]})"


def _truth_folder(
    params: Any, inputs: ProgramInputs, given: Given | None, contestants: list[Contestant]
) -> Path | None:
    if not params.use_truth:
        return None
    if params.truth is not None:
        return Path(params.truth)
    places = list(given.files) if given is not None else []
    for contestant in contestants:
        for experiment in contestant.last.experiments if contestant.last is not None else ():
            images = experiment.imageset
            if images is not None and (images.template or images.paths):
                places.append(Path(images.template or images.paths[0]))
    return truth_beside(places)


def _report(contestants: list[Contestant], folder: Path | None, params: Any, context: Any) -> ProgramResult:
    numbers = {c.name: key_numbers(c, params.n_shells) for c in contestants}
    names = ("counts", "scaled", "merged") if merged_level_needed(contestants) else ("counts", "scaled")
    levels = [
        compare_level(contestants, level, params.n_bins, params.n_shells, params.n_bootstrap, context.seed)
        for level in names
    ]
    common = common_statistics(levels[1], contestants, params.n_shells)
    truth = None
    if folder is not None:
        truth = compare_with_truth(contestants, folder, params.n_shells, params.n_bootstrap, context.seed)
    groups = {o.group.point_group_hm() for o in levels[1].found.values()}
    ranking = rank(contestants, numbers, truth, common, len(groups) < 2)
    tables = _tables(contestants, numbers, ranking, levels, common, truth)
    for table in tables.values():
        context.table(table)
    notes = [f"{TITLES[level.name]}: {note}" for level in levels for note in dict.fromkeys(level.notes)]
    notes += [f"{c.name}: {note}" for c in contestants for note in c.notes] + (truth.notes if truth is not None else [])
    notes += [
        f"{', '.join(group[:-1])} and {group[-1]} have the same results to the last digit: what they differ in changes nothing here"
        for group in twins(levels)
    ]
    for note in notes:
        context.log.info("Note: %s", note)
    verdict = _verdict(contestants, ranking, truth)
    for sentence, _ in verdict:
        context.log.info("%s", sentence)
    title = f"{len(contestants)} contestants" + (
        f", {sum(bool(c.reason) for c in contestants)} failed" if any(c.reason for c in contestants) else ""
    )
    data = {
        "contestants": [
            {
                "name": c.name, "kind": c.kind, "settings": c.settings, "reason": c.reason, "failed_at": c.failed_at, **numbers[c.name],
                "steps": [
                    {"step": s.name, "seconds": s.seconds, "cpu_seconds": s.cpu_seconds, "peak_memory_mb": s.peak_memory_mb, "shared_by": s.shared_by}
                    for s in c.costs
                ],
                "notes": c.notes,
            }
            for c in contestants
        ],
        "ranking": {
            "order": ranking.order, "score": ranking.score, "by": ranking.by, "rests_on": ranking.rests_on,
            "places": ranking.places, "without_truth": list(ranking.blind),
        },
        "pairs": {level.name: [d.as_dict() for d in level.duels] for level in levels},
        "common": {name: s.as_dict() for name, s in common.items()},
        "truth": None if truth is None else _truth_data(truth),
        "notes": notes,
    }  # fmt: skip
    text = json_text(data, 1)
    files: dict[str, Any] = {}
    if params.output.html is not None:
        make = partial(comparison_page, title, verdict, contestants, ranking, levels, common, truth, tables, notes)
        files[str(params.output.html)] = _page_writer(make)
    if params.output.json is not None:
        files[str(params.output.json)] = text_writer(text)
    next_step = f"look at {params.output.html}" if params.output.html is not None else ""
    next_step += _again(contestants, ranking)
    return ProgramResult(tables=list(tables.values()), summary=json.loads(text), files=files, next_step=next_step)


def _again(contestants: list[Contestant], ranking: Ranking) -> str:
    """How to process once more as the best did; of several that are not told apart, as the first of them that is ours."""
    ours = (c for name in ranking.best for c in contestants if c.name == name and c.kind == "spindle")
    one = next(ours, None)
    words = " ".join(f"{k}={v}" for k, v in one.settings.items() if k != "run") if one is not None else ""
    if one is None or not words:
        return ""
    others = [name for name in ranking.best if name != one.name]
    which = f"{one.name}, not told from {', '.join(others)} by these data," if others else "the best"
    return f"; {which} again, with its files: spindle process <images> {words}"


def _page_writer(make: Any) -> Any:
    return lambda path: text_writer(make())(path)


def _tables(
    contestants: list[Contestant], numbers: dict[str, Any], ranking: Ranking, levels: list[Level], common: dict[str, Any],
    truth: AgainstTruth | None,
) -> dict[str, Table]:  # fmt: skip
    n_common = len(next(iter(levels[1].common.values()), ()))
    found = [
        contestant_table(contestants, numbers, ranking),
        failure_table(contestants),
        truth_table(truth, ranking) if truth is not None and truth.rows else None,
        merging_table(common, n_common),
        *(pair_table(level) for level in levels),
        cost_table(contestants),
    ]
    return {t.key: t for t in found if t is not None}


def _verdict(contestants: list[Contestant], ranking: Ranking, truth: AgainstTruth | None) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if ranking.order:
        best = ranking.order[0]
        others = [n for n in ranking.best if n != best]
        said = f"Best: {best}, {ranking.by} {ranking.score[best]:.4g}"
        if others:
            said += f"; not told from it by these data: {', '.join(others)}"
        found.append((said + ".", "good"))
    found.append((f"The ranking rests on {ranking.rests_on}.", "" if ranking.order else "doubtful"))
    if len(ranking.blind) > 1 and truth is not None:
        best = ranking.order[0]
        same = ranking.blind[0] in ranking.best
        met = "the same" if ranking.blind[0] == best else f"not told from {best} either" if same else "another"
        found.append((
            f"Without the truth, by CC1/2 of the observations that all have, {ranking.blind[0]} would have been the best: "
            f"{met}.", "" if same else "doubtful",
        ))  # fmt: skip
    failed = [c.name for c in contestants if c.reason]
    if failed:
        found.append((f"Failed: {', '.join(failed)}; the reasons are in the table.", "bad"))
    return found


def _truth_data(truth: AgainstTruth) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "n_common": truth.n_common,
        "notes": truth.notes,
        "contestants": {n: asdict(r) for n, r in truth.rows.items()},
    }
