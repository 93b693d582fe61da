"""Data sets with a defect: what the importer has to say about it, and that what it says helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import spindle
from spindle.errors import UserError
from spindle.images import ImageSequence

__all__ = ["Defect", "assert_explained_and_mended"]

Mend = dict[str, Any] | Callable[[Path], dict[str, Any]]


def _is_there(experiments: Any) -> bool:
    return len(experiments) > 0


@dataclass(frozen=True)
class Defect:
    """One defect, the message that it must give, and its cure.

    Attributes
    ----------
    name : str
    make : callable (folder) -> file, folder or list of them
        Writes the data set.
    file, place, expected, found, remedy : str
        Parts of one line of what the user reads; `remedy` is the parameter that mends, or what else to do.
    mend : dict, or callable (folder) -> dict
        Parameters of the second import; none where only another file helps.
    check : callable (experiments) -> bool
        What must be true after mending.
    given : dict
        Parameters of both imports.
    """

    name: str
    make: Callable[[Path], Any]
    file: str
    place: str
    expected: str
    found: str
    remedy: str
    mend: Mend = field(default_factory=dict)
    check: Callable[[Any], bool] = _is_there
    given: dict[str, Any] = field(default_factory=dict)


def assert_explained_and_mended(defect: Defect, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Import the defective data set, look for the message, import again as the message says, and read an image.

    What was done is not advised once more.

    Parameters
    ----------
    defect : Defect
    folder : Path
        Empty, for the files.
    caplog : pytest fixture
    """
    files = defect.make(folder)
    files = files if isinstance(files, list) else [files]
    caplog.clear()
    try:
        spindle.run("import", files=files, **defect.given)
        message = ""
    except UserError as error:
        message = str(error)
    lines = f"{message}\n{caplog.text}".splitlines()
    assert any(_explains(line, defect) for line in lines), "\n".join([f"{defect} is not explained by", *lines])
    mend = defect.mend(folder) if callable(defect.mend) else defect.mend
    if not mend:
        return
    assert any(key in defect.remedy for key in mend), f"{defect.name}: mended by another parameter than the one named"
    caplog.clear()
    experiments = spindle.run("import", files=files, **{**defect.given, **mend}).experiments
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    again = [text for text in told if any(f"{key}=" in text for key in mend)]
    assert not again, f"{defect.name}: advised once more, when it was done: {again}"
    assert experiments is not None and defect.check(experiments), f"not mended by {mend}"
    ImageSequence(experiments[0]).read(0)


def _explains(line: str, defect: Defect) -> bool:
    """Whether a line reads "file: place: expected ..., found ...; remedy" with the parts of the defect."""
    where, _, rest = line.partition("expected ")
    expected, _, rest = rest.partition(", found ")
    found, _, remedy = rest.partition("; ")
    return (
        defect.file in where
        and defect.place in where
        and defect.expected in expected
        and defect.found in found
        and defect.remedy in remedy
    )
