"""Faults of executors, exporters, programs and observers."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from spindle.contracts import ProgramResult, hookimpl
from spindle.errors import Cancelled
from spindle.execution import run_item
from spindle.table import Flag

from ..test_executor import TestSerial as Executor
from ..test_exporter import TestXdsAscii as Exporter
from ..test_observer import TestJsonLines as Observer
from ..test_program import TestShow as Show
from . import changed, fault


def executor(kind, title, *checks, missed=""):
    """An executor of its own, from a function."""

    def register(map_ordered):
        def make(good):
            return type("Faulty", (good,), {"map_ordered": hookimpl(map_ordered), "__doc__": "Faulty."})

        fault(Executor, kind, f"executor: {title}", *checks, missed=missed)(make)
        return map_ordered

    return register


@executor("order", "results in the order in which they end", "test_results_come_in_the_order_of_the_items")
def _(self, function, items, n_workers, cancelled):
    return iter([run_item(function, i, item) for i, item in enumerate(items)][::-1])


@executor("silent", "errors become None", "test_an_error_is_raised_in_the_place_of_its_result_and_names_the_item")
def _(self, function, items, n_workers, cancelled):
    for item in items:
        try:
            yield function(item)
        except Exception:
            yield None


@executor("limits", "all items taken at once", "test_items_are_taken_as_results_are")
def _(self, function, items, n_workers, cancelled):
    for i, item in enumerate(list(items)):
        if cancelled():
            raise Cancelled("cancelled")
        yield run_item(function, i, item)


@executor("silent", "goes on after cancellation", "test_nothing_new_is_begun_after_the_run_was_cancelled")
def _(self, function, items, n_workers, cancelled):
    for i, item in enumerate(items):
        yield run_item(function, i, item)


@executor("silent", "ends without a word when cancelled", "test_a_run_that_was_cancelled_before_does_nothing")
def _(self, function, items, n_workers, cancelled):
    for i, item in enumerate(items):
        if cancelled():
            return
        yield run_item(function, i, item)


@executor("silent", "does not name the item", "test_an_error_is_raised_in_the_place_of_its_result_and_names_the_item")
def _(self, function, items, n_workers, cancelled):
    for item in items:
        if cancelled():
            raise Cancelled("cancelled")
        yield function(item)


@executor("corner", "drops what is nothing", "test_each_item_has_one_result_also_none", "test_results_may_be_anything")
def _(self, function, items, n_workers, cancelled):
    for i, item in enumerate(items):
        if cancelled():
            raise Cancelled("cancelled")
        result = run_item(function, i, item)
        if result is not None:
            yield result


@executor("state", "remembers results of items", "test_each_map_is_a_new_one")
def _(self, function, items, n_workers, cancelled):
    known = self.__dict__.setdefault("known", {})
    for i, item in enumerate(items):
        if cancelled():
            raise Cancelled("cancelled")
        if i not in known:
            known[i] = run_item(function, i, item)
        yield known[i]


@executor("limits", "more workers than asked for", "test_no_more_items_are_worked_on_than_there_are_workers")
def _(self, function, items, n_workers, cancelled):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        waiting = []
        for i, item in enumerate(items):
            if cancelled():
                raise Cancelled("cancelled")
            waiting.append(pool.submit(run_item, function, i, item))
            if len(waiting) > 8:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


@executor("silent", "an error ends the loop", "test_an_error_is_raised_in_the_place_of_its_result_and_names_the_item")
def _(self, function, items, n_workers, cancelled):
    try:
        for i, item in enumerate(items):
            if cancelled():
                raise Cancelled("cancelled")
            yield run_item(function, i, item)
    except ValueError:
        return


# ---- exporters


def exporter(kind, title, *checks, missed=""):
    """A fault of export."""

    def register(change):
        fault(Exporter, kind, f"exporter: {title}", *checks, missed=missed)(
            lambda good: changed(good, "export", change)
        )
        return change

    return register


def with_table(call, a, **columns):
    """The export of a changed table."""
    table = a["reflections"].view()
    for name, values in columns.items():
        table[name.replace("__", ".")] = values
    return call(**{**a, "reflections": table})


@exporter("units", "variances for sigmas", "test_the_file_holds_what_was_asked_for")
def _(call, a, plugin):
    table = a["reflections"].view()
    for name in [n for n in table.columns if n.endswith(".variance") and n.startswith("intensity")]:
        table[name] = table[name] ** 2
    return call(**{**a, "reflections": table})


@exporter("units", "not divided by the scale factor", "test_the_file_holds_what_was_asked_for")
def _(call, a, plugin):
    if "inverse_scale_factor" not in a["reflections"]:
        return call(**a)
    return with_table(call, a, inverse_scale_factor=np.ones(len(a["reflections"])))


@exporter(
    "silent",
    "reflections that were not integrated are written",
    "test_the_file_holds_every_good_reflection_and_no_other",
)
def _(call, a, plugin):
    flags = int(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF | Flag.SCALED)
    return with_table(call, a, flags=a["reflections"]["flags"] | np.uint64(flags))


@exporter("swap", "h and l exchanged", "test_the_file_holds_what_was_asked_for")
def _(call, a, plugin):
    return with_table(call, a, miller_index=np.ascontiguousarray(a["reflections"]["miller_index"][:, ::-1]))


@exporter("settings", "intensity= ignored", "test_the_file_holds_what_was_asked_for")
def _(call, a, plugin):
    return call(**{**a, "intensity": "auto"})


@exporter("several", "only the first experiment is written", "test_the_file_holds_every_good_reflection_and_no_other")
def _(call, a, plugin):
    e, t = a["experiments"], a["reflections"]
    return call(**{**a, "experiments": type(e)([e[0]]), "reflections": t.select(t["id"] == 0)})


@exporter("several", "images of the first sweep for all", "test_places_in_the_scan_are_those_of_each_sweep")
def _(call, a, plugin):
    t = a["reflections"]
    position = t["xyzcal.px"].copy()
    position[:, 2] -= np.where(t["id"] == 1, 98.0, 0.0)
    return with_table(call, a, xyzcal__px=position)


@exporter("random", "the time of day in the file", "test_the_same_data_give_the_same_bytes")
def _(call, a, plugin):
    result = call(**a)

    def stamped(writer):
        def write(path):
            writer(path)
            Path(path).write_text(Path(path).read_text() + f"! {datetime.now()}\n")

        return write

    return replace(result, files={n: stamped(w) for n, w in result.files.items()})


@exporter("silent", "writes its file itself", "test_files_are_written_where_the_host_says_and_nowhere_else")
def _(call, a, plugin):
    Path("mine.txt").write_text("exported")
    return call(**a)


@exporter("mutation", "flags set in the table", "test_input_is_left_alone")
def _(call, a, plugin):
    a["reflections"]["flags"][:] |= np.uint64(1)
    return call(**a)


@exporter("hardly any", "no reflections break it", "test_hardly_any_reflections_are_written_or_refused_in_words")
def _(call, a, plugin):
    a["reflections"]["miller_index"].max(axis=0)
    return call(**a)


@exporter("silent", "sums where scaled intensities are asked for", "test_intensities_that_are_not_there_are_refused")
def _(call, a, plugin):
    if a["intensity"] == "scale" and "intensity.scale.value" not in a["reflections"]:
        return call(**{**a, "intensity": "sum"})
    return call(**a)


# ---- programs


def program(kind, title, *checks, missed=""):
    """A fault of run."""

    def register(change):
        fault(Show, kind, f"program: {title}", *checks, missed=missed)(lambda good: changed(good, "run", change))
        return change

    return register


@program("silent", "writes its output itself", "test_it_writes_only_what_the_host_asks_for")
def _(call, a, plugin):
    Path("table.txt").write_text("mine")
    return call(**a)


@program("mutation", "changes the reflections of its caller", "test_what_it_is_given_stays_as_it_was")
def _(call, a, plugin):
    a["inputs"].reflections[0]["flags"][:] = 0
    return call(**a)


@program("mutation", "adds a column to its input", "test_what_it_is_given_stays_as_it_was")
def _(call, a, plugin):
    table = a["inputs"].reflections[0]
    table["partiality"] = np.zeros(len(table))
    return call(**a)


@program("hardly any", "nothing ends in an IndexError", "test_missing_inputs_are_an_error_of_the_user")
def _(call, a, plugin):
    a["inputs"].reflections[0]
    return call(**a)


@program("silent", "runs on nothing", "test_missing_inputs_are_an_error_of_the_user")
def _(call, a, plugin):
    return call(**a) if a["inputs"].reflections else ProgramResult(summary={"n": 0})


@program("silent", "prints", "test_it_prints_nothing_itself")
def _(call, a, plugin):
    print("working")
    return call(**a)


@program("random", "numbers without a seed", "test_a_second_run_gives_the_same")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, summary={**result.summary, "chance": float(np.random.default_rng().random())})


@program("state", "counts the runs", "test_nothing_is_kept_from_one_run_to_the_next")
def _(call, a, plugin):
    plugin.runs = getattr(plugin, "runs", 0) + 1
    result = call(**a)
    return replace(result, summary={**result.summary, "runs": plugin.runs})


@program("dtype", "arrays in the summary", "test_its_summary_can_be_written")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, summary={**result.summary, "values": np.arange(3)})


@program("hardly any", "one reflection breaks it", "test_hardly_any_reflections_are_taken_or_refused_in_words")
def _(call, a, plugin):
    for table in a["inputs"].reflections:
        table["id"][1]
    return call(**a)


@program("silent", "tasks that no process can be sent", "test_tasks_can_be_done_in_another_process")
def _(call, a, plugin):
    list(a["context"].executor.map(lambda i: i, range(4)))
    return call(**a)


@program("silent", "makes a bug of a cancelled run", "test_a_cancelled_run_ends")
def _(call, a, plugin):
    try:
        a["context"].check_cancelled()
    except Cancelled:
        raise RuntimeError("stopped") from None
    return call(**a)


# ---- observers


def observer(kind, title, *checks, missed=""):
    """An observer of its own."""

    def register(space):
        def make(good):
            return type("Faulty", (good,), {**space(), "__doc__": "Faulty."})

        fault(Observer, kind, f"observer: {title}", *checks, missed=missed)(make)
        return space

    return register


@observer("silent", "wrapper without return", "test_results_of_wrapped_hooks_come_through")
def _():
    @hookimpl(wrapper=True)
    def estimate_background(self):
        yield

    return {"estimate_background": estimate_background}


@observer("silent", "raises when a step has ended", "test_every_event_is_taken")
def _():
    @hookimpl
    def step_finished(self, program, result):
        return result.tables[0]

    return {"step_finished": step_finished}


@observer("hardly any", "divides by the total", "test_every_event_is_taken")
def _():
    @hookimpl
    def progressed(self, completed, total):
        return completed / total

    return {"progressed": progressed}


@observer("state", "steps that begin once", "test_every_event_is_taken")
def _():
    @hookimpl
    def step_started(self, program):
        self.__dict__.setdefault("steps", {})[program] = time.perf_counter()

    @hookimpl
    def step_finished(self, program, result):
        self.steps.pop(program)

    return {"step_started": step_started, "step_finished": step_finished}


@observer("silent", "swallows errors of hooks", "test_errors_of_wrapped_hooks_come_through")
def _():
    @hookimpl(wrapper=True)
    def find_strong(self):
        try:
            result = yield
        except Exception:
            result = False
        return result

    return {"find_strong": find_strong}


@observer("mutation", "adds to the result", "test_what_is_observed_stays_as_it_was")
def _():
    @hookimpl
    def step_finished(self, program, result):
        result.summary["seen"] = True

    return {"step_finished": step_finished}


@observer("speed", "a wrapper that waits for a disk", "test_wrappers_take_no_time")
def _():
    @hookimpl(wrapper=True)
    def compute_centroids(self):
        result = yield
        sum(i * i for i in range(100_000))
        return result

    return {"compute_centroids": compute_centroids}


@observer("units", "needs to know the result", "test_results_of_wrapped_hooks_come_through")
def _():
    @hookimpl(wrapper=True)
    def estimate_background(self):
        result = yield
        return result.mean and result

    return {"estimate_background": estimate_background}
