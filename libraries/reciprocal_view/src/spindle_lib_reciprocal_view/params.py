"""Parameters of what is seen first."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Floats, Int, Ints, Params

__all__ = ["ReciprocalViewParams"]


class ReciprocalViewParams(Params):
    """What the page shows first."""

    reverse_phi = Bool(False, none=True, help="Turn the rotation axis round, to see whether the lattice gets better.")
    crystal_frame = Bool(
        False,
        none=True,
        help="Turn each lattice so that its a lies along x and its c* along z, all lattices alike.",
    )
    beam_centre_panel = Int(
        None, min=0, max=100_000, help="Panel that beam_centre is on; None: the one that the beam hits."
    )
    beam_centre = Floats(
        None, size=2, units="mm", help="Where the beam hits the panel, fast and slow: the detector is moved there."
    )
    d_min = Float(None, min=0, units="A", help="Show spots to this resolution.")
    z_min = Float(None, units="images", help="Show spots from this place along the scan (array index).")
    z_max = Float(None, units="images", help="Show spots up to this place along the scan.")
    n_min = Int(0, min=0, max=10_000_000, none=True, units="pixels", help="Show spots of at least so many pixels.")
    n_max = Int(
        1_000_000, min=0, max=10_000_000, none=True, units="pixels", help="Show spots of at most so many pixels."
    )
    partiality_min = Float(None, help="Show reflections of at least this partiality.")
    partiality_max = Float(None, help="Show reflections of at most this partiality.")
    display = Choice(["all", "unindexed", "indexed", "integrated"], "all", help="Which spots to show.")
    outlier_display = Choice(
        ["outliers", "inliers"],
        None,
        none=True,
        help="Show only those that refinement called outliers, or only the others.",
    )
    experiment_ids = Ints(
        None,
        min=-1,
        max=1_000_000,
        help="Lattices to show, by experiment from 0; -1 are the spots without lattice.",
    )
    black_background = Bool(True, help="White on black, or black on white.")
    show_rotation_axis = Bool(False, help="Draw the rotation axis.")
    show_beam_vector = Bool(False, help="Draw the beam, as it comes at angle zero.")
    show_crystal_axes = Bool(True, help="Draw a*, b* and c* of each lattice.")
    show_reciprocal_cell = Bool(False, help="Draw the reciprocal cell of each lattice.")
    label_nearest_point = Bool(False, help="Describe the point below the pointer: index, resolution, image.")
    marker_size = Int(Auto, min=1, max=100, none=True, units="pixels", help="Size of the points; Auto by their number.")
    autospin = Bool(False, help="Let the picture turn by itself.")
    model_view_matrix = Floats(
        None, size=16, help="Direction of view: the rotation of a 4 x 4 matrix, column after column."
    )
    max_experiments = Int(
        15,
        min=0,
        max=10_000,
        none=True,
        help="So many lattices have axes and a switch of their own, the others a switch together.",
    )
