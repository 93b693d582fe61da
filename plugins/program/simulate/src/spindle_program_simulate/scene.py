"""Everything about a simulated sweep before the first photon is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import gemmi
import numpy as np

from spindle.errors import ParameterError
from spindle.params import Auto
from spindle.symmetry import ChangeOfBasis, orthogonalisation
from spindle_lib_ice import UNIT_CELL

from .instrument import Instrument, build_instruments
from .kernels import OPEN
from .mishaps import beam_left
from .params import SimulateParams
from .reflections import FrameSeries, Reflections, predict_reflections
from .settings import SweepSettings, rotation, sweep_settings
from .stills import StillEvents, check_stills, predict_stills, random_rotations, volumes_of_stills
from .structure import Structure, random_structure, structure_from_coordinates, structure_from_intensities, twinned
from .supports import Supports, build_supports

__all__ = ["Lattice", "Sweep", "build_sweeps"]

RANDOM_B = 22.0  # angstrom^2, of a well diffracting protein crystal
# indices of the strongest powder lines of hexagonal ice, 3.90 to 1.88 angstrom
ICE_LINES = ((1, 0, 0), (0, 0, 2), (1, 0, 1), (1, 0, 2), (1, 1, 0), (1, 0, 3), (2, 0, 0), (1, 1, 2), (2, 0, 1))
STILLS_STREAM = 7  # of the random numbers of orientations
ICE_SAMPLES = 4  # each way, of a pixel
LYSOZYME_CELL, LYSOZYME_GROUP = (78.9, 78.9, 37.95, 90.0, 90.0, 90.0), "P 43 21 2"


@dataclass(frozen=True, slots=True)
class Lattice:
    """One crystal of a sweep.

    Attributes
    ----------
    U, A : (3, 3) float64
        Orientation, and the setting matrix at the start with all axes of the goniometer at zero (1/angstrom); (N, 3, 3) of the crystals
        of N stills, in the laboratory.
    crystal : int
        Which crystal, from 0: sweeps may share it.
    fraction : float
        Volume relative to the first crystal.
    reflections : Reflections
    stills : StillEvents or None
        What is known of the reflections where each image is a still.
    """

    U: np.ndarray
    A: np.ndarray
    crystal: int
    fraction: float
    reflections: Reflections
    stills: StillEvents | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep.

    Attributes
    ----------
    settings : SweepSettings
    instrument : Instrument
    structure : Structure
        Intensities on the scale of photons.
    frames : FrameSeries
    background : (ny, nx) float32, counts
        Expected background of an image at beam scale 1.
    supports : Supports
        The tape is in the background already.
    zingers : float
        Mean number on an image.
    zinger_counts : (float, float), counts
        Least and most of one.
    lattices : list of Lattice
    sigma_mosaic, sigma_divergence : float, rad
    seed : int
        Of the photons of this sweep.
    """

    settings: SweepSettings
    instrument: Instrument
    structure: Structure
    frames: FrameSeries
    background: np.ndarray
    supports: Supports
    zingers: float
    zinger_counts: tuple[float, float]
    lattices: list[Lattice]
    sigma_mosaic: float
    sigma_divergence: float
    seed: int


def build_sweeps(params: SimulateParams, seed: int) -> list[Sweep]:
    """Make the crystal, the instrument and the sweeps that the parameters describe."""
    rng = np.random.default_rng(seed)
    settings = sweep_settings(params)
    if params.scan.stills:
        check_stills(params)
    instruments = build_instruments(params, settings, rng)
    if params.structure.d_min is Auto:
        d_min = min(instrument.corner_resolution() for instrument in instruments)
    else:
        d_min = params.structure.d_min
    shortest = min(sweep.wavelength for sweep in settings)
    if d_min <= shortest / 2:
        raise ParameterError(
            f"structure.d_min={d_min:g}: must be larger than half the wavelength, {shortest / 2:g} A; set it where the "
            "detector reaches backwards"
        )
    structure = _structure(params, d_min, rng)
    orthogonal = orthogonalisation(structure.cell)
    reciprocal = np.linalg.inv(orthogonal).T
    n_lattices = params.crystal.lattices
    n_crystals = n_lattices * (len(settings) if params.crystal.one_per_sweep else 1)
    orientations = [_orientation(params, number, rng) for number in range(n_crystals)]
    sigma_mosaic, sigma_divergence = np.radians(params.crystal.mosaic_spread), np.radians(params.beam.divergence)
    sigma_m = np.sqrt(sigma_mosaic**2 + sigma_divergence**2 + params.beam.bandpass**2)
    half_axes = 0.5 * np.array(params.crystal.size)
    series = [_frame_series(params, sweep, rng) for sweep in settings]

    def lattice(number: int, sweep: SweepSettings, frames: FrameSeries, instrument: Instrument) -> Lattice:
        fraction = params.crystal.weaker**number
        if params.scan.stills:
            return _stills(params, number, sweep, structure, reciprocal, orientations[0], instrument, frames, seed)
        crystal = number + (n_lattices * (sweep.number - 1) if params.crystal.one_per_sweep else 0)
        A = orientations[crystal] @ reciprocal
        reflections = predict_reflections(
            structure, A, sweep.rotation.setting @ sweep.rotation.fixed, fraction, frames, instrument,
            params.beam.polarization_fraction, sigma_m, half_axes, params.crystal.absorption,
            build_supports(params.support, instrument.wavelength),
        )  # fmt: skip
        return Lattice(orientations[crystal], A, crystal, fraction, reflections)

    planned = list(zip(settings, series, instruments, strict=True))
    predicted = [[lattice(number, *plan) for number in range(n_lattices)] for plan in planned]
    for (sweep, frames, _), lattices in zip(planned, predicted, strict=True):
        if params.scan.stills and not lattices[0].stills.volume.any():  # type: ignore[union-attr]
            continue
        z = lattices[0].reflections.z
        if not ((z > 0) & (z < len(frames))).any():
            raise ParameterError(
                f"simulate: no reflection meets the detector during sweep {sweep.number}; check cell, distance, "
                "two_theta, wavelength, scan"
            )
    scale = params.structure.mean_counts / _mean_photons(predicted[0][0], len(series[0]))
    return [
        Sweep(
            settings=sweep,
            instrument=instrument,
            structure=structure.scaled(scale),
            frames=frames,
            background=background_image(instrument, params),
            supports=build_supports(params.support, instrument.wavelength),
            zingers=params.detector.zingers,
            zinger_counts=(params.detector.zinger_counts[0], params.detector.zinger_counts[1]),
            lattices=[replace(x, reflections=x.reflections.scaled(scale)) for x in lattices],
            sigma_mosaic=sigma_mosaic,
            sigma_divergence=sigma_divergence,
            seed=seed * 1000 + sweep.number - 1,
        )
        for (sweep, frames, instrument), lattices in zip(planned, predicted, strict=True)
    ]


def _mean_photons(lattice: Lattice, n_images: int) -> float:
    """Mean photons of the reflections of a sweep; of stills, of those near the Ewald sphere."""
    first, stills = lattice.reflections, lattice.stills
    if stills is None:
        return float(first.photons[(first.z > 0) & (first.z < n_images)].mean())
    near = np.abs(stills.turn) < 2 * stills.rocking
    return float((first.photons * stills.partiality)[near].mean()) if near.any() else 1.0


def _stills(
    params: SimulateParams, number: int, sweep: SweepSettings, structure: Structure, reciprocal: np.ndarray,
    given: np.ndarray, instrument: Instrument, frames: FrameSeries, seed: int,
) -> Lattice:  # fmt: skip
    """The crystals of one lattice number of all stills of a sweep."""
    rng = np.random.default_rng([STILLS_STREAM, seed, sweep.number, number])
    U = random_rotations(sweep.n_images, rng)
    if number == 0 and params.crystal.orientation is not Auto:
        U[0] = given
    fraction = params.crystal.weaker**number
    # crystals of an image are hit together
    hits = np.random.default_rng([STILLS_STREAM, seed, sweep.number])
    volume = fraction * volumes_of_stills(params, sweep.n_images, hits)
    reflections, stills = predict_stills(
        structure, U @ reciprocal, volume, instrument, params.beam.polarization_fraction,
        float(np.radians(params.crystal.mosaic_spread)), float(np.radians(params.beam.divergence)), params.beam.bandpass,
        0.5 * np.array(params.crystal.size), params.crystal.absorption,
        build_supports(params.support, instrument.wavelength), frames.shift,
    )  # fmt: skip
    return Lattice(U, U @ reciprocal, number, fraction, reflections, stills)


def _structure(params: SimulateParams, d_min: float, rng: np.random.Generator) -> Structure:
    p, crystal = params.structure, params.crystal
    cell = None if crystal.unit_cell is Auto else np.array(crystal.unit_cell)
    group = None if crystal.space_group is Auto else gemmi.SpaceGroup(crystal.space_group)
    b_added = 0.0 if p.b_factor is Auto else p.b_factor
    if p.coordinates is not None and p.intensities is not None:
        raise ParameterError("structure.coordinates and structure.intensities exclude each other: give one of them")
    if p.coordinates is not None:
        structure = structure_from_coordinates(p.coordinates, cell, group, d_min, b_added)
    elif p.intensities is not None:
        structure = structure_from_intensities(p.intensities, cell, group, d_min, b_added)
    else:
        if cell is None and group is None:
            cell, group = np.array(LYSOZYME_CELL), gemmi.SpaceGroup(LYSOZYME_GROUP)
        elif cell is None or group is None:
            missing = "crystal.unit_cell" if cell is None else "crystal.space_group"
            raise ParameterError(f"{missing} must be given too: a cell and a space group belong together")
        structure = random_structure(
            cell, group, d_min, RANDOM_B if p.b_factor is Auto else p.b_factor, p.anomalous, rng
        )
    if not gemmi.UnitCell(*structure.cell).is_compatible_with_spacegroup(structure.group):
        raise ParameterError(
            f"crystal.unit_cell={tuple(structure.cell)}: cannot have space group {structure.group.xhm()}; "
            "change one of them"
        )
    if p.twin_fraction > 0:
        structure = twinned(structure, ChangeOfBasis.from_string(p.twin_law), p.twin_fraction)
    return structure


def _orientation(params: SimulateParams, number: int, rng: np.random.Generator) -> np.ndarray:
    """Orientation matrix of one crystal; all but the first are random whatever was asked for."""
    quaternion = rng.standard_normal(4)
    if number == 0 and params.crystal.orientation is not Auto:
        vector = np.radians(params.crystal.orientation)
        angle = float(np.linalg.norm(vector))
        return rotation(vector / angle, angle) if angle > 0 else np.eye(3)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _frame_series(params: SimulateParams, sweep: SweepSettings, rng: np.random.Generator) -> FrameSeries:
    n = sweep.n_images
    time = (np.arange(n) + 0.5) / n
    wave = np.sin(2 * np.pi * (1.3 * time + rng.random()))
    scale = (1 + params.beam.wobble * wave) * (1 + params.beam.jitter * rng.standard_normal(n))
    phases, waves = rng.random((2, 3)), rng.uniform(0.5, 2.0, (2, 3))
    drift = np.stack([np.sin(2 * np.pi * (waves[k] * time[:, None] + phases[k])) for k in range(2)]).sum(axis=0)
    return FrameSeries(
        axis=sweep.sense * sweep.rotation.axis,
        start=np.radians(sweep.sense * sweep.start),
        width=np.radians(abs(sweep.oscillation)),
        scale=np.maximum(scale, 0.01) * beam_left(params.beam.lost, sweep.first_image, n),
        b_factor=(0.0 if params.scan.stills else params.crystal.decay) * time,
        drift=(0.0 if params.scan.stills else 1.0) * np.radians(params.crystal.drift) / np.sqrt(3) * drift,
        expansion=params.crystal.expansion * time,
        shift=_movement(params.beam.drift, time, rng),
    )


def _movement(rms: float, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, 2): a slow movement along two directions with the same rms deviation from its mean, at times (n,) from 0 to 1."""
    if rms == 0:
        return np.zeros((len(time), 2))
    phases, waves = rng.random(2), rng.uniform(0.5, 1.5, 2)
    path = np.sin(2 * np.pi * (waves * time[:, None] + phases))
    path -= path.mean(axis=0)
    return rms * path / np.maximum(np.sqrt((path**2).mean(axis=0)), 1e-9)


def background_image(instrument: Instrument, params: SimulateParams) -> np.ndarray:
    """Expected background of an image, (ny, nx) float32 counts.

    Air scatter falls off with the angle, the solvent makes two diffuse rings, ice sharp ones; all are polarised and spread over
    the solid angle of each pixel. The beamstop leaves 2 % of the scatter.
    """
    nx, ny = instrument.image_size
    expected = np.zeros((ny, nx))
    p, fraction, panels = params.background, params.beam.polarization_fraction, instrument.panels
    for k in range(len(panels)):
        (x0, y0), (width, height) = panels.offset[k], panels.size[k]
        y, x = np.mgrid[0:height, 0:width]
        points = panels.laboratory(k, np.stack([x, y], axis=-1) + 0.5)
        normal = panels.normal(k)
        rays = points / np.linalg.norm(points, axis=-1, keepdims=True)
        s = 1.0 / instrument.resolution(points)  # 2 sin(theta) / lambda
        polarised = instrument.polarisation(rays, fraction)
        nearest = abs(panels.frames[0, 2] @ panels.normal(0))
        solid_angle = np.abs(rays @ normal) * (nearest / np.linalg.norm(points, axis=-1)) ** 2
        efficiency = instrument.quantum_efficiency(rays, normal) / instrument.quantum_efficiency(normal, normal)
        air = p.air / (1.0 + (s / 0.12) ** 2)
        solvent = np.exp(-0.5 * ((s - 0.30) / 0.055) ** 2) + 0.35 * np.exp(-0.5 * ((s - 0.47) / 0.08) ** 2)
        scatter = air + p.solvent * solvent
        if p.ice > 0:
            scatter += p.ice * _ice_rings(instrument, k, x, y, p.ice_width)
        expected[y0 : y0 + height, x0 : x0 + width] = p.flat + scatter * polarised * solid_angle * efficiency
    expected[(instrument.pixel_state & OPEN) == 0] *= 0.02
    tape = build_supports(params.support, instrument.wavelength).tape_image(instrument)
    if tape.size:
        expected *= tape
    expected[instrument.dead] = 0.0
    return expected.astype(np.float32)


def _ice_rings(instrument: Instrument, panel: int, x: np.ndarray, y: np.ndarray, width: float) -> np.ndarray:
    """Sum of rings of height 1 in the pixels x, y of a panel, each the mean over the pixel, which a ring may be narrower than."""
    cell = gemmi.UnitCell(*UNIT_CELL)
    lines = [1.0 / cell.calculate_d(hkl) for hkl in ICE_LINES]
    steps = (np.arange(ICE_SAMPLES) + 0.5) / ICE_SAMPLES
    total = np.zeros(x.shape)
    for dx in steps:
        for dy in steps:
            points = instrument.panels.laboratory(panel, np.stack([x + dx, y + dy], axis=-1))
            s = 1.0 / instrument.resolution(points)
            for line in lines:
                total += np.exp(-0.5 * ((s - line) / width) ** 2)
    return total / ICE_SAMPLES**2
