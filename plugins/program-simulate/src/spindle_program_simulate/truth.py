"""What was simulated, in two files: truth.json (models) and truth.npz (per reflection, image and pixel)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from spindle.files import atomic_write
from spindle.params import to_dict

from .instrument import BEAM, POLARISATION_NORMAL, ROTATION_AXIS
from .parameters import SimulateParams
from .render import PhotonStatistics
from .scene import Sweep

__all__ = ["effective_sigmas", "write_truth"]


def effective_sigmas(statistics: PhotonStatistics, zeta: np.ndarray) -> dict[str, float]:
    """Rms spread of the photons along e1, e2, e3 in deg, over reflections with > 100 photons and |zeta| > 0.3."""
    good = (statistics.n_all > 100) & (np.abs(zeta) > 0.3)
    if not good.any():
        return {"e1": 0.0, "e2": 0.0, "e3": 0.0}
    e1, e2, e3 = np.degrees(np.sqrt(statistics.variance[good].mean(axis=0)))
    return {"e1": float(e1), "e2": float(e2), "e3": float(e3)}


def write_truth(
    folder: Path, name: str, sweep: Sweep, statistics: list[PhotonStatistics], params: SimulateParams
) -> None:
    """Write truth.json and truth.npz into ``folder``.

    Notes
    -----
    Arrays of lattice k end in ``_k``: hkl, I_true (|F|^2, photons before all factors), lorentz, polarisation, qe
    (fraction of photons that the sensor stops), absorption, d, xy_pred (px, front of the sensor), phi_pred (deg),
    z_pred (images), n_mean (expected photons at beam scale 1: the product of I_true, the factors and frac), n_all,
    n_live (photons drawn, photons counted), xyz_photon_mean (px, px, images), var_e123 (rad^2), zeta, depth_mean (mm
    along the ray). frame_scale, frame_B, drift (rad, crystal frame), cell_exp belong to images; background, bad, hot to
    pixels.
    """
    with atomic_write(folder / "truth.npz") as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **_arrays(sweep, statistics))
    with atomic_write(folder / "truth.json") as temporary:
        temporary.write_text(json.dumps(_models(name, sweep, statistics, params), indent=1))


def _arrays(sweep: Sweep, statistics: list[PhotonStatistics]) -> dict[str, np.ndarray]:
    nx, ny = sweep.instrument.image_size
    hot = np.zeros((ny, nx), bool)
    hot[tuple(sweep.instrument.hot_pixels.T)] = True
    arrays = {
        "hkl_all": sweep.structure.hkl.astype(np.int16),
        "I_all": sweep.structure.intensity,
        "frame_scale": sweep.frames.scale,
        "frame_B": sweep.frames.b_factor,
        "drift": sweep.frames.drift,
        "cell_exp": sweep.frames.expansion,
        "background": sweep.background,
        "bad": sweep.instrument.dead,
        "hot": hot,
    }
    for k, (lattice, photons) in enumerate(zip(sweep.lattices, statistics, strict=True)):
        r = lattice.reflections
        columns = {
            "U": lattice.U,
            "A": lattice.A,
            "frac": np.float64(lattice.fraction),
            "I_frac": np.float64(lattice.fraction),
            "hkl": r.hkl.astype(np.int16),
            "I_true": r.intensity,
            "lorentz": r.lorentz,
            "polarisation": r.polarisation,
            "qe": r.efficiency,
            "absorption": r.absorption,
            "d": r.d,
            "xy_pred": r.xy,
            "phi_pred": np.degrees(r.phi),
            "z_pred": r.z,
            "n_mean": r.photons,
            "n_all": photons.n_all.astype(np.float64),
            "n_live": photons.n_live.astype(np.float64),
            "xyz_photon_mean": photons.position,
            "var_e123": photons.variance,
            "zeta": r.zeta,
            "depth_mean": r.depth,
        }
        arrays.update({f"{column}_{k}": values for column, values in columns.items()})
    return arrays


def _models(name: str, sweep: Sweep, statistics: list[PhotonStatistics], params: SimulateParams) -> dict[str, Any]:
    i = sweep.instrument
    sigmas = effective_sigmas(statistics[0], sweep.lattices[0].reflections.zeta)
    sigma_b = float(np.sqrt(0.5 * (sigmas["e1"] ** 2 + sigmas["e2"] ** 2)))
    orthogonal = np.linalg.inv(sweep.lattices[0].U.T @ sweep.lattices[0].A)
    return {
        "name": name,
        "seed": sweep.seed,
        "params": {
            "cell_exp": params.crystal.expansion,
            "beamstop": params.detector.beamstop,
            "B_end": params.crystal.decay,
            "sigma_mos": params.crystal.mosaic_spread,
            "sigma_div": params.beam.divergence,
            "bandpass": params.beam.bandpass,
            "structure": sweep.structure.source,
            "parameters": to_dict(params),
        },
        "space_group": sweep.structure.group.xhm(),
        "cell": [float(v) for v in sweep.structure.cell],
        "B": np.linalg.inv(orthogonal).tolist(),
        "lattices": [{"U": x.U.tolist(), "A": x.A.tolist(), "fraction": x.fraction} for x in sweep.lattices],
        "wavelength": i.wavelength,
        "s0": (BEAM / i.wavelength).tolist(),
        "beam_direction_to_sample": BEAM.tolist(),
        "rotation_axis": ROTATION_AXIS.tolist(),
        "phi0_deg": float(np.degrees(sweep.frames.start)),
        "osc_deg": float(np.degrees(sweep.frames.width)),
        "nframes": len(sweep.frames),
        "detector": {
            "nx": i.image_size[0],
            "ny": i.image_size[1],
            "pixel_mm": i.pixel_size,
            "fast": i.fast.tolist(),
            "slow": i.slow.tolist(),
            "origin": i.origin.tolist(),
            "distance_along_beam": i.distance,
            "beam_centre_px": i.beam_centre.tolist(),
            "thickness_mm": i.thickness,
            "mu_per_mm": i.mu,
            "n_dead": int((i.blank == i.blank.min()).sum()) if i.dead.any() else 0,
            "n_hot": len(i.hot_pixels),
        },
        "header": {"distance": i.header_distance, "beam_centre_px": i.header_beam_centre.tolist()},
        "polarisation_fraction": params.beam.polarization_fraction,
        "polarisation_plane_normal": POLARISATION_NORMAL.tolist(),
        "sigma_input_deg": {"mosaic": params.crystal.mosaic_spread, "divergence": params.beam.divergence},
        "sigma_effective_deg": {
            **sigmas,
            "note": "rms over reflections with >100 photons and |zeta|>0.3 of the photon spread in Kabsch coordinates",
            "sigma_b": sigma_b,
            "sigma_m": sigmas["e3"],
            "pixel_sigma": float(np.degrees(i.pixel_size / np.sqrt(12) / i.distance)),
        },
        "n_reflections": [len(x.reflections) for x in sweep.lattices],
    }
