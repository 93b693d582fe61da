"""The program `reindex`."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.params import Ints, PathParam, SpaceGroup, Str
from spindle.params import Params as ParamsBase

__all__ = ["Reindex"]


class Reindex(Program):
    """Describe crystals and reflections in another basis of the lattice.

    Give experiments, reflections or both:

        spindle reindex indexed.refl change_of_basis_op=b,c,a
        spindle reindex integrated.expt integrated.refl change_of_basis_op=a-b,a+b,c space_group=C2
        spindle reindex b.expt b.refl reference.experiments=a.expt reference.reflections=a.refl
        spindle reindex b.expt b.refl reference.file=a.mtz

    An operator is written as new basis vectors (a+b,-a+b,c), new indices (h+k,-h+k,l; the same matrix) or new
    coordinates (x,y,z; the inverse transpose). Auto finds it: with reference.experiments from the orientations of the
    two crystals; else from the positions of the spots, whose indices then become those of the crystal. With reference
    reflections as well, it is the symmetry of the lattice under which the intensities agree best.
    """

    takes_files = False

    class Params(ParamsBase):
        """How indices and basis vectors change."""

        change_of_basis_op = Str(
            "a,b,c",
            none=True,
            help="The operator: new basis vectors (a,b,c), indices (h,k,l) or coordinates (x,y,z) in terms of the old "
            "ones. Auto finds it, see above.",
        )
        hkl_offset = Ints(
            None,
            size=3,
            min=-1000,
            max=1000,
            none=True,
            help="Added to the indices, in the old basis, before the operator acts.",
        )
        space_group = SpaceGroup(
            None,
            none=True,
            help="Space group in the new basis; the cell is constrained to it. The old one, transformed, when not given.",
        )

        class reference(ParamsBase):
            """Data of a crystal whose indexing is to be followed."""

            experiments = PathParam(None, none=True, help="Experiments of the reference; its crystals' basis is taken.")
            reflections = PathParam(
                None, none=True, help="Reflections of the reference; intensities tell which indexing is the same."
            )
            file = PathParam(
                None,
                none=True,
                help="Instead of both: merged or unmerged intensities of any program, MTZ or structure-factor mmCIF.",
            )

        class output(ParamsBase):
            """What is written, of what was given."""

            experiments = PathParam("reindexed.expt", help="Experiments in the new basis.")
            reflections = PathParam("reindexed.refl", help="Reflections with their new indices.")
            log = PathParam("spindle.reindex.log", none=True, help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """See `spindle.contracts.program.ProgramSpec`."""
        from .workflow import reindex

        return reindex(inputs, params, context)
