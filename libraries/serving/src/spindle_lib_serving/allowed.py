"""Which files the server may read, and which image of a file is meant."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindle.models import split_template

from .refusal import Refusal

__all__ = ["AllowedFolders", "ImageName"]

_NUMBERED = re.compile(r"^(?P<file>.*[^/])[:#](?P<number>[0-9]{1,9})$", re.DOTALL)
_LONGEST_NAME = 4096  # PATH_MAX of Linux


@dataclass(frozen=True, slots=True)
class ImageName:
    """One image.

    Attributes
    ----------
    path : str
        File, as the client wrote it.
    number : int or None
        Number of the image in a file of many, counted from 1.
    """

    path: str
    number: int | None = None


class AllowedFolders:
    """The folders below which files may be read; symbolic links are followed before the check.

    Parameters
    ----------
    folders : iterable of path
    """

    def __init__(self, folders: Iterable[str | Path]) -> None:
        self.roots = [os.path.realpath(f) for f in folders]

    def __contains__(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self.roots)

    def image(self, text: str) -> ImageName:
        """The image that ``text`` names: a file, ``file:12``, ``file#12`` or ``name_####.cbf:12``.

        Raises
        ------
        Refusal
            If it is not an absolute path of a readable file below the folders.
        """
        if "\0" in text or not text.startswith("/"):
            raise Refusal(400, f"image {text!r}: not an absolute path; write it from the root, /data/image_0001.cbf")
        try:
            size = len(os.fsencode(text))
        except UnicodeEncodeError as error:
            raise Refusal(400, f"image {text!r}: not a possible name of a file") from error
        if size > _LONGEST_NAME:
            raise Refusal(414, f"the name of the image has {size} bytes; {_LONGEST_NAME} are the limit")
        self.check(text, "image")
        match = _NUMBERED.match(text)
        if match is None or os.path.exists(text):
            return ImageName(self.file(text))
        path, number = match["file"], int(match["number"])
        template = split_template(path)
        if template is not None and not os.path.exists(path):
            return ImageName(self.file(template.name(number)))
        return ImageName(self.file(path), number)

    def check(self, path: str, what: str) -> None:
        """Raise `Refusal` unless ``path`` is below the folders; says nothing about what else exists."""
        if path not in self:
            raise Refusal(
                403,
                f"{what} {path}: outside of the folders that this server reads ({', '.join(self.roots)}); the server "
                "is told of others by allow=",
            )

    def file(self, path: str, what: str = "image") -> str:
        """``path`` again; raises `Refusal` unless it is a readable ordinary file below the folders."""
        self.check(path, what)
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            status = 404 if isinstance(error, FileNotFoundError | NotADirectoryError) else 403
            raise Refusal(status, f"{what} {path}: {error.strerror or error}") from error
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not an ordinary file"
            raise Refusal(400, f"{what} {path}: is {kind}; name an image file")
        if not os.access(path, os.R_OK):
            raise Refusal(403, f"{what} {path}: the server has no permission to read it")
        return path

    def linked_files(self, path: str) -> None:
        """Raise `Refusal` if an HDF5 file refers to files outside of the folders.

        HDF5 looks for relative names in the folder of the name by which a file was opened, in that of the file itself where
        this is a link, and in the current folder; for an absolute one that is not there also by its last part. Each place
        where there is such a file counts.
        """
        to_do, seen = [path], set()
        while to_do:
            name = to_do.pop()
            if name in seen or not os.path.isfile(name):
                continue
            seen.add(name)
            import h5py

            if not os.access(name, os.R_OK):
                raise Refusal(403, f"{name}: there is no permission to read it")
            if not h5py.is_hdf5(name):  # with or without a block before its head
                continue
            with h5py.File(name, "r") as file:
                referred = _referred(file)
            for other in referred:
                for target in _places(other, name):
                    self.check(target, f"{path} refers to")
                    to_do.append(target)


def _places(other: str, name: str) -> list[str]:
    """The files that HDF5 may find for a name in the file `name`; those are candidates that are there."""
    folders = [os.path.dirname(os.path.abspath(name)), os.path.dirname(os.path.realpath(name)), os.getcwd()]
    found = [os.path.join(folder, part) for folder in folders for part in (other, os.path.basename(other))]
    if "%" in other:  # %b of virtual datasets stands for numbers
        pattern = re.sub(r"%\d*[a-z%]", "*", other.replace("[", "[[]"))
        found += [match for folder in folders for match in glob.glob(os.path.join(folder, pattern))]
    return [target for target in dict.fromkeys(found) if os.path.lexists(target)]


def _referred(group: Any) -> set[str]:
    """Names of the files that external links, virtual datasets and external storage below a group refer to."""
    import h5py

    found: set[str] = set()

    def visit(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            found.add(link.filename)
        elif isinstance(link, h5py.HardLink):
            node = group[name]
            if isinstance(node, h5py.Dataset):
                if node.is_virtual:
                    found.update(source.file_name for source in node.virtual_sources() if source.file_name != ".")
                found.update(storage[0] for storage in node.external or ())

    group.visititems_links(visit)
    return found
