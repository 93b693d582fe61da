"""Whether the result makes sense, and what to tell the user when it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.symmetry import cell_parameters, niggli_cell, primitive_operator

#: RMSDs above these are suspicious: predicted spots miss the observed ones. In angle both must be exceeded.
SUSPICIOUS_RMSD_PX = 3.0
SUSPICIOUS_RMSD_IMAGES, SUSPICIOUS_RMSD_DEG = 3.0, 0.7
#: Another geometry must index this many times more spots, and this fraction more, to be named.
MUCH_BETTER, MORE = 1.3, 0.15
#: The counts of few spots scatter: this many times the square root of their number, six times the scatter of what a lattice of chance indexes.
SCATTER = 2.0
#: A lattice of chance indexes an eighth of the spots, the best of many somewhat more: less than this part is none.
LEAST = 0.25

#: Images that are summed, or left out, have a width that is a multiple or a part of that in their headers.
OTHER_WIDTHS = (0.5, 2.0)

#: A sweep with less than this part of the indexed fraction of the best one has another crystal.
UNLIKE = 0.6


#: A cell that is larger or smaller than the known one by this part, all edges alike to this part of it, is on another scale.
OTHER_SCALE, ALIKE = 0.01, 0.3


def scale_text(
    crystal: Crystal, known: tuple[float, ...] | None, wavelength: float, camera_length: float | None = None
) -> str:
    """The warning that the refined cell is the known one on another scale; "" when it is not.

    Positions of spots depend on the ratio of wavelength and cell only, so that a wrong wavelength gives all edges the same error;
    those of electrons depend on its product with the distance.

    Parameters
    ----------
    crystal : Crystal
        Refined.
    known : (6,) float or None
        The cell that the user gave, angstrom and degrees.
    wavelength : float
        angstrom
    camera_length : float or None
        Of electrons, mm.
    """
    if known is None:
        return ""
    operator = primitive_operator(crystal.space_group).matrix
    given = Crystal.from_cell(known, np.eye(3), "P 1")
    cells = [np.array(niggli_cell(cell_parameters(operator @ rows))) for rows in (crystal.real_space, given.real_space)]
    ratios = cells[0][:3] / cells[1][:3]
    ratio = float(np.cbrt(np.prod(ratios)))
    alike = (
        np.abs(ratios / ratio - 1).max() < ALIKE * abs(ratio - 1) and np.abs(cells[0][3:] - cells[1][3:]).max() < 1.0
    )
    if abs(ratio - 1) < OTHER_SCALE or not alike:
        return ""
    found = " ".join(f"{v:.3f}" for v in crystal.cell)
    if camera_length is not None:
        return (
            f"WARNING: the cell {found} is the known one, {' '.join(f'{v:g}' for v in known)}, times {ratio:.4f}: the distance, "
            f"{camera_length:.2f} mm, is probably wrong by that factor. Leave detector.fix out to refine it, or import again with "
            f"geometry.detector.distance={camera_length / ratio:.2f}"
        )
    return (
        f"WARNING: the cell {found} is the known one, {' '.join(f'{v:g}' for v in known)}, times {ratio:.4f}. Positions of spots "
        f"tell the ratio of cell and wavelength only: the wavelength, {wavelength:.5g} A, is probably wrong by that factor. If so, import again "
        f"with geometry.beam.wavelength={wavelength / ratio:.5g}; if not, the distance (of stills or few images) or the known cell is wrong"
    )


@dataclass(frozen=True)
class Alternative:
    """A geometry that was tried.

    Attributes
    ----------
    description : str
        What was changed, in words.
    remedy : str
        What to give to `spindle import`.
    sweeps : Experiments
    wrong : str
        What is wrong in the headers then.
    """

    description: str
    remedy: str
    sweeps: Experiments
    wrong: str = "axis"


def alternatives(sweeps: Experiments) -> list[Alternative]:
    """Rotation axes that headers and beamlines confuse with the given one, its inverse and those across it, and other widths of the images."""
    if any(sweep.goniometer is None or sweep.is_still for sweep in sweeps):
        return []
    inverted = _with_axes(sweeps, lambda axis, beam: -axis)
    across = _with_axes(sweeps, lambda axis, beam: _unit(np.cross(axis, beam)))
    opposite = _with_axes(sweeps, lambda axis, beam: -_unit(np.cross(axis, beam)))
    options = [
        Alternative("the rotation axis inverted", "geometry.goniometer.invert_rotation_axis=True", inverted),
    ]
    for changed, name in (
        (across, "turned by 90 degrees about the beam"),
        (opposite, "turned by -90 degrees about the beam"),
    ):
        goniometer = changed[0].goniometer
        assert goniometer is not None
        axes = goniometer.rotation_axis if goniometer.axes is None else np.ravel(goniometer.axes)
        text = ",".join(f"{round(float(v), 4) + 0.0:g}" for v in axes)
        options.append(Alternative(f"the rotation axis {name}", f"geometry.goniometer.axes={text}", changed))
    return options + [_with_widths(sweeps, factor) for factor in OTHER_WIDTHS]


def _with_widths(sweeps: Experiments, factor: float) -> Alternative:
    """Images of other widths, from the same start."""
    changed = sweeps
    for scan in sweeps.unique("scan"):
        start, width = scan.oscillation_deg
        changed = changed.with_model(scan, replace(scan, oscillation_deg=(start, factor * width)))
    start, width = changed[0].scan.oscillation_deg  # type: ignore[union-attr]
    return Alternative(
        f"images of {width:g} deg each",
        f"geometry.scan.oscillation={start:g},{width:g}",
        changed,
        "width of the images",
    )


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def _with_axes(sweeps: Experiments, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Experiments:
    changed = sweeps
    for goniometer in sweeps.unique("goniometer"):
        sweep = sweeps[sweeps.indices_with("goniometer", goniometer)[0]]
        setting = goniometer.setting_rotation
        axis = setting.T @ change(setting @ goniometer.rotation_axis, _unit(sweep.beam.s0))
        fields: dict[str, Any] = {"rotation_axis": axis}
        if getattr(goniometer, "axes", None) is not None:
            axes = np.array(goniometer.axes)
            axes[goniometer.scan_axis] = axis
            fields["axes"] = axes
        changed = changed.with_model(goniometer, replace(goniometer, **fields))
    return changed


def is_much_better(now: int, then: int, total: int) -> bool:
    """Whether `now` indexed spots of `total` are so many more than `then` that the user must hear of it."""
    least = MORE * total + SCATTER * total**0.5
    return now > MUCH_BETTER * then and now - then > least and now > LEAST * total


def sweeps_of_other_crystals(fractions: np.ndarray, enough: float) -> str | None:
    """What to tell when some sweeps are indexed and others are not, or None.

    Parameters
    ----------
    fractions : (n_sweeps,) float64
        Indexed part of the spots of each sweep; NaN for a sweep without spots.
    enough : float
        A sweep with at least this part is indexed.
    """
    good = np.flatnonzero(fractions >= enough)
    bad = np.flatnonzero(fractions < min(enough, UNLIKE * np.nanmax(fractions, initial=0.0)))
    if len(good) == 0 or len(bad) == 0:
        return None

    def named(which: np.ndarray) -> str:
        shown = ", ".join(f"{i} ({100 * fractions[i]:.1f} %)" for i in which[:8])
        return f"sweep{'s' if len(which) > 1 else ''} {shown}{f' and {len(which) - 8} more' if len(which) > 8 else ''}"

    return (
        f"The lattice fits {named(good)} but not {named(bad)}: most likely these are different crystals, or one that was mounted or "
        "centred anew. Index each sweep by itself with indexing.joint_indexing=False"
    )


def causes(sweeps: Experiments, n_spots: int, n_lattices: int, max_lattices: Any) -> list[str]:
    """What a low indexed fraction usually means, most likely first."""
    hints = []
    if any(sweep.scan is not None and sweep.scan.is_still and sweep.scan.n_images > 1 for sweep in sweeps):
        hints.append(
            "the header says that the images were not rotated (oscillation 0): give the true width to spindle import, "
            "geometry.scan.oscillation=START,WIDTH"
        )
    hints.append(
        "the beam centre is wrong by more than the refinement can mend: run spindle search_beam_position with the same "
        "files, and index again with its optimised.expt"
    )
    if not any(sweep.is_still for sweep in sweeps):
        hints.append(
            "the rotation axis or its direction is wrong: run spindle find_rotation_axis with the same files, and index again with "
            "its optimised.expt"
        )
    hints.append(
        "distance or wavelength are wrong: compare with the beamline's log; geometry.detector.distance=, "
        "geometry.beam.wavelength="
    )
    if max_lattices is not Auto and n_lattices >= (max_lattices or 1):
        hints.append("there is more than one crystal: max_lattices=Auto")
    if n_spots < 100:
        hints.append(f"{n_spots} spots are few: use more images, or a more sensitive threshold in spindle find_spots")
    hints.append(
        "many spots are ice, noise or a detector artefact: look at them, filter.ice_rings.filter=True or "
        "filter.d_min= in find_spots"
    )
    hints.append("the cell is wrong: give max_cell=, or unit_cell= and space_group= if they are known")
    return hints


def is_absurd(experiments: Experiments, rmsd: np.ndarray) -> bool:
    """Whether predictions miss the spots by more than a right model could.

    Parameters
    ----------
    experiments : Experiments
    rmsd : (n, 3) float64
        Pixels, pixels, and images (degrees for stills).
    """
    if rmsd[:, :2].max(initial=0.0) > SUSPICIOUS_RMSD_PX:
        return True
    for experiment, (_, _, images) in zip(experiments, rmsd, strict=True):
        width = 1.0 if experiment.is_still else experiment.scan.oscillation_deg[1]  # type: ignore[union-attr]
        if images * width > SUSPICIOUS_RMSD_DEG and (experiment.is_still or images > SUSPICIOUS_RMSD_IMAGES):
            return True
    return False


def warning_text(fraction: float, threshold: float, hints: list[str], found: str | None) -> str:
    """The warning about a low indexed fraction: what a trial found, or else the usual causes."""
    first = (
        f"WARNING: only {100 * fraction:.1f} % of the spots are indexed (less than {100 * threshold:.0f} %): do not go "
        "on before you know why."
    )
    if found is not None:
        return f"{first}\n{found}"
    return "\n".join([first, "Possible causes, and what to try:", *(f"  - {hint}" for hint in hints)])
