"""The answer about one image, as XML."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["to_xml"]

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Elements of the XML answer: name, name in the JSON answer, how it is written.
_ELEMENTS = (
    ("image", "image", "%s"),
    ("spot_count", "n_spots_total", "%d"),
    ("spot_count_no_ice", "n_spots_no_ice", "%d"),
    ("d_min", "estimated_d_min", "%.2f"),
    ("d_min_method_1", "d_min_distl_method_1", "%.2f"),
    ("d_min_method_2", "d_min_distl_method_2", "%.2f"),
    ("total_intensity", "total_intensity", "%.0f"),
)
_INDEXED = (("n_indexed", "n_indexed", "%d"), ("fraction_indexed", "fraction_indexed", "%.2f"))


def to_xml(content: dict[str, Any]) -> bytes:
    """XML text in UTF-8: a ``<response>`` with the elements that clients of DIALS print."""
    lines = [_element(tag, form % content[key]) for tag, key, form in _ELEMENTS if content.get(key) is not None]
    for lattice in content.get("lattices", ()):
        lines.append(_element("unit_cell", " ".join(f"{v:.6g}" for v in lattice["unit_cell"])))
    lines += [_element(tag, form % content[key]) for tag, key, form in _INDEXED if key in content]
    if "error" in content:
        lines.append(_element("error", str(content["error"])))
    return ("<response>\n" + "\n".join(lines) + "\n</response>\n").encode("utf-8", "backslashreplace")


def _element(tag: str, text: str) -> str:
    return f"<{tag}>{escape(_NOT_IN_XML.sub('?', text))}</{tag}>"
