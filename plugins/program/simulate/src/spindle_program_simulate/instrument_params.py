"""Parameters of goniometer and detector."""

from __future__ import annotations

from spindle.params import Auto, Choice, Float, Floats, Int, Ints, Strings
from spindle.params import Params as ParamsBase

__all__ = ["DetectorParams", "GoniometerParams"]


class GoniometerParams(ParamsBase):
    """The axes that turn the crystal, and their settings in each sweep.

    omega stands on the floor, kappa or chi on omega, phi on kappa or chi and carries the crystal. At zero all that are
    called omega and phi are parallel. The setting of the scan axis is that of the scan.
    """

    geometry = Choice(
        ["single", "kappa", "chi"],
        default="single",
        help="single: omega alone; kappa: phi on an axis that is inclined to omega by alpha; chi: phi on a circle about "
        "an axis across omega and the beam's normal (fixed-chi and Eulerian goniometers).",
    )
    axis = Floats((1.0, 0.0, 0.0), size=3, help="Direction of omega in the laboratory (the beam runs to -z).", level=1)
    scan_axis = Strings(("omega",), help="Axis that turns in each sweep: omega, kappa, chi or phi.", level=1)
    alpha = Float(50.0, min=1, max=89, units="deg", help="Inclination of the axis kappa.", level=2)
    omega = Floats((0.0,), units="deg", help="Setting of omega where another axis turns.", level=1)
    kappa = Floats((0.0,), units="deg", help="Setting of kappa.", level=1)
    chi = Floats((54.74,), units="deg", help="Setting of chi.", level=1)
    phi = Floats((0.0,), units="deg", help="Setting of phi.", level=1)


class DetectorParams(ParamsBase):
    """The detector, modules and defects included. The headers may be told a wrong place, as at a beamline."""

    model = Choice(
        ["300K", "1M", "2M", "6M", "custom"],
        default="300K",
        help="Pilatus model; custom is made of modules x image_size pixels with gaps between them.",
    )
    image_size = Floats(
        (1024, 1024), size=2, units="px", help="Pixels, fast and slow, of a module of model=custom.", level=1
    )
    modules = Ints((1, 1), max=100, size=2, help="Modules, fast and slow, of model=custom.", level=1)
    gap = Ints((7, 17), max=10_000, size=2, units="px", help="Pixels between the modules of model=custom.", level=1)
    shape = Choice(
        ["flat", "cylinder", "arm"],
        default="flat",
        help="cylinder: rows of modules around the fast direction, all at the same distance; arm: the last rows are "
        "tilted towards the crystal.",
        level=1,
    )
    arm_rows = Int(1, min=1, max=100, help="Rows of modules on the arm.", level=2)
    arm_angle = Float(30.0, min=0, max=120, units="deg", help="Tilt of the arm.", level=2)
    panels = Choice(
        ["whole", "modules"],
        default="whole",
        help="What is one panel to the headers and to the truth: all that lies in one plane, or each module.",
        level=1,
    )
    misplaced = Float(
        0.0, min=0, max=1, units="mm",
        help="Rms shift of each panel from its regular place, with a turn to match; the headers know of it.", level=2,
    )  # fmt: skip
    module_shift = Float(
        0.0, min=0, max=20, units="px",
        help="Rms shift of each module along fast and along slow, of which the headers do not know.", level=2,
    )  # fmt: skip
    module_turn = Float(
        0.0, min=0, max=5, units="deg",
        help="Rms turn of each module about the normal, of which the headers do not know.", level=2,
    )  # fmt: skip
    pixel_size = Float(0.172, min=0.001, units="mm", help="Pixel size.", level=1)
    distance = Float(140.0, min=1, units="mm", help="True distance along the beam.")
    beam_centre = Floats(
        Auto,
        size=2,
        units="px",
        auto=True,
        help="True beam centre at two_theta 0; Auto is near the middle of the detector.",
        level=1,
    )
    two_theta = Floats((0.0,), units="deg", help="Swing of the detector about the crystal in each sweep.", level=1)
    two_theta_axis = Floats((1.0, 0.0, 0.0), size=3, help="Direction of the axis of two_theta.", level=2)
    tilt = Floats(
        (0.2, -0.15, 0.1),
        size=3,
        units="deg",
        help="True rotation of the detector about fast, slow and normal.",
        level=1,
    )
    distance_error = Float(-0.3, units="mm", help="Distance in the headers minus the true one.", level=1)
    beam_centre_error = Floats(
        (-0.8, 0.6), size=2, units="px", help="Beam centre in the headers minus the true one.", level=1
    )
    thickness = Float(0.32, min=0.01, units="mm", help="Thickness of the silicon sensor.", level=1)
    gain = Float(1.0, min=1e-3, help="Counts that a photon makes in an integrating detector.", level=1)
    offset = Float(0.0, units="counts", help="Mean of a pixel without photons.", level=1)
    read_noise = Float(0.0, min=0, units="counts", help="Standard deviation of a pixel without photons.", level=1)
    point_spread = Float(
        0.0, min=0, max=20, units="px", help="Standard deviation of where a photon is counted, along fast and slow.", level=1
    )  # fmt: skip
    point_spread_tail = Float(
        0.0, min=0, max=1, units="fraction", help="Photons that are counted further away.", level=1
    )  # fmt: skip
    point_spread_tail_width = Float(
        1.9, min=0, max=100, units="px", help="Standard deviation of where those are counted.", level=1
    )  # fmt: skip
    dead_pixels = Int(30, min=0, max=1_000_000, help="Pixels that are marked as dead in the images.", level=1)
    hot_pixels = Int(3, min=0, max=1_000_000, help="Pixels that count by themselves and are not marked.", level=1)
    zingers = Float(
        0.0, min=0, max=100_000, help="Mean number of pixels of an image that a stray particle hits.", level=1
    )
    zinger_counts = Floats((50.0, 5000.0), size=2, units="counts", help="Least and most counts of a hit.", level=2)
    beamstop = Float(1.5, min=0, units="mm", help="Radius of the shadow of the beamstop; 0 for none.", level=1)
