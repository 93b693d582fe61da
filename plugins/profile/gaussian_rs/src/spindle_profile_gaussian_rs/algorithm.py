"""The gaussian_rs profile model: Gaussian spots in Kabsch's frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.profile import ForegroundMasks, ProfileSummary
from spindle.errors import UserError
from spindle.params import Auto, Bool, Choice, Float, Int
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import Flag
from spindle_lib_rocking import rocking_width, still_partiality

from .fitter import EXTENT, PixelFitter
from .geometry import SpotGeometry, growth
from .grid_fitter import GridFitter
from .kernels import bounding_boxes, foreground_masks, recorded_fractions
from .samplers import make_sampler
from .sigma import estimate_sigma_b, estimate_sigma_m, estimate_widths
from .varying import varying_sigmas

if TYPE_CHECKING:
    from spindle.contracts.profile import ProfileFitter
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

LEAST_SPOTS = 10
MAX_SIGMA_DEG = 5.0
BORDER_PIXELS = 2


class GaussianRsProfile(Algorithm):
    """Spots as Gaussians in Kabsch's frame, with reference profiles learned from the strong ones."""

    citations = (
        Citation(
            "Kabsch, W.",
            2010,
            "Integration, scaling, space-group assignment and post-refinement",
            "Acta Cryst. D",
            "66",
            "133-144",
            "10.1107/S0907444909047374",
        ),
    )

    class Params(ParamsBase):
        """Gaussian model of spots in the local frame of each diffracted beam (Kabsch 2010)."""

        scan_varying = Bool(
            False, help="Estimate widths for every image: those of blocks of 150 spots, interpolated and smoothed."
        )

        class min_spots(ParamsBase):
            """With fewer spots than both numbers the model is called poor; below 10 spots there is none."""

            overall = Int(50, min=0, help="Spots in all.")
            per_degree = Int(20, min=0, help="Spots per degree of rotation.")

        widths = Choice(
            ["anisotropic", "isotropic", "dials"],
            "anisotropic",
            help="Widths of spots across the detector. anisotropic: one for each of the directions e1 and e2, without the pixel, growing "
            "with the diffraction angle as a mosaic crystal's do. isotropic: one width, without the pixel. dials: the root mean square "
            "distance of counts from the predicted beam as DIALS takes it, boxes and foreground as there.",
        )
        sigma_m_algorithm = Choice(
            ["basic", "extended"],
            "extended",
            help="Likelihood for the reflecting range: by images on which a spot was seen, or by the counts on them.",
        )
        centroid_definition = Choice(
            ["com", "s1"], "s1", help="Centre of a spot: its observed centre of mass or the predicted beam."
        )

        class parameters(ParamsBase):
            """The model itself."""

            n_sigma = Float(3.0, min=0, max=20, help="Radius of the foreground in standard deviations.")
            sigma_b = Float(
                None,
                min=0,
                max=10,
                units="degrees",
                help="Width across the detector, instead of an estimate; give sigma_m too.",
            )
            sigma_m = Float(
                None,
                min=0,
                max=60,
                units="degrees",
                help="Width along the rotation, instead of an estimate; give sigma_b too.",
            )

        class filter(ParamsBase):
            """Spots for the estimate."""

            min_zeta = Float(0.05, min=0, max=1, help="Least |zeta|: spots closer to the rotation axis are left out.")

        class fitting(ParamsBase):
            """Reference profiles and fits."""

            scan_step = Float(
                5.0, min=0.01, units="degrees", help="Rotation that one set of reference profiles stands for."
            )
            grid_size = Int(5, min=2, max=20, help="A reference profile has 2 grid_size + 1 points in each direction.")
            threshold = Float(
                0.0,
                min=0,
                max=0.5,
                level=1,
                help="Cut reference profiles off below this share of their highest value; what is left has the sum 1. Fits lose what lies "
                "beyond, so that strong and weak spots alike are low or high by that. In DIALS its 0.02 has no effect.",
            )
            grid_method = Choice(
                ["single", "regular_grid", "circular_grid", "spherical_grid"],
                "regular_grid",
                help="Where reference profiles stand: one for all; 3 x 3 on the panel; one in its middle and eight around it; one about "
                "the beam and eight around it on the sphere of directions, for any number of panels. With the others "
                "detectors of several panels have one.",
            )
            fit_method = Choice(
                ["reciprocal_space", "detector_space"],
                "detector_space",
                help="detector_space: profiles finer than a pixel, fitted to the pixels. reciprocal_space: pixels are spread over the "
                "grid of the reference profile and fitted there.",
            )

            weights = Choice(
                ["expected", "dials"],
                "expected",
                help="Variances of pixels in the fit. expected: background plus the intensity to be expected, so that weights do not "
                "follow the noise, and sigmas from the weights themselves. dials: background plus the iterated estimate, and sigma^2 = "
                "|I| + background under the profile.",
            )

            tails = Bool(
                True,
                level=1,
                help="Learn from strong spots what part of their photons the detector spreads beyond the foreground, and divide sums and "
                "fits by what is left. Nothing is done where it is less than half a percent. With fit_method=detector_space only.",
            )

            class detector_space(ParamsBase):
                """Fits in detector space."""

                deconvolution = Bool(
                    Auto,
                    help="Fit spots that share pixels together, along the rotation, too, and take neighbours off summed counts. Auto "
                    "is True with fit_method=detector_space.",
                )

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        p = self.params
        if p.fitting.detector_space.deconvolution is True and p.fitting.fit_method != "detector_space":
            raise UserError(
                "profile.gaussian_rs.fitting.detector_space.deconvolution=True needs fitting.fit_method=detector_space"
            )
        if (p.parameters.sigma_b is None) != (p.parameters.sigma_m is None):
            raise UserError("profile.gaussian_rs.parameters: give both sigma_b and sigma_m, or neither")

    def _log(self, message: str, *values: Any) -> None:
        if self.context is not None:
            self.context.log.info(message, *values)

    @hookimpl
    def estimate_profiles(self, experiments: Experiments, reflections: ReflectionTable) -> list[dict[str, Any]]:
        """Widths from the pixels of strong spots."""
        p = self.params
        if p.parameters.sigma_b is not None:
            if not (p.parameters.sigma_b > 0 and p.parameters.sigma_m > 0):
                raise UserError("profile.gaussian_rs.parameters: sigma_b and sigma_m must be positive")
            return [self._model(p.parameters.sigma_b, p.parameters.sigma_m) for _ in experiments]
        if "shoebox" not in reflections:
            raise UserError(
                "profile.gaussian_rs: the reflections have no shoeboxes, from which the widths of spots are estimated; use reflections "
                "that went through find_spots, index and refine with their shoeboxes, or give profile.gaussian_rs.parameters.sigma_b "
                "and sigma_m, or create_profile_model=False for the model in the experiments"
            )
        rows, none = reflections.rows_by_experiment(), np.zeros(0, np.int64)
        return [self._estimate(experiments, i, reflections.select(rows.get(i, none))) for i in range(len(experiments))]

    def _model(self, sigma_b: float, sigma_m: float) -> dict[str, Any]:
        return {
            "__id__": "gaussian_rs",
            "n_sigma": float(self.params.parameters.n_sigma),
            "sigma_b": sigma_b,
            "sigma_m": sigma_m,
        }

    def _estimate(self, experiments: Experiments, index: int, spots: ReflectionTable) -> dict[str, Any]:
        p = self.params
        experiment = experiments[index]
        n = len(spots)
        scan = None if experiment.is_still else experiment.known_scan
        degrees = 0.0 if scan is None else abs(scan.oscillation_deg[1]) * scan.n_images
        if n < LEAST_SPOTS:
            raise UserError(
                f"profile.gaussian_rs: {n} reference spots for experiment {index}, at least {LEAST_SPOTS} are needed to measure their "
                "widths; find and index more spots, or give profile.gaussian_rs.parameters.sigma_b= and sigma_m= (degrees)"
            )
        if n < p.min_spots.overall and (degrees == 0 or n / degrees < p.min_spots.per_degree):
            self._log(
                " Only %d reference spots for experiment %d (min_spots.overall=%d, per_degree=%d): the profile model is poor; "
                "reference profiles lean on the Gaussian shape",
                n,
                index,
                p.min_spots.overall,
                p.min_spots.per_degree,
            )
        geometry = SpotGeometry(experiments)
        if p.centroid_definition == "com":
            spots = spots.view()
            lab = experiment.detector.lab_coordinate_of_pixel(
                spots["panel"].astype(np.int64), spots["xyzobs.px.value"][:, :2]
            )
            spots["s1"] = lab / np.linalg.norm(lab, axis=1)[:, None] / experiment.beam.wavelength
            spots["xyzcal.px"] = spots["xyzobs.px.value"]
        frames = geometry.unit_frames(spots)
        boxes = spots["shoebox"]
        edges = geometry.pixel_edges(frames, spots["xyzcal.px"])
        pixels = (boxes.bbox, boxes.offsets, boxes.data, boxes.mask)
        definition = "radial" if p.widths == "dials" else "deconvolved"
        zeta, z = geometry.zeta(spots), spots["xyzcal.px"][:, 2]
        near = np.abs(zeta) >= p.filter.min_zeta

        def sigmas(rows: np.ndarray) -> tuple[float, float]:
            some = boxes if len(rows) == n else boxes.select(rows)
            sigma_b = estimate_sigma_b(
                frames[rows], some.bbox, some.offsets, some.data, some.mask, np.sqrt(np.mean(edges[rows] ** 2, axis=1)), definition
            )  # fmt: skip
            if scan is None:
                return math.degrees(sigma_b), 0.0
            far = rows[near[rows]]
            kept = boxes.select(far)
            kappa = np.ascontiguousarray(zeta[far] * scan.oscillation[1])
            sigma_m = estimate_sigma_m(
                kappa, np.ascontiguousarray(z[far]), kept.bbox, kept.offsets, kept.data, kept.mask, p.sigma_m_algorithm
            )
            return math.degrees(sigma_b), math.degrees(sigma_m)

        model = self._model(*sigmas(np.arange(n)))
        if p.scan_varying and scan is not None:
            b, m = varying_sigmas(z, scan.array_range, sigmas)
            model["sigma_b"], model["sigma_m"] = b.tolist(), m.tolist()
        if p.widths == "anisotropic":
            s0 = geometry.incident(experiment, spots["xyzcal.px"][:, 2])
            grown = growth(experiment, spots["s1"], s0)
            widths = np.degrees(estimate_widths(frames, *pixels, edges, grown))
            model["sigma_e1"], model["sigma_e2"] = widths[0].tolist(), widths[1].tolist()
            typical = widths[:, 0] ** 2 + widths[:, 1] ** 2 * np.median(grown, axis=0)
            # the typical width; of a scan-varying model sigma_b says how widths change
            old = np.asarray(model["sigma_b"], np.float64)
            model["sigma_b"] = (old * np.sqrt(np.mean(typical) / np.mean(old**2))).tolist()
        for name in ("sigma_b", "sigma_m"):
            values = np.asarray(model[name])
            varies = f", {values.min():.6f} to {values.max():.6f} during the scan" if values.ndim else ""
            self._log(" %s: %.6f degrees%s", name.replace("_", " "), float(values.mean()), varies)
        if "sigma_e1" in model:
            self._log(
                " spots are sqrt(%.4f^2 + (%.4f t)^2) degrees wide along e1 and sqrt(%.4f^2 + (%.4f t)^2) along e2, t about 2 sin theta",
                *model["sigma_e1"],
                *model["sigma_e2"],
            )
        return model

    def _n_sigma(self, experiments: Experiments) -> float:
        """Radius of the foreground; one for all experiments."""
        return float((experiments[0].profile or {}).get("n_sigma", self.params.parameters.n_sigma))

    @hookimpl
    def bounding_boxes(self, experiments: Experiments, reflections: ReflectionTable, border: float) -> np.ndarray:
        """Boxes of ``border`` times the foreground across the detector, of the foreground along the rotation."""
        frames, kz = SpotGeometry(experiments).frames(reflections)
        z = np.ascontiguousarray(reflections["xyzcal.px"][:, 2])
        first, last = np.zeros(len(z), np.int64), np.ones(len(z), np.int64)
        for i, rows in reflections.rows_by_experiment().items():
            experiment = experiments[i]
            if experiment.scan is not None:
                first[rows], last[rows] = experiment.scan.array_range
        n_sigma = self._n_sigma(experiments)
        boxes = bounding_boxes(frames, kz, z, n_sigma * border, n_sigma, first, last)
        if self.params.widths != "dials":
            # room for background around spots of the size of a pixel
            inner = bounding_boxes(frames, kz, z, n_sigma * EXTENT, n_sigma, first, last)
            hit = boxes[:, 1] > boxes[:, 0]
            for k, shift in ((0, -BORDER_PIXELS), (1, BORDER_PIXELS), (2, -BORDER_PIXELS), (3, BORDER_PIXELS)):
                join = np.minimum if shift < 0 else np.maximum
                boxes[hit, k] = join(boxes[hit, k], inner[hit, k] + shift)
        return boxes

    @hookimpl
    def foreground(self, experiments: Experiments, reflections: ReflectionTable, bbox: np.ndarray) -> ForegroundMasks:
        """Pixels with a corner within n_sigma widths of the predicted beam; beyond them a halo that is not background."""
        frames, _ = SpotGeometry(experiments).frames(reflections)
        n_sigma = self._n_sigma(experiments)
        halo = 0.0 if self.params.widths == "dials" else EXTENT * n_sigma
        offsets = ForegroundMasks.offsets_of(bbox)
        return ForegroundMasks(offsets, foreground_masks(frames, bbox, offsets, n_sigma, halo))

    @hookimpl
    def partiality(self, experiments: Experiments, reflections: ReflectionTable, bbox: np.ndarray) -> np.ndarray:
        """Share of the Gaussian rocking curve within the box; of stills its height where the crystal stands, relative to its top."""
        geometry = SpotGeometry(experiments)
        kz = geometry.per_image(reflections)
        z = np.ascontiguousarray(reflections["xyzcal.px"][:, 2])
        found = recorded_fractions(kz, z, bbox[:, 4].astype(np.float64), bbox[:, 5].astype(np.float64))
        if "delpsical.rad" in reflections:
            for i, rows in reflections.rows_by_experiment().items():
                if experiments[i].is_still:
                    sigma = float(geometry.sigma(i, "sigma_m", z[:1])[0])
                    found[rows] = still_partiality(reflections["delpsical.rad"][rows], sigma)
        return found

    @hookimpl
    def learn_partiality(self, experiments: Experiments, reflections: ReflectionTable) -> list[dict[str, Any]]:
        """Stills get the width of their rocking curve as sigma_m, unless it is given or their reflections are too few."""
        models = [dict(e.profile or {}) for e in experiments]
        if self.params.parameters.sigma_m is not None:
            return models
        summed = reflections.has_flags(Flag.INTEGRATED_SUM)
        for i, rows in reflections.rows_by_experiment().items():
            if not experiments[i].is_still:
                continue
            t = reflections.select(rows[summed[rows]])
            correction = t["lp"] / t.get("qe", 1.0)
            width = rocking_width(
                t["delpsical.rad"], t["d"], correction, t["intensity.sum.value"], t["intensity.sum.variance"]
            )
            if width is not None:
                models[i]["sigma_m"] = math.degrees(width)
        return models

    @hookimpl
    def describe_model(self, model: dict[str, Any]) -> ProfileSummary:
        """Widths of the model, and those that no crystal has."""
        widths: dict[str, np.ndarray] = {
            name: np.asarray(model[name], np.float64) for name in ("sigma_b", "sigma_m") if name in model
        }
        wide = [
            f"{name} of the profile is {values.max():.2f} degrees, more than any crystal's ({MAX_SIGMA_DEG:g})"
            for name, values in widths.items()
            if values.size and values.max() > MAX_SIGMA_DEG
        ]
        means = {name: float(values.mean()) for name, values in widths.items()}
        return ProfileSummary(means, " and ".join(wide), means, _table(model, widths))

    @hookimpl
    def make_fitter(self, experiments: Experiments) -> ProfileFitter | None:
        """The fitter of ``fitting.fit_method``; None for stills."""
        for experiment in experiments:
            if experiment.is_still or np.any(np.asarray((experiment.profile or {})["sigma_m"]) <= 0):
                return None
        fitting = self.params.fitting
        samplers = [make_sampler(fitting.grid_method, e, fitting.scan_step) for e in experiments]
        as_dials = fitting.weights == "dials"
        arguments = (SpotGeometry(experiments), samplers, self._n_sigma(experiments), fitting.grid_size, as_dials)
        if fitting.fit_method == "reciprocal_space":
            return GridFitter(*arguments, threshold=fitting.threshold)
        together = fitting.detector_space.deconvolution is not False
        return PixelFitter(
            *arguments, deconvolution=together, tails=fitting.tails and not as_dials, threshold=fitting.threshold
        )


def _table(model: dict[str, Any], widths: dict[str, np.ndarray]) -> Table:
    """The model for a person to read: radii of the foreground and in brackets the widths, degrees."""
    n_sigma = float(model.get("n_sigma", 3.0))
    rows = []
    for name, values in widths.items():
        mean = float(values.mean())
        text = f"{n_sigma * mean:.6f} ({mean:.6f})"
        if values.size > 1:
            text += f", from {values.min():.6f} to {values.max():.6f} over {values.size} points"
        rows.append([f"{name.replace('sigma', 'delta')} ({name})", text])
    rows += [[k, str(v)] for k, v in model.items() if k not in ("__id__", "n_sigma", *widths)]
    return Table("Profile model", ["", "value"], rows, "profile_model")
