"""Kinds of files that fabio reads and that no other format of Spindle understands, by their first bytes.

Asking fabio itself would also take what other formats read: exactly one format may understand a file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of file.

    Attributes
    ----------
    name : str
        For messages.
    module, cls : str
        fabio's reader.
    """

    name: str
    module: str
    cls: str


def _is_nonius(head: bytes) -> bool:
    first = head[:1024]
    return first.startswith(b"No") and b"X dimension" in first and b"Data type" in head[:4096]


def _is_fit2d(head: bytes) -> bool:
    return bool(re.match(rb"\\ ?\n?.{0,40}Fit2d|\xbd\x2dFIT2D", head))


def _is_hipic(head: bytes) -> bool:
    if not head.startswith(b"IM") or len(head) < 64:
        return False
    comment, width, height = struct.unpack_from("<3H", head, 2)
    return 0 < comment < 65535 and width > 0 and height > 0 and b"HiPic" in head[64 : 64 + comment]


_KINDS: list[tuple[Callable[[bytes], bool], Kind]] = [
    (lambda h: h.startswith(b"ADEPT"), Kind("GE", "GEimage", "GeImage")),
    (_is_nonius, Kind("Nonius KappaCCD", "kcdimage", "KcdImage")),
    (lambda h: h.startswith(b"ESPERANTO FORMAT"), Kind("Esperanto", "esperantoimage", "EsperantoImage")),
    (_is_hipic, Kind("HiPic", "HiPiCimage", "HipicImage")),
    (_is_fit2d, Kind("Fit2D", "fit2dimage", "Fit2dImage")),
]


def kind_of(head: bytes) -> Kind | None:
    """Kind of a file; None when it is none of them."""
    return next((kind for test, kind in _KINDS if test(head)), None)


def names() -> list[str]:
    """Names of all kinds."""
    return [kind.name for _, kind in _KINDS]
