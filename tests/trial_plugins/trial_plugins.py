"""Plugins for the tests of the host: a program that squares numbers, algorithms of a slot of its own, an observer."""

from __future__ import annotations

from spindle.contracts import Algorithm, Program, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.params import Auto, Bool, Float, Int, Params, PathParam, Plugin, ScopeOf, Str
from spindle.report import Table

heard: list[str] = []


class Plain(Algorithm):
    """Adds an offset."""

    class Params(Params):
        offset = Int(0, help="Added to each square.")

    def value(self, i):
        return i * i + self.params.offset


class Fancy(Algorithm):
    """Has parameters in scopes."""

    class Params(Params):
        class robust(Params):
            """Robustness."""

            tuning_constant = Float(1.345, min=0, help="Where outliers begin.", level=1)

        class model(Params):
            """Model."""

            curvature = Float(0.0, help="Curvature.")

    def value(self, i):
        return i * i + self.params.robust.tuning_constant


class Trial(Program):
    """Squares the numbers below n.

    A second paragraph of help.
    """

    class Params(Params):
        n = Int(3, min=1, max=1000, help="How many numbers.")
        fail = Str(None, help="Fail in one of several ways.")

        class squares(Params):
            """How numbers are squared."""

            algorithm = Plugin("trial_slot", default="plain", help="Which algorithm.")

        class output(Params):
            """What is written."""

            text = PathParam("squares.txt", help="Text file.")
            log = Str("spindle.trial.log", help="Log.")

        class hidden(Params, level=2):
            """Rarely needed."""

            detail = Bool(False, help="A detail.")
            size = Int(Auto, min=1, help="A size.")

    @hookimpl
    def run(self, inputs, params, context):
        if params.fail == "user":
            raise UserError("trial: the crystal is a stone; take another")
        if params.fail == "bug":
            raise RuntimeError("something impossible")
        if params.fail == "interrupt":
            raise KeyboardInterrupt
        algorithm = context.algorithm("trial_slot", params.squares.algorithm)

        def work(i):
            if params.fail == "item" and i == 2:
                raise UserError("cannot square this")
            return algorithm.value(i)

        values = []
        with context.progress("squaring", params.n) as progress:
            for value in context.executor.map(work, range(params.n)):
                values.append(value)
                progress.advance()
        context.table(Table("Squares", ["i", "value"], list(enumerate(values)), "squares"))
        return ProgramResult(
            summary={"values": values, "random": float(context.rng.random()), "n_files": len(inputs.files)},
            files={params.output.text: lambda path: path.write_text(" ".join(map(str, values)))},
            next_step="spindle trial n=4",
        )


class TrialChain(Program):
    """Runs the trial twice."""

    class Params(Params):
        first = ScopeOf("program", "trial")

    @hookimpl
    def run(self, inputs, params, context):
        a = context.run_program("trial", write=True)
        b = context.run_program("trial", n=2, fail=None)
        return ProgramResult(summary={"a": a.summary["values"], "b": b.summary["values"]})


class TrialWords(Program):
    """Repeats what it was told."""

    takes_words = True

    class Params(Params):
        n = Int(3, help="A number.")

    @hookimpl
    def run(self, inputs, params, context):
        context.log.info("%d %s %d", params.n, inputs.words, len(inputs.files))
        return ProgramResult()


class Listener(Algorithm):
    """Notes what happens."""

    @hookimpl
    def step_started(self, program):
        heard.append(f"{program} started")

    @hookimpl
    def step_finished(self, program, result):
        heard.append(f"{program} finished {len(result.tables)}")

    @hookimpl
    def progressed(self, description, completed):
        heard.append(f"{description} {completed:g}")

    @hookimpl
    def table_reported(self, table):
        heard.append(table.key)
