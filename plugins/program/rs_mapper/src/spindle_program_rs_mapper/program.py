"""The program `spindle rs_mapper`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl

from .params import RsMapperParams

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["RsMapper"]


class RsMapper(Program):
    """Put the pixels of images where they are in reciprocal space.

    Each pixel is freed from the rotation of the goniometer; what falls into a voxel is averaged. The volume is a CCP4 map that Coot,
    Chimera, VESTA and spindle view show: diffuse scattering, satellites, streaks and further lattices stand between the spots. Of
    experiments with crystals, layers of the lattice are drawn, too, as a precession camera would have made them, at the full
    resolution of the images.

        spindle rs_mapper imported.expt
        spindle rs_mapper indexed.expt max_resolution=3 grid_size=400 planes=hk0,hk1,0kl
        spindle rs_mapper imported.expt reverse_phi=True
    """

    class Params(RsMapperParams):
        """Reciprocal space from images."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Map all images; see `spindle.contracts.program.ProgramSpec`."""
        from .workflow import make_volume

        return make_volume(inputs, params, context)
