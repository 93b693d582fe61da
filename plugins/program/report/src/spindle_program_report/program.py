"""The program `spindle report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl

from .params import ReportParams

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["Report"]


class Report(Program):
    """Make one page that says how good data are, what went wrong, and where to cut.

    Give the files of any step, alone or together: experiments, spots, indexed, refined, integrated, scaled reflections, several of each.
    What they can tell is shown, and what is missing is said. The page is one file, which opens without a network. At its top are five
    questions of a referee with answers in green, amber or red.

        spindle report scaled.expt scaled.refl
        spindle report scaled.expt strong.refl refined.refl integrated.refl scaled.refl output.json=report.json
        spindle report imported.expt strong.refl
    """

    takes_files = False

    class Params(ReportParams):
        """One page about data."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Look at everything; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import make_report

        return make_report(inputs, params, context)
