"""The program."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl

from .params import IndexParams


class Index(Program):
    """Find the lattice of the crystal and give every strong spot its Miller index.

    Give experiments (imported.expt) and spots (strong.refl). The result is in P 1 unless a space group is given; the
    models are refined. Several sweeps are indexed with one crystal. When few spots can be indexed, the reason is looked
    for and told.

        spindle index imported.expt strong.refl
        spindle index imported.expt strong.refl space_group=P43212 unit_cell=79,79,38,90,90,90
        spindle index imported.expt strong.refl max_lattices=2
    """

    citations = (
        Citation(
            "Sauter, N. K. & Grosse-Kunstleve, R. W. & Adams, P. D.",
            2004,
            "Robust indexing for automatic data collection",
            "J. Appl. Cryst.",
            "37",
            "399-409",
            "10.1107/S0021889804005874",
        ),
        Citation(
            "Grosse-Kunstleve, R. W. & Sauter, N. K. & Adams, P. D.",
            2004,
            "Numerically stable algorithms for the computation of reduced unit cells",
            "Acta Cryst. A",
            "60",
            "1-6",
            "10.1107/S010876730302186X",
        ),
    )

    takes_files = False

    Params = IndexParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: IndexParams, context: Any) -> ProgramResult:
        """Index; see the class."""
        from .workflow import index  # compiled kernels: not wanted by the help page

        return index(inputs, params, context)
