"""Files of background models: one or several sets of images, each with an image for every panel."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spindle.errors import FileFormatError
from spindle.models import Experiment

__all__ = ["BackgroundImages", "name_of_images", "read_models", "write_models"]

FORMAT = "spindle background model 1"


@dataclass(frozen=True)
class BackgroundImages:
    """The background of one set of images.

    Attributes
    ----------
    name : str
        Of the images, see `name_of_images`.
    images : tuple of (slow, fast) float32, counts
        For each panel the background of an image of scale 1; 0 where nothing is known.
    first : int
        Array index of the first image.
    scales : (n,) float64
        Of the images; NaN of those that were not looked at.
    """

    name: str
    images: tuple[np.ndarray, ...]
    first: int
    scales: np.ndarray


def name_of_images(experiment: Experiment) -> str:
    """What tells the images of an experiment from others: template or first file, without folders."""
    images = experiment.imageset
    if images is None:
        return ""
    path = images.template or (images.paths[0] if images.paths else "")
    return Path(str(path)).name


def write_models(path: Path | str, models: Sequence[BackgroundImages]) -> None:
    """Write a file (.npz)."""
    arrays: dict[str, np.ndarray] = {"format": np.array(FORMAT), "names": np.array([m.name for m in models])}
    for i, model in enumerate(models):
        arrays[f"first_{i}"], arrays[f"scales_{i}"] = np.array(model.first), model.scales
        for p, image in enumerate(model.images):
            arrays[f"model_{i}_{p}"] = image
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def read_models(path: Path | str) -> list[BackgroundImages]:
    """Read a file of `write_models`.

    Raises
    ------
    spindle.errors.FileFormatError
        If it is none.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["format"]) != FORMAT:
                raise FileFormatError(f"{path}: the format is {arrays['format']}, {FORMAT!r} expected")
            models = []
            for i, name in enumerate(arrays["names"].tolist()):
                n_panels = sum(key.startswith(f"model_{i}_") for key in arrays.files)
                images = tuple(np.asarray(arrays[f"model_{i}_{p}"], np.float32) for p in range(n_panels))
                models.append(BackgroundImages(name, images, int(arrays[f"first_{i}"]), arrays[f"scales_{i}"]))
            return models
    except FileNotFoundError as error:
        raise FileFormatError(
            f"{path}: there is no such file; spindle model_background integrated.expt writes one"
        ) from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).split(". ")[0]  # numpy goes on with how to read pickles
        raise FileFormatError(
            f"{path}: this is no background model ({reason}); spindle model_background integrated.expt writes one. Pickles, as DIALS "
            "writes them, are not read since reading one runs whatever code is in it"
        ) from error
