"""The program."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl

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

    takes_files = False

    Params = IndexParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: IndexParams, context: Any) -> ProgramResult:
        """Index; see the class."""
        from .workflow import index  # compiled kernels: not wanted by the help page

        return index(inputs, params, context)
