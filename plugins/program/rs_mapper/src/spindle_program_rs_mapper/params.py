"""Parameters of `spindle rs_mapper`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Int, Params, PathParam, Str, Strings

__all__ = ["RsMapperParams"]


class RsMapperParams(Params):
    """Reciprocal space from images."""

    class rs_mapper(Params):
        """The volume."""

        max_resolution = Float(
            6.0, min=0.2, max=1000, none=True, units="A", help="The volume reaches to this resolution; None takes 6 A."
        )
        grid_size = Int(
            192, min=8, max=1024, none=True, help="Voxels along an edge; None takes 192. 512 need about 2 GB."
        )
        reverse_phi = Bool(False, none=True, help="Turn the rotation round, to see whether the volume gets sharper.")
        ignore_mask = Bool(
            False,
            none=True,
            help="Count masked pixels and those outside of the trusted range, too, with the value that the image has there.",
        )
        unmeasured = Choice(
            ["zero", "nan"],
            default="zero",
            help="What voxels of the map have where no pixel was: 0, as in DIALS, or not a number, which spindle view leaves blank. "
            "Some programs for maps do not read that.",
        )
        crystal_frame = Bool(
            False,
            help="Turn each lattice so that its a lies along x and its c* along z; volumes of several crystals are added so.",
        )
        polarization = Bool(False, help="Divide by the polarization factor of each pixel.")
        solid_angle = Bool(
            False, help="Divide by the solid angle of each pixel, relative to one that is hit at a right angle."
        )
        nproc = Int(Auto, min=1, max=4_096, none=True, level=1, help="Number of workers; Auto takes mp.nproc.")

    class slices(Params):
        """Layers of the lattice as pictures, as a precession camera would make them; where the experiments have a crystal."""

        planes = Strings(
            ("hk0", "0kl", "h0l"),
            none=True,
            help="Layers: two letters and a number, which may be negative: hk0, hk1, 2kl, h-1l.",
        )
        thickness = Float(
            0.1, min=0.001, max=1, help="Thickness of the layers, as a part of the distance of neighbouring ones."
        )
        d_min = Float(None, min=0.2, none=True, units="A", help="Resolution at the edge; None: of the detector's edge.")
        size = Int(600, min=50, max=4000, units="px", help="Width and height of the pictures.")
        lattice = Int(0, min=0, max=1000, help="Which lattice, where images have several, counted from 0.")

    class output(Params):
        """What is written."""

        map_file = PathParam(
            "rs_mapper_output.mrc", help="The volume, a CCP4 map of mean values; voxel n/2 is the origin."
        )
        slices = PathParam("slice", none=True, help="Beginning of the names of the pictures: slice_hk0.png.")
        html = PathParam("rs_mapper.html", none=True, help="Page with the pictures and sections of the volume.")
        log = Str("spindle.rs_mapper.log", none=True, help="Log file.")
