"""Items, loops and quoted values of CIF."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import IO

__all__ = ["loop", "plain", "software"]


def plain(value: object) -> str:
    """A value as CIF has it: quoted where it must be, ``?`` for what is not known."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "?"
    if isinstance(value, float):
        return f"{value:.7g}"
    text = str(value)
    if not text:
        return "?"
    if (
        any(c in text for c in " \t'\"#$_;[]")
        or text[0] in "?."
        or text.lower().startswith(("data_", "loop_", "save_"))
    ):
        return f"'{text}'" if "'" not in text else f'"{text}"'
    return text


def loop(file: IO[str], category: str, items: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a loop, or single items where there is one row."""
    lines = [[plain(v) for v in row] for row in rows]
    if len(lines) == 1:
        for item, value in zip(items, lines[0], strict=True):
            file.write(f"{category}.{item:32s} {value}\n")
        file.write("#\n")
        return
    head(file, category, items)
    for line in lines:
        file.write(" ".join(line) + "\n")
    file.write("#\n")


def head(file: IO[str], category: str, items: Sequence[str]) -> None:
    """Write the names of a loop."""
    file.write("loop_\n" + "".join(f"{category}.{item}\n" for item in items))


def software(file: IO[str], scaled: bool) -> None:
    """Write which programs made the data."""
    from importlib.metadata import version

    number = version("spindle-exporter-mmcif")
    kinds = ["data reduction"] + (["data scaling"] if scaled else [])
    rows = [[i + 1, "Spindle", number, kind] for i, kind in enumerate(kinds)]
    loop(file, "_software", ["pdbx_ordinal", "name", "version", "classification"], rows)
