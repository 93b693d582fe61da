"""The class `EllipsoidProfile`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import chdtri, ndtr

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.profile import ForegroundMasks, ProfileSummary, predict_rotation
from spindle.contracts.profile_fitter import ProfileFitter
from spindle.errors import UserError
from spindle.models import Experiment, Experiments
from spindle.prediction import predict_still
from spindle.report import Table
from spindle.table import Flag, ReflectionTable, Shoeboxes
from spindle_lib_rocking import rescaled_spreads

from .fitter import EllipsoidFitter
from .geometry import Model, pixel_steps, points_of, rays_of_pixels, seen, spread
from .kernels import ellipse_masks
from .likelihood import Spots, fit_model, weighted, without_outliers
from .models import model_of, written
from .moments import spots_of, true_points
from .mosaicity import MODELS
from .params import EllipsoidParams

BORDER_PIXELS = 2.0
HALO = 1.4  # radii of the foreground: where tails of a spot are no background
BAD_INDEX = 0.3
FARTHEST = 1e6  # pixels


class EllipsoidProfile(Algorithm):
    """Reciprocal-lattice points as normal distributions in three dimensions, on stills and of crystals that turn."""

    citations = (
        Citation(
            "Nave, C.", 1998, "A description of imperfections in protein crystals", "Acta Cryst. D", "54", "848-853"
        ),
    )

    Params = EllipsoidParams

    # -- estimate
    # -------------------------------------------------------------------------------------------------------------------

    @hookimpl
    def estimate_profiles(self, experiments: Experiments, reflections: ReflectionTable) -> list[dict[str, Any]]:
        """The most likely distributions, given the positions and shapes of strong spots, and the images they are on."""
        if "shoebox" not in reflections:
            raise UserError(
                "profile.ellipsoid: the reflections have no shoeboxes, from which shapes are measured; use reflections that went through "
                "find_spots, index and refine with their shoeboxes, or create_profile_model=False for the model in the experiments"
            )
        rows, none = reflections.rows_by_experiment(), np.zeros(0, np.int64)
        return [self._estimate(e, i, reflections.select(rows.get(i, none))) for i, e in enumerate(experiments)]

    def _estimate(self, experiment: Experiment, index: int, spots: ReflectionTable) -> dict[str, Any]:
        p = self.params.refinement
        mosaicity = MODELS[self.params.rlp_mosaicity.model]
        fewest = max(p.min_n_reflections, mosaicity.n_parameters + 3)
        chosen = self._chosen(experiment, index, spots)
        if len(chosen) < fewest:
            raise UserError(
                f"profile.ellipsoid: {len(spots)} reference spots for experiment {index}, {len(chosen)} of them within "
                f"{p.max_separation:g} pixels of their predictions; at least {fewest} are needed for the model {mosaicity.name}: find and "
                "index more spots, or choose a model with fewer parameters, profile.ellipsoid.rlp_mosaicity.model=simple1"
            )
        model, n = None, 0
        keep = np.ones(len(chosen), np.bool_)
        for _ in range(p.n_macro_cycles):
            model = self._fitted(chosen.select(keep), model)
            inside = without_outliers(chosen, model, p.outlier_probability)
            if np.count_nonzero(inside) < fewest:
                break
            keep = inside
            model = self._fitted(chosen.select(keep), model)
        n = int(np.count_nonzero(keep))
        assert model is not None
        return {**written(model), "n_obs": n}

    def _fitted(self, spots: Spots, start: Model | None) -> Model:
        p = self.params.refinement
        # the limit is for what is found, not for the search
        return fit_model(
            MODELS[self.params.rlp_mosaicity.model], weighted(spots), start, p.max_iter, p.LL_tolerance,
            10 * p.mosaicity_max_limit,
        )[0]  # fmt: skip

    def _chosen(self, experiment: Experiment, index: int, table: ReflectionTable) -> Spots:
        """Strong spots that are near their predictions, with their moments."""
        away = np.linalg.norm(table["xyzobs.px.value"][:, :2] - table["xyzcal.px"][:, :2], axis=1)
        keep = away <= self.params.refinement.max_separation
        if experiment.is_still and len(table):
            beside = np.abs(true_points(experiment, table) - table["miller_index"]).max(axis=1)
            wrong = beside > BAD_INDEX
            if wrong.any() and self.params.indexing.fail_on_bad_index:
                first = int(np.argmax(wrong))
                raise UserError(
                    f"profile.ellipsoid: the strong spot {table['miller_index'][first].tolist()} of experiment {index} lies "
                    f"{beside[first]:.2f} from its index (indexing.fail_on_bad_index=True)"
                )
            keep &= ~wrong
        table = table.select(np.flatnonzero(keep))
        boxes = table["shoebox"]
        flat = Shoeboxes(
            panel=boxes.panel, bbox=boxes.bbox, offsets=boxes.offsets, data=boxes.data, mask=boxes.mask,
            background=np.zeros_like(boxes.data),
        )  # fmt: skip
        return spots_of(experiment, table, flat, whole=False)[0]

    # -- where and what
    # -------------------------------------------------------------------------------------------------------------------

    def _radius(self, dimensions: int) -> float:
        """Standard deviations within which the wanted part of a normal distribution of so many dimensions lies."""
        return math.sqrt(chdtri(dimensions, 1.0 - self.params.prediction.probability))

    @hookimpl
    def predict_reflections(
        self, experiments: Experiments, d_min: float | None, d_max: float | None, padding: float, force_static: bool
    ) -> ReflectionTable:
        """Points of stills of which enough is on the Ewald sphere; the host's prediction for crystals that turn."""
        parts = []
        for i, experiment in enumerate(experiments):
            one = Experiments([experiment])
            known = (experiment.profile or {}).get("__id__") == "ellipsoid"
            if not experiment.is_still or not known:
                part = predict_rotation(one, d_min, d_max, padding, force_static)
            else:
                part = self._predict_still(experiment, d_min, d_max)
            part["id"] = np.full(len(part), i, np.int32)
            part.identifiers = {}
            parts.append(part)
        return ReflectionTable.concatenate(parts)

    def _predict_still(self, experiment: Experiment, d_min: float | None, d_max: float | None) -> ReflectionTable:
        own = self.params.prediction.d_min
        if own is not None:
            d_min = own if d_min is None else max(own, d_min)
        model = model_of(experiment.profile or {})
        w, radius = model.widths, self._radius(1)
        # all that may be near enough, by the largest widths; the turn to the sphere is longer by 1 / cos theta
        size = math.sqrt(np.linalg.eigvalsh(w.fixed + w.shaped)[-1])
        turned = math.sqrt(np.linalg.eigvalsh(w.turning)[-1])
        crystal = experiment.known_crystal
        wide = {
            "ML_half_mosaicity_deg": math.degrees(2.0 * radius * turned),
            "ML_domain_size_ang": 1.0 / max(2.0 * radius * size, 1e-9),
        }
        candidate = replace(experiment, crystal=replace(crystal, extra={**crystal.extra, **wide}))
        table = predict_still(candidate, 0, d_min, d_max)
        points = points_of(experiment, table)
        s = spread(points, w)
        # of the whole distribution, wherever on the sphere, not of the line through its middle
        near = points.distance**2 < radius**2 * s[:, 2, 2]
        table, points, s = table.select(near), points.select(near), s[near]
        return _seen_at(experiment, table, points, seen(points, s).mean)

    @hookimpl
    def bounding_boxes(self, experiments: Experiments, reflections: ReflectionTable, border: float) -> np.ndarray:
        """Boxes of ``border`` times the foreground across the detector, at least two pixels beyond it; of the foreground along the rotation."""
        n = len(reflections)
        out = np.zeros((n, 6), np.int32)
        radius = self._radius(2)
        for i, rows in reflections.rows_by_experiment().items():
            experiment, table = experiments[i], reflections.select(rows)
            model, points = model_of(experiment.profile or {}), points_of(experiments[i], table)
            rays = rays_of_pixels(experiment, points, table)
            xyz = table["xyzcal.px"]
            found = model.seen(points)
            back = np.linalg.inv(pixel_steps(rays, xyz[:, :2]))
            covariance = back @ found.covariance @ back.transpose(0, 2, 1)
            half = radius * np.sqrt(np.einsum("nii->ni", covariance) + 1.0 / 12.0)
            half = np.maximum(border * half, HALO * half + (BORDER_PIXELS if border > 1 else 0.0))
            with np.errstate(invalid="ignore"):
                low, high = np.floor(xyz[:, :2] - half), np.ceil(xyz[:, :2] + half)
            good = (np.abs(low) < FARTHEST).all(axis=1) & (np.abs(high) < FARTHEST).all(axis=1)
            box = np.zeros((len(rows), 6))
            box[good, 0:4:2], box[good, 1:4:2] = low[good], high[good]
            box[:, 4], box[:, 5] = self._images(experiment, points.velocity[:, 2], found.normal, xyz[:, 2])
            out[rows] = box.astype(np.int32)
        return out

    def _images(
        self, experiment: Experiment, velocity: np.ndarray, normal: np.ndarray, z: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """First and last image, half open."""
        scan = experiment.scan
        first, last = (0, 1) if scan is None else scan.array_range
        if scan is None or experiment.is_still:
            z0 = np.clip(np.floor(z), first, last - 1)
            return z0, z0 + 1
        steps = np.maximum(np.abs(velocity * scan.oscillation[1]), 1e-12)
        half = np.minimum(self._radius(1) * np.sqrt(normal) / steps, 1e8)
        z0 = np.clip(np.floor(z - half), first, last - 1)
        return z0, np.maximum(np.clip(np.ceil(z + half), first + 1, last), z0 + 1)

    @hookimpl
    def foreground(self, experiments: Experiments, reflections: ReflectionTable, bbox: np.ndarray) -> ForegroundMasks:
        """Pixels with a corner inside the ellipse of the wanted part of the distribution; beyond it a halo that is not background."""
        offsets = ForegroundMasks.offsets_of(bbox)
        inside = np.zeros(int(offsets[-1]), np.uint8)
        near = self._radius(2) ** 2
        for i, rows in reflections.rows_by_experiment().items():
            experiment, table = experiments[i], reflections.select(rows)
            points = points_of(experiment, table)
            rays = rays_of_pixels(experiment, points, table)
            found = model_of(experiment.profile or {}).seen(points)
            steps = pixel_steps(rays, table["xyzcal.px"][:, :2])
            # a pixel has a width of its own, so that spots smaller than one have some
            covariance = found.covariance + steps @ steps.transpose(0, 2, 1) / 12.0
            inverse = np.linalg.inv(covariance).reshape(-1, 4)[:, [0, 1, 3]]
            boxes = np.ascontiguousarray(bbox[rows])
            own = ForegroundMasks.offsets_of(boxes)
            masks = ellipse_masks(
                rays, found.mean, np.ascontiguousarray(inverse), boxes, own, near, near * HALO**2
            )  # fmt: skip
            if len(rows) == len(reflections):
                return ForegroundMasks(offsets, masks)
            place = np.repeat(offsets[rows] - own[:-1], np.diff(own)) + np.arange(len(masks))
            inside[place] = masks
        return ForegroundMasks(offsets, inside)

    # -- how much
    # -------------------------------------------------------------------------------------------------------------------

    @hookimpl
    def partiality(self, experiments: Experiments, reflections: ReflectionTable, bbox: np.ndarray) -> np.ndarray:
        """Part of the distribution that crosses the sphere on the images of the box; of stills the density there, relative to its top."""
        out = np.ones(len(reflections))
        for i, rows in reflections.rows_by_experiment().items():
            experiment, table = experiments[i], reflections.select(rows)
            points = points_of(experiment, table)
            normal = spread(points, model_of(experiment.profile or {}).widths)[:, 2, 2]
            if experiment.is_still:
                out[rows] = np.exp(-0.5 * points.distance**2 / normal)
                continue
            steps = np.abs(points.velocity[:, 2] * experiment.known_scan.oscillation[1]) / np.sqrt(normal)
            z, boxes = table["xyzcal.px"][:, 2], bbox[rows].astype(np.float64)
            out[rows] = ndtr((boxes[:, 5] - z) * steps) - ndtr((boxes[:, 4] - z) * steps)
        return out

    @hookimpl
    def still_lorentz(self, experiments: Experiments, reflections: ReflectionTable) -> np.ndarray:
        """The top of the density of each point across the sphere, relative to that of a point as wide as the crystal's mean block makes it.

        It is 1 / sin 2 theta where blocks are turned and large, 1 where they are small and all turned alike.
        """
        out = np.ones(len(reflections))
        for i, rows in reflections.rows_by_experiment().items():
            experiment = experiments[i]
            widths = model_of(experiment.profile or {}).widths
            points = points_of(experiment, reflections.select(rows))
            normal = spread(points, widths)[:, 2, 2]
            k = 1.0 / experiment.beam.wavelength
            usual = np.trace(widths.fixed + widths.shaped) / 3.0 + k**2 * np.trace(widths.turning) / 2.0
            out[rows] = np.sqrt(usual / np.maximum(normal, 1e-300))
        return out

    @hookimpl
    def learn_partiality(self, experiments: Experiments, reflections: ReflectionTable) -> list[dict[str, Any]]:
        """Distributions of stills as wide across the sphere as all their intensities say, weak and missing ones included."""
        models = [dict(e.profile or {}) for e in experiments]
        lorentz = self.still_lorentz(experiments, reflections)
        summed = reflections.has_flags(Flag.INTEGRATED_SUM)
        for i, rows in reflections.rows_by_experiment().items():
            if not experiments[i].is_still:
                continue
            rows = rows[summed[rows]]
            if not len(rows):
                continue
            t, model = reflections.select(rows), model_of(models[i])
            points, w = points_of(experiments[i], t), model.widths
            nothing = np.zeros((3, 3))
            parts = [
                spread(points, replace(w, turning=nothing))[:, 2, 2],
                spread(points, replace(w, fixed=nothing, shaped=nothing))[:, 2, 2],
            ]
            has = [bool(np.any(part > 0)) for part in parts]
            factors = rescaled_spreads(
                points.distance, np.stack([p for p, h in zip(parts, has, strict=True) if h], axis=1), t["d"],
                t["lp"] / t.get("qe", 1.0) * lorentz[rows], t["intensity.sum.value"], t["intensity.sum.variance"],
            )  # fmt: skip
            if factors is None:
                continue
            each = iter(np.sqrt(factors))
            of_size, of_angle = (next(each) if h else 1.0 for h in has)
            parameters = model.parameters * np.where(model.mosaicity.angular, of_angle, of_size)
            changed = Model(model.mosaicity, parameters, 0.0, model.beam_share)
            # spots stay as wide as they are
            before, after = (float(np.mean(np.einsum("nii->n", m.seen(points).covariance))) for m in (model, changed))
            models[i].update(written(replace(changed, blur=math.sqrt(max(0.5 * (before - after), 0.0)))))
        return models

    @hookimpl
    def make_fitter(self, experiments: Experiments) -> ProfileFitter | None:
        """The fitter of normal distributions."""
        p = self.params.refinement
        return EllipsoidFitter(experiments, p.max_iter, p.LL_tolerance, 10 * p.mosaicity_max_limit)

    @hookimpl
    def describe_model(self, model: dict[str, Any]) -> ProfileSummary:
        """Principal widths of the model, and those that no crystal has."""
        found = model_of(model)
        numbers = found.mosaicity.described(found.parameters)
        limit, w = self.params.refinement.mosaicity_max_limit, found.widths
        widest = math.sqrt(np.linalg.eigvalsh(w.fixed + w.shaped)[-1])
        fault = ""
        if widest > limit:
            fault = (
                f"lattice points are {widest:.4f} per angstrom wide, more than refinement.mosaicity_max_limit={limit:g}"
            )
        elif math.degrees(math.sqrt(np.linalg.eigvalsh(w.turning)[-1])) > 5.0:
            fault = "blocks are turned against each other by more than 5 degrees, more than those of any crystal"
        degrees = {name: value for name, value in numbers.items() if name.endswith("_deg")}
        rows = [
            [n.removesuffix("_deg"), f"{v:.4f} {'degrees' if n in degrees else '1e-3/A'}"] for n, v in numbers.items()
        ]
        rows = [["model", found.mosaicity.name], *rows, ["blur", f"{1e3 * found.blur:.4f} 1e-3/A"]]
        return ProfileSummary(numbers, fault, degrees, Table("Profile model", ["", "value"], rows, "profile_model"))


def _seen_at(experiment: Experiment, table: ReflectionTable, points: Any, mean: np.ndarray) -> ReflectionTable:
    """Predictions moved to where the middles of distributions on the sphere are seen."""
    k = points.wave_number
    local = np.column_stack([mean, np.sqrt(np.maximum(k**2 - np.sum(mean**2, axis=1), 0.0))])
    s1 = np.einsum("nij,ni->nj", points.frame, local)
    panel = table["panel"].astype(np.int64)
    on_panel = np.einsum("nij,nj->ni", experiment.detector.geometry.D[panel], s1)
    good = on_panel[:, 2] > 0
    table, s1, on_panel, panel = table.select(good), s1[good], on_panel[good], panel[good]
    mm = on_panel[:, :2] / on_panel[:, 2:]
    table["s1"] = s1
    zeros = np.zeros(len(table))
    table["xyzcal.mm"] = np.column_stack([mm, zeros])
    table["xyzcal.px"] = np.column_stack([experiment.detector.mm_to_pixel(panel, mm), zeros])
    return table
