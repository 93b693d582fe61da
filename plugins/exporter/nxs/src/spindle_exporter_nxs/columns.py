"""Names of reflection columns in NXreflections."""

from __future__ import annotations

from spindle.table import ReflectionTable

#: column, component or None: name, unit, description
NAMES: dict[str, list[tuple[int | None, str, str, str]]] = {
    "miller_index": [(i, n, "", f"The {n} component of the Miller index") for i, n in enumerate("hkl")],
    "id": [(None, "id", "", "Number of the experiment")],
    "flags": [(None, "flags", "", "What happened to the reflection, bits")],
    "panel": [(None, "det_module", "", "Module on which the reflection was recorded")],
    "d": [(None, "d", "angstrom", "Resolution")],
    "partiality": [(None, "partiality", "", "Fraction that was recorded")],
    "entering": [(None, "entering", "", "Entering or leaving the Ewald sphere")],
    "xyzcal.mm": [
        (0, "predicted_x", "mm", "Predicted position along the fast axis"),
        (1, "predicted_y", "mm", "Predicted position along the slow axis"),
        (2, "predicted_phi", "rad", "Predicted rotation angle"),
    ],
    "xyzcal.px": [
        (0, "predicted_px_x", "", "Predicted position along the fast axis, pixels"),
        (1, "predicted_px_y", "", "Predicted position along the slow axis, pixels"),
        (2, "predicted_frame", "", "Predicted place in the scan, images from 0"),
    ],
    "xyzobs.mm.value": [
        (0, "observed_x", "mm", "Observed position along the fast axis"),
        (1, "observed_y", "mm", "Observed position along the slow axis"),
        (2, "observed_phi", "rad", "Observed rotation angle"),
    ],
    "xyzobs.mm.variance": [
        (0, "observed_x_var", "mm", "Its variance"),
        (1, "observed_y_var", "mm", "Its variance"),
        (2, "observed_phi_var", "rad", "Its variance"),
    ],
    "xyzobs.px.value": [
        (0, "observed_px_x", "", "Observed position along the fast axis, pixels"),
        (1, "observed_px_y", "", "Observed position along the slow axis, pixels"),
        (2, "observed_frame", "", "Observed place in the scan, images from 0"),
    ],
    "xyzobs.px.variance": [
        (0, "observed_px_x_var", "", "Its variance"),
        (1, "observed_px_y_var", "", "Its variance"),
        (2, "observed_frame_var", "", "Its variance"),
    ],
    "bbox": [(None, "bounding_box", "", "First and last pixels and images, half open")],
    "background.mean": [(None, "background_mean", "", "Mean background of a pixel")],
    "intensity.sum.value": [(None, "int_sum", "", "Summed intensity")],
    "intensity.sum.variance": [(None, "int_sum_var", "", "Its variance")],
    "intensity.prf.value": [(None, "int_prf", "", "Profile-fitted intensity")],
    "intensity.prf.variance": [(None, "int_prf_var", "", "Its variance")],
    "profile.correlation": [(None, "prf_cc", "", "Correlation of observed and fitted profile")],
    "lp": [(None, "lp", "", "Lorentz-polarisation correction, to be multiplied with")],
    "num_pixels.background": [(None, "num_bg", "", "Number of background pixels")],
    "num_pixels.background_used": [(None, "num_bg_used", "", "Number of background pixels used")],
    "num_pixels.foreground": [(None, "num_fg", "", "Number of foreground pixels")],
    "num_pixels.valid": [(None, "num_valid", "", "Number of valid pixels")],
}

WORDS = {"intensity.sum.value": "summed", "intensity.prf.value": "profile-fitted", "intensity.scale.value": "scaled"}


def intensity_words(table: ReflectionTable) -> list[str]:
    """Which intensities a table holds."""
    return [word for column, word in WORDS.items() if column in table]
