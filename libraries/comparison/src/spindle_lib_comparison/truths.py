"""Which truth belongs to which experiment."""

from __future__ import annotations

from pathlib import Path

from spindle.errors import UserError
from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable

from .agreement import Matches, match
from .truth import Truth, find_truths, read_truth

__all__ = ["best_match", "read_truths"]


def read_truths(files: list[Path], given: Path | None, lattice: object) -> list[Truth]:
    """All truths in the folders that were given, or that hold the files that were given.

    Parameters
    ----------
    files : list of Path
        Folders, images or truth files.
    given : Path or None
        A folder that counts more.
    lattice : int or Auto
        Auto reads all lattices of each sweep.

    Raises
    ------
    UserError
        If there is none.
    """
    places = [given] if given is not None else [f if f.is_dir() else f.parent for f in files]
    if not places:
        raise UserError("which set? give the folder that `spindle simulate` wrote, e.g. `simulated`")
    folders = dict.fromkeys(folder for place in places for folder in find_truths(Path(place)))
    truths = []
    for folder in folders:
        if isinstance(lattice, int):
            truths.append(read_truth(folder, lattice))
            continue
        first = read_truth(folder)
        truths += [first, *(read_truth(folder, k) for k in range(1, len(first.models["lattices"])))]
    return truths


def best_match(
    table: ReflectionTable, experiment: int, truths: list[Truth], experiments: Experiments | None
) -> Matches:
    """Pairs of an experiment's reflections with the truth that fits best, among those of the same images.

    Raises
    ------
    UserError
        If none fits.
    """
    candidates, still = truths, None
    if any(truth.stills for truth in truths):
        if experiments is None or experiment >= len(experiments):
            raise UserError("the truth is of stills: give the experiments, too, which tell the image of each crystal")
        still = _number(experiments[experiment], truths[0])
    if experiments is not None and experiment < len(experiments):
        image = _first_image(experiments[experiment])
        same = [truth for truth in truths if image in truth.images()]
        candidates = same or truths
    if len(candidates) == 1:
        return match(table, candidates[0], experiment, still)
    found, reason = [], None
    for truth in candidates:
        try:
            found.append(match(table, truth, experiment, still))
        except UserError as error:
            reason = error
    if not found:
        raise reason or UserError(f"no truth for experiment {experiment}")
    return max(found, key=lambda one: len(one.rows))


def _number(still: Experiment, truth: Truth) -> int:
    """Number of the image of a still among those simulated, from 0."""
    names = [None if name is None else (truth.folder / name).resolve() for name in truth.models.get("images", ())]
    image = _first_image(still)
    if image is not None and len(names) == truth.n_images and names.count(image) == 1:
        return names.index(image)
    # one file holds them all
    return (still.scan.image_range[0] if still.scan is not None else 1) - truth.first_image


def _first_image(experiment: Experiment) -> Path | None:
    """The file with the first image of an experiment, when its name is known."""
    if experiment.imageset is None:
        return None
    number = experiment.scan.image_range[0] if experiment.scan is not None else 1
    try:
        return Path(experiment.imageset.file_of_image(number)[0]).resolve()
    except IndexError:
        return None
