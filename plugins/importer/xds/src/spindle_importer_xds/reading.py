"""XPARM.XDS, and the headers and rows of INTEGRATE.HKL, XDS_ASCII.HKL and SPOT.XDS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spindle.errors import FileFormatError

from .frames import XdsGeometry
from .inputs import keywords, pairs
from .segments import Segment, segments_in, segments_of_rows, several

__all__ = ["HklFile", "kind_of", "read_hkl", "read_spots", "read_xparm"]

MOST_INDEX = 4096  # of a reflection: larger ones are damage
NUMBERS = re.compile(rb"\s*(?:[-+0-9.eE]+\s+){3,}[-+0-9.eE]+\s*\r?\n")


def kind_of(path: Path, head: bytes) -> str:
    """What a file is by its beginning: "integrate", "ascii", "xparm", "spots" or "" for none of them."""
    if head.startswith(b"!OUTPUT_FILE=INTEGRATE.HKL"):
        return "integrate"
    if head.startswith(b"!FORMAT=XDS_ASCII"):
        return "ascii"
    lines = head.splitlines()
    if lines and b"XPARM.XDS" in lines[0] and len(lines) > 1 and len(lines[1].split()) == 6:
        return "xparm"
    name = path.name.upper()
    if not NUMBERS.match(head):
        return ""
    if name.startswith("SPOT") and len(lines[0].split()) in (4, 5, 7, 8):
        return "spots"
    if name.startswith(("XPARM", "GXPARM")) and len(lines) > 2 and [len(row.split()) for row in lines[:3]] == [6, 4, 4]:
        return "xparm"
    return ""


def _fault(path: Path, text: str) -> FileFormatError:
    return FileFormatError(f"{path}: {text}; the file is damaged or not complete, run XDS again")


def _check_rows(path: Path, rows: np.ndarray, indices: slice, begin: int = 1) -> None:
    """Refuse rows with what is no number, and indices that are no small whole numbers; the first row is ``begin``."""
    bad = ~np.isfinite(rows).all(axis=1)
    hkl = rows[:, indices]
    bad |= ~((np.abs(hkl) <= MOST_INDEX) & (hkl == np.round(hkl))).all(axis=1)
    if bad.any():
        k = int(np.argmax(bad))
        found = " ".join(f"{v:g}" for v in rows[k, :8])
        raise _fault(
            path, f"row {k + begin}: expected finite numbers and whole indices of at most {MOST_INDEX}, found {found}"
        )


def read_xparm(path: Path) -> XdsGeometry:
    """XPARM.XDS or GXPARM.XDS, of today's layout or that of before 2012.

    Raises
    ------
    FileFormatError
        If lines are missing.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines()
    new = bool(lines) and "XPARM.XDS" in lines[0]
    try:
        rows = [[float(w) for w in line.split()] for line in (lines[1:] if new else lines) if line.strip()]
    except ValueError as error:
        raise _fault(path, f"{error}") from error
    if not all(np.isfinite(row).all() for row in rows):
        raise _fault(path, "nan or inf where numbers are expected")
    shape = [len(r) for r in rows]
    wanted = [6, 4, 7, 3, 3, 3, 5, 3, 3, 3, 3] if new else [6, 4, 4, 3, 3, 3, 3, 7, 3, 3, 3]
    if not new and shape[2:4] == [4, 3] and len(rows) > 2 and rows[2][0] < 10:
        wanted[2] = 4
    if shape[: len(wanted)] != wanted or not text.endswith("\n"):
        raise _fault(
            path, f"lines of {', '.join(map(str, wanted))} numbers expected, found {', '.join(map(str, shape))}"
        )
    start, wave = rows[0], rows[1]
    segments: tuple[Segment, ...] = ()
    if new:
        group, axes, detector, place, directions = rows[2], rows[3:6], rows[6], rows[7], rows[8:10]
        try:
            segments = segments_of_rows(rows[11:], int(detector[0])) if len(rows) > 11 else ()
        except ValueError as error:
            raise _fault(path, f"{error}") from error
        if int(detector[0]) != 1 and not segments:
            raise _fault(path, f"{int(detector[0])} segments, and no lines for them")
        nx, ny, qx, qy = detector[1:]
        orgx, orgy, distance = place
    else:
        nx, ny, qx, qy = rows[2]
        distance, orgx, orgy = rows[3]
        directions, group, axes = rows[4:6], rows[7], rows[8:11]
    return XdsGeometry(
        int(start[0]), start[1], start[2], np.array(start[3:]), np.array(wave[1:]), wave[0], int(group[0]),
        np.array(axes), (int(nx), int(ny)), np.array([qx, qy]), np.array([orgx, orgy]), distance,
        np.array(directions[0]), np.array(directions[1]),
        segments=segments if several(segments, (int(nx), int(ny))) else (),
    )  # fmt: skip


@dataclass(slots=True)
class HklFile:
    """A file of reflections.

    Attributes
    ----------
    geometry : XdsGeometry
    items : dict of str to (n,) float64
        Columns by the names that XDS gives them; SIGMA(IOBS) is SIGMA.
    variance_model : (float, float)
    holds : str
        Which unscaled intensity a file that was exported by others holds; "" for files of XDS.
    """

    geometry: XdsGeometry
    items: dict[str, np.ndarray]
    variance_model: tuple[float, float]
    holds: str


INTEGRATE_ITEMS = (
    "H", "K", "L", "IOBS", "SIGMA", "XCAL", "YCAL", "ZCAL", "RLP", "PEAK", "CORR", "MAXC", "XOBS", "YOBS", "ZOBS",
    "ALF0", "BET0", "ALF1", "BET1", "PSI", "ISEG",
)  # fmt: skip


def read_hkl(path: Path) -> HklFile:
    """INTEGRATE.HKL or XDS_ASCII.HKL.

    Raises
    ------
    FileFormatError
        If the end is missing, or a keyword of the header, or a number of a row.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    head, mark, body = text.partition("!END_OF_HEADER")
    if not mark or "!END_OF_DATA" not in body[-200:]:
        raise _fault(path, "the line !END_OF_DATA is missing")
    words: dict[str, str] = {}
    for line in head.splitlines():
        words |= dict(pairs(line[1:]))
    if words.get("MERGE", "FALSE").split()[0] == "TRUE":
        raise FileFormatError(f"{path}: merged reflections; give the file that CORRECT wrote with MERGE=FALSE")
    try:
        names = _items(head, words)
        rows = np.array(body.partition("!END_OF_DATA")[0].split(), dtype=np.float64).reshape(-1, len(names))
        geometry = _geometry(words)
        geometry.segments = segments_in(keywords(head.replace("!", "")))
        model = _numbers("VARIANCE_MODEL", words.get("VARIANCE_MODEL", "1 0").split()[:2], 2)
    except KeyError as error:
        raise _fault(path, f"the header has no {error.args[0]}=") from error
    except ValueError as error:
        raise _fault(path, f"{error}") from error
    if names[:3] != ["H", "K", "L"]:
        raise _fault(path, f"the first columns are {', '.join(names[:3])}, H, K, L expected")
    _check_rows(path, rows, slice(0, 3))
    exported = "spindle export" in head or "dials.export" in head
    geometry.corner = 0.0 if exported else 0.5
    holds = (
        "sum" if "summed" in head else "prf" if "profile-fitted" in head else "scale" if "the scaled" in head else ""
    )
    return HklFile(
        geometry,
        dict(zip(names, rows.T, strict=True)),
        (float(model[0]), float(model[1])),
        holds or ("sum" if exported else ""),
    )


def _items(head: str, words: dict[str, str]) -> list[str]:
    """Names of the columns."""
    count = int(words["NUMBER_OF_ITEMS_IN_EACH_DATA_RECORD"])
    found = {int(number): name for name, number in re.findall(r"!ITEM_([A-Z0-9()]+)=\s*(\d+)", head)}
    if not found:
        return list(INTEGRATE_ITEMS[:count])
    return [found.get(i + 1, f"ITEM{i + 1}").replace("SIGMA(IOBS)", "SIGMA") for i in range(count)]


def _numbers(key: str, words: list[str], n: int) -> np.ndarray:
    """Finite numbers of a keyword of the header."""
    values = np.array([float(w) for w in words])
    if len(values) != n or not np.isfinite(values).all():
        raise ValueError(f"{key}= {' '.join(words)}: {n} numbers expected")
    return values


def _geometry(words: dict[str, str]) -> XdsGeometry:
    def numbers(key: str, n: int) -> np.ndarray:
        return _numbers(key, words[key].split()[:n], n)

    axes = [numbers(f"UNIT_CELL_{a}-AXIS", 3) for a in "ABC"] if "UNIT_CELL_A-AXIS" in words else None
    span = numbers("DATA_RANGE", 2) if "DATA_RANGE" in words else None
    widths = [
        float(_numbers(k, words[k].split()[:1], 1)[0]) if k in words else None
        for k in ("BEAM_DIVERGENCE_E.S.D.", "REFLECTING_RANGE_E.S.D.")
    ]
    size = [int(numbers(k, 1)[0]) for k in ("NX", "NY")]
    return XdsGeometry(
        int(numbers("STARTING_FRAME", 1)[0]), float(numbers("STARTING_ANGLE", 1)[0]),
        float(numbers("OSCILLATION_RANGE", 1)[0]), numbers("ROTATION_AXIS", 3), numbers("INCIDENT_BEAM_DIRECTION", 3),
        float(numbers("X-RAY_WAVELENGTH", 1)[0]), int(numbers("SPACE_GROUP_NUMBER", 1)[0]),
        None if axes is None else np.array(axes), (size[0], size[1]),
        np.array([numbers(k, 1)[0] for k in ("QX", "QY")]), np.array([numbers(k, 1)[0] for k in ("ORGX", "ORGY")]),
        float(numbers("DETECTOR_DISTANCE", 1)[0]), numbers("DIRECTION_OF_DETECTOR_X-AXIS", 3),
        numbers("DIRECTION_OF_DETECTOR_Y-AXIS", 3),
        data_range=None if span is None else (int(span[0]), int(span[1])), sigma_b=widths[0], sigma_m=widths[1],
    )  # fmt: skip


def read_spots(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Positions (n, 3), intensities (n,) and indices (n, 3) or None of SPOT.XDS.

    Raises
    ------
    FileFormatError
        If rows differ in their number of columns.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines()
    count = len(lines[0].split()) if lines else 4
    try:
        rows = np.array(text.split(), dtype=np.float64).reshape(-1, count)
    except ValueError as error:
        raise _fault(path, f"{error}") from error
    if len(rows) != len(lines) or not text.endswith("\n"):
        raise _fault(path, "the last line is not complete")
    _check_rows(path, rows, slice(-3, None) if count >= 7 else slice(0, 0))
    hkl = rows[:, -3:].astype(np.int32) if count >= 7 else None
    return rows[:, :3], rows[:, 3], hkl
