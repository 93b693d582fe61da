"""What was simulated, in two files: truth.json (models) and truth.npz (per reflection, image and pixel)."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from spindle.files import atomic_write
from spindle.params import to_dict

from .instrument import POLARISATION_NORMAL, Instrument
from .kernels import OPEN
from .names import SweepFiles
from .params import SimulateParams
from .reflections import Reflections
from .render import PhotonStatistics
from .scene import Sweep
from .settings import BEAM

__all__ = ["effective_sigmas", "write_truth"]


def effective_sigmas(statistics: PhotonStatistics, zeta: np.ndarray) -> dict[str, float]:
    """Rms spread of the photons along e1, e2, e3 in deg, over reflections with > 100 photons and |zeta| > 0.3."""
    good = (statistics.n_all > 100) & (np.abs(zeta) > 0.3)
    if not good.any():
        return {"e1": 0.0, "e2": 0.0, "e3": 0.0}
    e1, e2, e3 = np.degrees(np.sqrt(statistics.variance[good].mean(axis=0)))
    return {"e1": float(e1), "e2": float(e2), "e3": float(e3)}


def write_truth(
    files: SweepFiles, sweep: Sweep, statistics: list[PhotonStatistics], zingers: np.ndarray, params: SimulateParams
) -> None:
    """Write truth.json and truth.npz into the folder of the truth.

    Notes
    -----
    Arrays of lattice k end in ``_k``: hkl, I_true (|F|^2, photons before all factors), lorentz, polarisation, qe
    (fraction of photons that the sensor stops), absorption, support (share that tape and anvils let through), d, panel, xy_pred (px of that panel, front of the sensor),
    phi_pred (deg), z_pred (images from the first), n_mean (expected photons at beam scale 1: the product of I_true, the
    factors and frac), n_all, n_live (photons drawn, photons counted), xyz_photon_mean (px of the panel, px, images),
    var_e123 (rad^2), zeta, depth_mean (mm along the ray). frame_scale, frame_B, drift (rad, in the frame of the crystal
    at rotation angle 0), cell_exp, beam_drift (px along fast and slow) belong to images; background (photons), bad, hot, shadow to pixels.
    Where the images are stills (``stills`` in truth.json), U_k and A_k are (n_images, 3, 3), in the laboratory, and there are for each
    reflection image_k (from 0), turn_k (rad about e1 to the Ewald sphere), rocking_k (rad, standard deviation of the turns at which rays
    and blocks diffract) and partiality_k, a factor of n_mean; volume_k belongs to images.
    zingers are image (from 0), y, x and counts of pixels that stray particles hit.

    rotation_axis, phi0_deg and osc_deg describe a rotation with a positive width, about the opposite axis where the
    goniometer turns backwards. goniometer has the axes from the crystal to the base with their settings: A of a lattice
    is that with all of them at zero. panels has the frame of each panel in this sweep, two_theta included, true and as
    the headers have it; detector repeats the first. n_header_panels is 1 where the headers have one panel for all of them. Images are named from the folder of truth.json; null is one that was
    not written.
    """
    with atomic_write(files.truth / "truth.npz") as temporary, open(temporary, "wb") as stream:
        np.savez(stream, allow_pickle=False, zingers=zingers, **_arrays(sweep, statistics))
    with atomic_write(files.truth / "truth.json") as temporary:
        temporary.write_text(json.dumps(_models(files, sweep, statistics, params), indent=1))


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
        "beam_drift": sweep.frames.shift,
        "background": sweep.background,
        "bad": sweep.instrument.dead,
        "hot": hot,
        "shadow": (sweep.instrument.pixel_state & OPEN) == 0,
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
            "support": r.support,
            "d": r.d,
            "panel": r.panel.astype(np.int32),
            "xy_pred": r.xy,
            "phi_pred": np.degrees(r.phi),
            "z_pred": r.z,
            "n_mean": _expected(r, sweep),
            "n_all": photons.n_all.astype(np.float64),
            "n_live": photons.n_live.astype(np.float64),
            "xyz_photon_mean": photons.position,
            "var_e123": photons.variance,
            "zeta": r.zeta,
            "depth_mean": r.depth,
        }
        if lattice.stills is not None:
            s = lattice.stills
            columns["n_mean"] = columns["n_mean"] * s.partiality
            columns.update(image=s.image, turn=s.turn, rocking=s.rocking, partiality=s.partiality, volume=s.volume)
        arrays.update({f"{column}_{k}": values for column, values in columns.items()})
    return arrays


def _expected(reflections: Reflections, sweep: Sweep) -> np.ndarray:
    """(n,): photons at beam scale 1, with what a tape stops taken off."""
    tape = sweep.supports.tape
    return reflections.photons if tape is None else reflections.photons * tape.transmission(reflections.s1)


def _models(
    files: SweepFiles, sweep: Sweep, statistics: list[PhotonStatistics], params: SimulateParams
) -> dict[str, Any]:
    i, settings = sweep.instrument, sweep.settings
    fast, slow, origin = i.panels.frames[0]
    response = i.response
    sigmas = effective_sigmas(statistics[0], sweep.lattices[0].reflections.zeta)
    sigma_b = float(np.sqrt(0.5 * (sigmas["e1"] ** 2 + sigmas["e2"] ** 2)))
    one = sweep.lattices[0]
    U, A = (one.U, one.A) if one.stills is None else (one.U[0], one.A[0])
    orthogonal = np.linalg.inv(U.T @ A)
    return {
        "name": params.output.prefix,
        "stills": params.scan.stills,
        "images": [None if p is None else os.path.relpath(p, files.truth) for p in files.images],
        "first_image": settings.first_image,
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
        "wilson_b": sweep.structure.wilson_b(),
        "B": np.linalg.inv(orthogonal).tolist(),
        "lattices": [
            {"U": x.U.tolist(), "A": x.A.tolist(), "fraction": x.fraction, "crystal": x.crystal} for x in sweep.lattices
        ],
        "wavelength": i.wavelength,
        "probe": settings.probe,
        "s0": (BEAM / i.wavelength).tolist(),
        "beam_direction_to_sample": BEAM.tolist(),
        "rotation_axis": sweep.frames.axis.tolist(),
        "goniometer": {
            "names": list(settings.rotation.names),
            "axes": settings.rotation.axes.tolist(),
            "angles_deg": settings.rotation.angles.tolist(),
            "scan_axis": settings.rotation.scan_axis,
            "oscillation_deg": [settings.start, settings.oscillation],
            "fixed_rotation": settings.rotation.fixed.tolist(),
            "setting_rotation": settings.rotation.setting.tolist(),
        },
        "phi0_deg": float(np.degrees(sweep.frames.start)),
        "osc_deg": float(np.degrees(sweep.frames.width)),
        "nframes": len(sweep.frames),
        "detector": {
            "nx": i.image_size[0],
            "ny": i.image_size[1],
            "pixel_mm": i.panels.pixel_size,
            "fast": fast.tolist(),
            "slow": slow.tolist(),
            "origin": origin.tolist(),
            "distance_along_beam": i.distance,
            "beam_centre_px": i.canvas.centre.tolist(),
            "two_theta_deg": i.two_theta,
            "two_theta_axis": i.two_theta_axis.tolist(),
            "thickness_mm": i.thickness,
            "mu_per_mm": i.mu,
            "n_dead": i.n_dead,
            "n_hot": len(i.hot_pixels),
            "gain": response.gain,
            "offset": response.offset,
            "read_noise": response.noise,
            "point_spread": list(response.point_spread),
            "trusted_range": [response.lowest, response.cutoff],
        },
        "panels": _panels(i),
        "n_header_panels": len(i.header_panels),
        "header": {"distance": i.header_distance, "beam_centre_px": i.header_beam_centre.tolist()},
        "polarisation_fraction": params.beam.polarization_fraction,
        "polarisation_plane_normal": POLARISATION_NORMAL.tolist(),
        "sigma_input_deg": {"mosaic": params.crystal.mosaic_spread, "divergence": params.beam.divergence},
        "sigma_effective_deg": {
            **sigmas,
            "note": "rms over reflections with >100 photons and |zeta|>0.3 of the photon spread in Kabsch coordinates",
            "sigma_b": sigma_b,
            "sigma_m": sigmas["e3"],
            "pixel_sigma": float(np.degrees(i.panels.pixel_size / np.sqrt(12) / i.distance)),
        },
        "n_reflections": [len(x.reflections) for x in sweep.lattices],
    }


def _panels(instrument: Instrument) -> list[dict[str, Any]]:
    """Each panel: its part of the image, its frame, and its frame according to the headers.

    Headers that have one panel for all say where it is, and not where its parts are.
    """
    p, header = instrument.panels, instrument.header_panels
    known = header.frames
    if len(header) < len(p):
        first = p.pixel_size * p.offset[:, :, None] * header.frames[0, :2]
        known = np.repeat(header.frames, len(p), axis=0)
        known[:, 2] += first.sum(axis=1)
    keys = ("fast", "slow", "origin")
    return [
        {
            "name": p.names[k],
            "first_pixel": p.offset[k].tolist(),
            "size": p.size[k].tolist(),
            **dict(zip(keys, p.frames[k].tolist(), strict=True)),
            "header": dict(zip(keys, known[k].tolist(), strict=True)),
        }
        for k in range(len(p))
    ]
