"""The array scaling model: factors at the points of grids, interpolated between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.scaling import Computed, Penalty, ScaleTerm, ScalingModel, ScalingObservations
from spindle.errors import ParameterError
from spindle.models import Experiment, Scan
from spindle.params import Bool, Float, Int, Strings
from spindle.params import Params as ParamsBase
from spindle_lib_physical_scaling import fixed_corrections

from .grids import Axis, grid_smoothness, grid_weights

TERMS = ("decay", "absorption", "modulation")


class ArrayScaling(Algorithm):
    """Factors on grids: of resolution and time (decay), of detector position and time (absorption), of detector position (modulation)."""

    scope = "array"

    class Params(ParamsBase):
        """The array model: smooth factors on grids of resolution, detector position and time."""

        decay_correction = Bool(True, help="Correct for decay: a factor that depends on resolution and time.", level=1)
        decay_interval = Float(20.0, min=0.1, units="degrees", help="Distance of the points along the scan.", level=1)
        n_resolution_bins = Int(10, min=1, max=1000, help="Intervals of 1/d^2 of the decay correction.", level=1)
        absorption_correction = Bool(
            True,
            help="Correct for absorption: a factor that depends on the position on the detector and time.",
            level=1,
        )
        n_absorption_bins = Int(
            3, min=1, max=100, help="Intervals of the absorption correction along each side of the detector.", level=1
        )
        modulation_correction = Bool(
            False,
            help="Correct for the response of the detector: a factor that depends on the position alone.",
            level=2,
        )
        n_modulation_bins = Int(
            20, min=1, max=1000, help="Intervals of the modulation correction along each side of the detector.", level=2
        )

        class correction(ParamsBase):
            """Which corrections to leave as they are."""

            fix = Strings(None, help="Corrections (decay, absorption, modulation) whose parameters stay as they are.")

    @hookimpl
    def build_scaling_model(
        self, experiment: Experiment, observations: ScalingObservations, existing: dict[str, Any] | None
    ) -> ScalingModel:
        """See `spindle.contracts.scaling.ScalingSpec`."""
        params = self.params
        if experiment.is_still:
            raise ParameterError("model=array describes a rotation scan; use model=KB for stills")
        fixed = fixed_corrections(params.correction.fix, TERMS, self.scope)
        wanted = {name: getattr(params, f"{name}_correction") for name in TERMS}
        if not any(wanted.values()):
            raise ParameterError(
                "array: decay_correction, absorption_correction and modulation_correction are all False, so that nothing is left to "
                "scale; turn one on, or take model=KB"
            )
        scan = experiment.known_scan
        setting = (existing or {}).get("configuration_parameters", {})
        start, width = scan.oscillation_deg
        configuration: dict[str, Any] = {
            "corrections": [n for n in TERMS if wanted[n]],
            "valid_osc_range": [start, start + width * scan.n_images], "valid_image_range": list(scan.image_range),
        }  # fmt: skip
        time, place = _time_axis(scan, params.decay_interval, setting), np.clip(observations.image, *scan.array_range)
        configuration.update(
            n_time_param=time.n_values, time_norm_fac=time.spacing_factor, time_rot_interval=width / time.spacing_factor
        )
        terms = []
        if wanted["decay"]:
            x = observations.d**-2.0
            resolution = _axis(x, params.n_resolution_bins, setting, ("n_res_param", "resmin", "res_bin_width"))
            configuration.update(
                n_res_param=resolution.n_values, resmin=resolution.start, res_bin_width=1 / resolution.spacing_factor
            )
            terms.append(_term("decay", [resolution, time], [x, place], existing, "decay" in fixed))
        if wanted["absorption"]:
            axes = [
                _axis(observations.position[:, k], params.n_absorption_bins, setting, (f"n_{c}_param", f"{c}min", f"{c}_bin_width"))
                for k, c in enumerate("xy")
            ]  # fmt: skip
            for c, axis in zip("xy", axes, strict=True):
                configuration.update(
                    {f"n_{c}_param": axis.n_values, f"{c}min": axis.start, f"{c}_bin_width": 1 / axis.spacing_factor}
                )
            coordinates = [observations.position[:, 0], observations.position[:, 1], place]
            terms.append(_term("absorption", [*axes, time], coordinates, existing, "absorption" in fixed))
        if wanted["modulation"]:
            axes = [
                _axis(observations.position[:, k], params.n_modulation_bins, setting,
                      (f"n_{c}_mod_param", f"{c}min", f"{c}_det_bin_width")) for k, c in enumerate("xy")
            ]  # fmt: skip
            for c, axis in zip("xy", axes, strict=True):
                configuration.update(
                    {
                        f"n_{c}_mod_param": axis.n_values,
                        f"{c}min": axis.start,
                        f"{c}_det_bin_width": 1 / axis.spacing_factor,
                    }
                )
            coordinates = [observations.position[:, 0], observations.position[:, 1]]
            terms.append(_term("modulation", axes, coordinates, existing, "modulation" in fixed))
        return ScalingModel("array", tuple(terms), configuration)


def _time_axis(scan: Scan, interval: float, setting: dict[str, Any]) -> Axis:
    """Points along the scan, in array indices: as many intervals as `interval` degrees have room, at least one."""
    total = scan.oscillation_deg[1] * scan.n_images
    n = max(1, round(total / interval)) if "n_time_param" not in setting else Axis.intervals_of(setting["n_time_param"])
    first, last = scan.array_range
    return Axis(float(first), float(0.999 * n / max(last - first, 1)), int(n))


def _axis(x: np.ndarray, n_intervals: int, setting: dict[str, Any], names: tuple[str, str, str]) -> Axis:
    """Intervals over the range of a coordinate, or those of an earlier model."""
    if all(name in setting for name in names):
        number, start, width = (setting[name] for name in names)
        return Axis(float(start), 1.0 / float(width), Axis.intervals_of(int(number)))
    low, high = (float(x.min()), float(x.max())) if len(x) else (0.0, 1.0)
    return Axis(low, 0.999 * n_intervals / max(high - low, 1e-6 * max(abs(high), 1e-6)), n_intervals)


def _term(
    name: str, axes: list[Axis], coordinates: list[np.ndarray], existing: dict[str, Any] | None, fixed: bool
) -> ScaleTerm:
    sizes = [axis.n_values for axis in axes]
    p = int(np.prod(sizes))
    start = np.ones(p)
    if existing and name in existing and len(existing[name]["parameters"]) == p:
        start = np.array(existing[name]["parameters"], dtype=np.float64)
    n, width = len(coordinates[0]), int(np.prod([min(3, size) for size in sizes]))
    indices = Computed(lambda rows: grid_weights(axes, [c[rows] for c in coordinates])[0], n, width)
    weights = Computed(lambda rows: grid_weights(axes, [c[rows] for c in coordinates])[1], n, width)
    penalties = [Penalty(grid_smoothness(sizes), None, 0.02, p - 1)]
    if name != "decay":  # what all terms could take up is left to the first one
        penalties.append(Penalty(np.eye(p), None, 0.05, p))
    return ScaleTerm(name, start, indices, weights, penalties=tuple(penalties), fixed=fixed)
