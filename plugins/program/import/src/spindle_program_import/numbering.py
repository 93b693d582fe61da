"""Which number in the names of files counts the images, where it is not the last one."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from spindle.errors import fault
from spindle.geometry import nearest_turn
from spindle.models import STILL_WIDTH_DEG

from .files import NumberedFile, is_number, split_number
from .headers import Header

# Angles of images in a row agree within this fraction of their width.
_SAME = 0.1
_DIGITS = re.compile("[0-9]+")

Named = tuple[NumberedFile, Header]


def number_files(
    headers: Sequence[Header], notes: list[str], given: Mapping[str, NumberedFile] | None = None
) -> list[Named]:
    """The number of each file of one image.

    It is that of a template, see `named_by_templates`; else the last one in the name, see `split_number`, unless that makes a series of each image and another number, of
    which the angles are a straight line, makes one of all (``t_0001_300K.cbf``).

    Parameters
    ----------
    headers : list of Header
    notes : list of str
        Told of images that the angles join and the names do not; filled.
    given : mapping of path to NumberedFile, optional
        Files whose number is known.
    """
    given = given or {}
    named = [(given.get(h.path) or split_number(h.path), h) for h in headers]
    counts: dict[tuple[str, ...], int] = {}
    for name, header in named:
        key = (*name.series, header.format)
        counts[key] = counts.get(key, 0) + 1
    alike: dict[tuple[str, str], list[int]] = {}
    for i, (name, header) in enumerate(named):
        if counts[(*name.series, header.format)] == 1 and header.path not in given:
            alike.setdefault((_DIGITS.sub("0", header.path), header.format), []).append(i)
    for members in alike.values():
        if len(members) < 2:
            continue
        found = _other_number([named[i] for i in members])
        if found is not None:
            for i, name in zip(members, found, strict=True):
                named[i] = (name, named[i][1])
        else:
            note = _apart([named[i] for i in members])
            if note:
                notes.append(note)
    return named


def _other_number(members: list[Named]) -> list[NumberedFile] | None:
    """The files numbered by the only run of digits that differs; None when angles do not follow it."""
    runs = [list(_DIGITS.finditer(name.path)) for name, _ in members]
    start = members[0][0].path.rfind("/") + 1
    end = len(members[0][0].path) - len(Path(members[0][0].path).suffix)
    differing = [
        k
        for k, run in enumerate(runs[0])
        if start <= run.start() < end and len({row[k].group() for row in runs}) > 1
    ]  # fmt: skip
    if len(differing) != 1:
        return None
    digits = [row[differing[0]] for row in runs]
    if not all(is_number(d.group()) for d in digits):
        return None
    order = sorted(
        zip([int(d.group()) for d in digits], [h for _, h in members], strict=True), key=lambda pair: pair[0]
    )
    if not all(_follows(one, two, m - n) for (n, one), (m, two) in itertools.pairwise(order)):
        return None
    return [
        NumberedFile(name.path, name.path[: d.start()], d.group(), name.path[d.end() :])
        for (name, _), d in zip(members, digits, strict=True)
    ]


def _follows(one: Header, two: Header, steps: int) -> bool:
    """Whether an image begins where another one, so many images before, makes one expect it."""
    if one.models.scan is None or two.models.scan is None:
        return False
    start, width = one.models.scan.oscillation_deg
    away = nearest_turn(two.models.scan.oscillation_deg[0] - start - steps * width)
    return width > STILL_WIDTH_DEG and abs(away) < _SAME * width


def _apart(members: list[Named]) -> str:
    """What to say of images that angles join and names do not; "" when they are not one rotation."""
    ordered = [h for _, h in sorted(members, key=lambda pair: pair[0].path)]
    joined = sum(_follows(a, b, 1) for a, b in itertools.pairwise(ordered))
    if 2 * joined < len(ordered) - 1:
        return ""
    path = Path(ordered[0].path)
    pattern = _DIGITS.sub("*", path.name)
    longest = max((d.group() for d in _DIGITS.finditer(path.name)), key=len)
    what = f"{len(longest)} digits, a time stamp" if not is_number(longest) else "several numbers that differ"
    link = f"image_%05d{''.join(path.suffixes[-1:])}"
    remedy = (
        f"each of the {len(members)} images becomes a sweep of its own although their angles follow each other; give "
        f'them numbers: i=0; for f in {_quoted(pattern)}; do i=$((i+1)); ln -s "$f" $(printf {link} $i); done'
    )
    return f"{path.name}: {fault('file name', 'one number that counts the images', what, remedy)}"


def _quoted(pattern: str) -> str:
    """A pattern of file names for a shell."""
    return "*".join(shlex.quote(part) if part else "" for part in pattern.split("*"))
