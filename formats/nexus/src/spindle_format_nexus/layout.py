"""Where things are in a NeXus file: entries, detectors, beams, samples and the datasets that hold the images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import h5py

from spindle.errors import FileFormatError, HeaderError

from .hdf import attribute, fault_at, find_class, get, line_to_set, open_file


@dataclass(frozen=True, slots=True)
class Entry:
    """One NXentry with images.

    Attributes
    ----------
    group, detector : Group
    instrument, sample, beam : Group or None
    """

    group: h5py.Group
    instrument: h5py.Group | None
    detector: h5py.Group
    sample: h5py.Group | None
    beam: h5py.Group | None


def describe_missing(file: h5py.File) -> str:
    """Why a file is none with images and their geometry; "" when it is one."""
    groups = find_class(file, "NXentry")
    if not groups:
        what = "an HDF5 file without a NeXus entry (no group with NX_class NXentry)"
        data = get(file, "entry/data")
        if isinstance(data, h5py.Group) and any(getattr(get(data, name), "ndim", 0) >= 3 for name in data):
            return f"{what}, but with images: import the master file that refers to them"
        return what
    for group in groups:
        if _detectors(group):
            return ""
    names = ", ".join(g.name for g in groups)
    if any(find_class(g, "NXdata") for g in groups):
        return f"images without a detector (no NXdetector below {names}): import the master file that refers to them"
    return f"NeXus, but without an NXdetector below {names}"


def _detectors(entry: h5py.Group) -> list[h5py.Group]:
    return [d for i in find_class(entry, "NXinstrument") for d in find_class(i, "NXdetector")]


def find_entries(file: h5py.File) -> list[Entry]:
    """Entries with a detector, in the order of the file.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    found = []
    for group in find_class(file, "NXentry"):
        detectors = _detectors(group)
        if not detectors:
            continue
        # Of several detectors the one with modules is described best.
        detector = next((d for d in detectors if find_class(d, "NXdetector_module")), detectors[0])
        instruments = find_class(group, "NXinstrument")
        samples = find_class(group, "NXsample")
        beams = [b for parent in (*instruments, *samples, group) for b in find_class(parent, "NXbeam")]
        instrument = next((i for i in instruments if find_class(i, "NXdetector")), None)
        found.append(Entry(group, instrument, detector, samples[0] if samples else None, beams[0] if beams else None))
    if not found:
        raise FileFormatError(f"{file.filename}: {describe_missing(file)}")
    return found


def image_datasets(entry: Entry, is_growing: bool = False) -> list[h5py.Dataset]:
    """The datasets that hold the images of an entry, in order; axis 0 counts images.

    The attribute ``signal`` decides. Where it names one of several numbered datasets (``data_000001``), or is missing,
    all of them are taken, by their attribute ``image_nr_low`` or their number.

    Parameters
    ----------
    entry : Entry
    is_growing : bool
        The last of them may be in files that are not there yet, and are then left out.

    Raises
    ------
    FileFormatError
        If there is no such dataset, if several could be meant, or if a link leads to a file that is not there.
    """
    groups = find_class(entry.group, "NXdata") or [g for g in (get(entry.group, "data"),) if isinstance(g, h5py.Group)]
    default = attribute(entry.group, "default")
    groups.sort(key=lambda g: g.name.rpartition("/")[2] != default)
    tried = []
    for group in groups:
        names = _image_names(group)
        if names:
            if is_growing:
                names = _without_missing_end(group, names)
            return sorted_by_image([_resolve(group, name) for name in names])
        tried.append(group.name)
    inside = get(entry.detector, "data")
    if isinstance(inside, h5py.Dataset) and inside.ndim >= 2:
        return [inside]
    looked = ", ".join(tried) or "no group with NX_class NXdata"
    raise fault_at(
        entry.group,
        "an NXdata group whose attribute 'signal' names the images",
        f"none (looked in {looked}; and for {entry.detector.name}/data)",
        "import the master file that refers to the images, or add links to them",
    )


def _image_names(group: h5py.Group) -> list[str]:
    """Names of the datasets with images in an NXdata group."""
    signal = attribute(group, "signal")
    links = {name: group.get(name, getlink=True) for name in group}
    if signal is not None:
        if signal not in links:
            expected = f"'{signal}', which the attribute 'signal' names"
            names = [n for n in links if isinstance(get(group, n), h5py.Dataset)]
            remedy = line_to_set(group, "signal", f"'{names[0] if names else 'data'}'")
            raise fault_at(group, expected, ", ".join(links) or None, remedy)
        return _numbered(signal, links) or [signal]
    marked = [n for n in links if isinstance(get(group, n), h5py.Dataset) and attribute(group[n], "signal") == "1"]
    if marked:
        return marked[:1]
    families: dict[tuple[str, ...], None] = {}
    for name, link in links.items():
        if isinstance(link, h5py.ExternalLink) or getattr(get(group, name), "ndim", 0) >= 3:
            families.setdefault(tuple(_numbered(name, links)) or (name,), None)
    if len(families) > 1:
        found = ", ".join(f[0] for f in families)
        remedy = line_to_set(group, "signal", "'<name>'")
        raise fault_at(group, "an attribute 'signal' that tells which dataset holds the images", found, remedy)
    return list(next(iter(families), ()))


def _numbered(name: str, links: dict[str, object]) -> list[str]:
    """All names that differ from `name` in the number at their end only; [] when it has none."""
    match = re.fullmatch(r"(.*?)(\d+)", name)
    if match is None:
        return []
    members = [(int(m.group(1)), n) for n in links if (m := re.fullmatch(re.escape(match.group(1)) + r"(\d+)", n))]
    return [n for _, n in sorted(members)]


def _without_missing_end(group: h5py.Group, names: list[str]) -> list[str]:
    """Names without the last ones whose files are not there yet; at least one."""
    last = len(names)
    while last > 1:
        link = group.get(names[last - 1], getlink=True)
        if not isinstance(link, h5py.ExternalLink):
            break
        if any(path.exists() for path in _places(Path(group.file.filename), link.filename)):
            break
        last -= 1
    return names[:last]


def _resolve(group: h5py.Group, name: str) -> h5py.Dataset:
    """The dataset behind a link; external files are opened by themselves so that their faults can be named."""
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        return external_dataset(f"{group.name}/{name}", Path(group.file.filename), link.filename, link.path)
    node = get(group, name)
    if not isinstance(node, h5py.Dataset):
        target = getattr(link, "path", "")
        found = f"a link to {target}, which does not exist" if target and node is None else f"{node!r}"
        where = f"{group.name}/{name}"
        raise HeaderError(group.file.filename, where, "a dataset with images", found, "correct or delete the link")
    return node


def _places(source: Path, filename: str) -> list[Path]:
    """Where a file that another one names is looked for."""
    folder = source.absolute().parent
    return [folder / filename, folder / Path(filename).name]


def external_dataset(where: str, source: Path, filename: str, path: str) -> h5py.Dataset:
    """A dataset of another file, which is looked for where HDF5 looks: as it is named, then beside the file that names
    it.

    Raises
    ------
    FileFormatError
        If the file or the dataset is not there.
    """
    candidates = _places(source, filename)
    folder = source.absolute().parent
    target = next((c for c in candidates if c.exists()), None)
    if target is None:
        raise HeaderError(
            source,
            where,
            f"{path} in {candidates[0]}",
            "no such file",
            f"copy {Path(filename).name} into {folder}, or delete the link to go on without its images",
        )
    file = open_file(target)
    node = get(file, path)
    if not isinstance(node, h5py.Dataset):
        found = f"no such dataset there, but {', '.join(file) or 'nothing'}"
        remedy = "copy the file again; this may be the one of another data set"
        raise HeaderError(source, where, f"{path} in {target}", found, remedy)
    return node


def sorted_by_image(datasets: list[h5py.Dataset]) -> list[h5py.Dataset]:
    """Datasets in the order of their attribute ``image_nr_low`` when all of them have it."""
    if len(datasets) > 1 and all("image_nr_low" in d.attrs for d in datasets):
        return sorted(datasets, key=lambda d: int(d.attrs["image_nr_low"]))
    return datasets
