"""Data sets: what the user names, folders, patterns or a file of sets, as images with parameters of their own."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError, SpindleError, UserError
from spindle.images import choose_format, read_head
from spindle.params import read_toml

__all__ = ["DataSet", "find_sets", "named_sets", "with_absolute_file"]

#: Name, number and endings of an image of a series: lyso_0001.cbf.gz.
_DIGITS = re.compile(r"(\d+)")
_NUMBERED = re.compile(r"(.*?)(\d+)((?:\.[A-Za-z]\w*){0,2})")
#: Files that hold whole series, and those that such a file leads to.
_CONTAINERS = (".h5", ".nxs", ".hdf5")
_PARTS = re.compile(r"_(data|meta)(_\d+)?\.(h5|hdf5)$")
#: Files in which parameters are expected, and which are not read.
_SETTINGS = (".yaml", ".yml", ".ini", ".cfg", ".conf", ".json", ".phil", ".txt")
MOST_SETS = 10_000
LOOKS_LIKE = 'a file of sets has a table for each, [first] for example, and below it images = "a/*.cbf"'


@dataclass(frozen=True, slots=True)
class DataSet:
    """Images that are processed together.

    Attributes
    ----------
    name : str
        Name of its folder.
    files : tuple of str
        Absolute paths, in order.
    words : tuple of str
        Parameters of process for it alone, ``name=value``.
    """

    name: str
    files: tuple[str, ...]
    words: tuple[str, ...] = ()

    @property
    def state(self) -> tuple[int, str, int]:
        """Number of files, the last of them and its size: what changes while it is written."""
        last = self.files[-1]
        try:
            size = os.stat(last).st_size
        except OSError:
            size = -1
        return len(self.files), last, size

    def newest(self) -> float:
        """When its last file was written, seconds since the epoch; 0 when that is gone."""
        try:
            return os.stat(self.files[-1]).st_mtime
        except OSError:
            return 0.0


@dataclass(slots=True)
class _Series:
    """Files whose names differ by their number."""

    folder: Path
    prefix: str
    files: dict[int, str] = field(default_factory=dict)


def find_sets(words: Sequence[str], min_images: int, may_be_none: bool = False) -> tuple[list[DataSet], list[str]]:
    """Return the data sets that words name, and what was left out and why.

    Parameters
    ----------
    words : sequence of str
        Folders, which are searched with all folders in them; files; patterns; files of sets (.toml).
    min_images : int
        Series of fewer files are left out, unless a file holds many images.
    may_be_none : bool
        Folders without images are no error: some may come.

    Raises
    ------
    UserError
        If a word names nothing, or there are no images.
    """
    found: list[DataSet] = []
    left_out: list[str] = []
    loose: list[Path] = []
    for word in words:
        path = Path(os.path.expanduser(word))
        if path.suffix == ".toml":
            found += named_sets(path)
        elif path.is_dir():
            for folder in _folders(path):
                inside = [Path(e.path) for e in os.scandir(folder) if e.is_file() and not e.name.startswith(".")]
                label = "_".join(folder.relative_to(path).parts)
                found += _sets_of(inside, label, min_images, left_out)
        elif path.suffix.lower() in _SETTINGS and path.exists() and not _is_image(path):
            left_out.append(
                f"{word} is no image, and no parameters are read from it: give them as name=value, or in a file of sets (.toml), "
                "as lines name = value above its tables"
            )
        elif path.exists():
            loose.append(path)
        elif matches := sorted(glob.glob(str(path))):
            folders = [m for m in matches if os.path.isdir(m)]
            loose += [Path(m) for m in matches if m not in folders]
            for name in folders:
                more, less = find_sets([name], min_images, True)
                found += [DataSet(f"{Path(name).name}_{s.name}", s.files, s.words) for s in more]
                left_out += less
        elif may_be_none:
            left_out.append(f"{word} is not there yet")
        else:
            raise UserError(
                f"batch: {word!r} is neither a folder, nor images, nor a file of sets (.toml), nor name=value"
            )
    found += _sets_of(loose, "", min_images, left_out)
    if not found and not may_be_none:
        why = f": {left_out[0]}" if left_out else ""
        raise UserError(f"batch: there are no series of images in {', '.join(words[:5])}{why}")
    if len(found) > MOST_SETS:
        raise UserError(f"batch: {len(found)} data sets are more than {MOST_SETS}; give fewer folders at a time")
    return _with_own_names(found), left_out


def _folders(path: Path) -> Iterator[Path]:
    """A folder and all in it, also those that links lead to, without hidden ones and without those in which a run has left its record."""
    seen = set()
    for here, folders, _ in os.walk(path, followlinks=True):
        if (place := os.path.realpath(here)) in seen:  # links may lead back
            folders.clear()
            continue
        seen.add(place)
        folders[:] = (
            f
            for f in folders
            if not f.startswith(".") and not os.path.exists(os.path.join(here, f, "spindle.import.json"))
        )
        folders.sort(key=lambda f: [int(part) if part.isdecimal() else part for part in _DIGITS.split(f)])
        yield Path(here)


def _sets_of(paths: Iterable[Path], label: str, min_images: int, left_out: list[str]) -> list[DataSet]:
    """One set for each series of images among files, and for each file that holds many."""
    series: dict[tuple[Path, str, str], _Series] = {}
    found = []
    for path in sorted(paths):
        if path.suffix.lower() in _CONTAINERS:
            if not _PARTS.search(path.name) and _is_image(path):
                found.append(DataSet(_joined(label, path.stem.removesuffix("_master")), (str(path.absolute()),)))
            continue
        match = _NUMBERED.fullmatch(path.name)
        prefix, number, ending = match.groups() if match else (path.name, "0", path.suffix)
        one = series.setdefault((path.parent, prefix, ending), _Series(path.parent, prefix))
        one.files[int(number)] = str(path.absolute())
    for (folder, prefix, ending), one in series.items():
        files = [one.files[number] for number in sorted(one.files)]
        if not _is_image(Path(files[0])):
            continue
        if len(files) < min_images:
            left_out.append(f"{folder / prefix}*{ending} has {len(files)} image(s), fewer than min_images={min_images}")
            continue
        found.append(DataSet(_joined(label, prefix.rstrip("_-. ")), tuple(files)))
    return found


def _joined(label: str, name: str) -> str:
    return "_".join(part for part in (label, name) if part) or "set"


def _is_image(path: Path) -> bool:
    """Whether an installed format understands a file."""
    try:
        choose_format(path, read_head(path))
    except (SpindleError, OSError, EOFError):
        return False
    return True


def _with_own_names(sets: list[DataSet]) -> list[DataSet]:
    """Sets with names that make folders, each its own: the folder of the images, then a number, is added to equal ones."""
    taken: set[str] = set()
    found = []
    for one in sets:
        plain = re.sub(r"[^\w.+-]+", "_", one.name).strip("._") or "set"
        candidates = [plain, f"{re.sub(r'[^0-9A-Za-z_.+-]+', '_', Path(one.files[0]).parent.name)}_{plain}"]
        name = next((c for c in candidates if c not in taken), "")
        number = 2
        while not name or name in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name)
        found.append(DataSet(name, one.files, one.words))
    return found


def named_sets(path: Path) -> list[DataSet]:
    """Read a file of sets: a table for each, with ``images`` and parameters of process; those above all tables are for all.

    Raises
    ------
    FileFormatError
        Names the place and what is expected there.
    """
    content = read_toml(path, "sets of images", LOOKS_LIKE)
    tables = {name: value for name, value in content.items() if isinstance(value, dict) and "images" in value}
    common = tuple(_words({name: value for name, value in content.items() if name not in tables}, path.parent))
    if not tables:
        bare = next((f" ([{name}] names no images)" for name, value in content.items() if isinstance(value, dict)), "")
        raise FileFormatError(f"{path}: there is no set{bare}; {LOOKS_LIKE}")
    found = []
    for name, table in tables.items():
        files = _files_of(table["images"], path, name)
        words = tuple(_words({key: value for key, value in table.items() if key != "images"}, path.parent))
        found.append(DataSet(name, tuple(files), (*common, *words)))
    return found


def _files_of(images: Any, path: Path, name: str) -> list[str]:
    """Absolute paths of the images of a table, which are named relative to the file."""
    texts = [images] if isinstance(images, str) else images
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts) or not texts:
        raise FileFormatError(
            f"{path}: [{name}] images: expected a file, folder or pattern, or a list of them, found {images!r}"
        )
    found: list[str] = []
    for text in texts:
        whole = str(path.parent / os.path.expanduser(text))
        if os.path.isdir(whole):
            inside = [Path(e.path) for e in os.scandir(whole) if e.is_file() and not e.name.startswith(".")]
            more = [f for one in _sets_of(inside, "", 1, []) for f in one.files]
        else:
            more = [os.path.abspath(f) for f in ([whole] if os.path.exists(whole) else sorted(glob.glob(whole)))]
        if not more:
            raise FileFormatError(f"{path}: [{name}] images: no file matches {text!r} in {path.parent.absolute()}")
        found += more
    return found


def _words(table: dict[str, Any], folder: Path, prefix: str = "") -> Iterator[str]:
    """Parameters of a table as words of a command line; tables in it are scopes, and files are named relative to the file of sets."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _words(value, folder, f"{prefix}{name}.")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            yield with_absolute_file(f"{prefix}{name}={text}", folder)


def with_absolute_file(word: str, folder: Path) -> str:
    """``name=value`` with an absolute path where the value is a file or folder relative to a folder: runs are in folders of their own."""
    name, _, value = word.partition("=")
    return f"{name}={(folder / value).absolute()}" if value and os.path.exists(folder / value) else word
