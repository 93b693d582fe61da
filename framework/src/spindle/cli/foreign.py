"""Files of parameters in languages that Spindle does not read, told from data by the names in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from spindle.errors import ParameterError

__all__ = ["FOREIGN_SUFFIXES", "refuse_foreign_parameters"]

FOREIGN_SUFFIXES = (".yaml", ".yml", ".ini", ".cfg", ".conf", ".json")
_LINE = re.compile(r"""^\s*(?:-\s+)?["']?([A-Za-z_][\w.]*)["']?\s*[:=]\s*(\S.*?)?,?\s*$""", re.MULTILINE)
_MOST = 1 << 20


def refuse_foreign_parameters(program: str, files: Iterable[Path], is_parameter: Callable[[str], bool]) -> None:
    """Raise for a file whose values are parameters of the program, written in YAML, JSON or as an INI file.

    Taken for data it would be left out, and its parameters lost. At least half of the names with a value must be
    parameters: calibrations and notes beside the images stay what they are.

    Raises
    ------
    ParameterError
        Names the file, a parameter in it and what can be read.
    """
    for path in files:
        if path.suffix.lower() not in FOREIGN_SUFFIXES or not path.is_file() or path.stat().st_size > _MOST:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        names = [name for name, value in _LINE.findall(text) if value and value not in ("{", "[")]
        known = [name for name in names if is_parameter(name)]
        if known and 2 * len(known) >= len(names):
            raise ParameterError(
                f"{program}: {path} holds parameters ({', '.join(known[:3])}{' ...' if len(known) > 3 else ''}) in a form that "
                f"is not read: write them as TOML ({path.stem}.toml, with lines such as {known[0].rpartition('.')[2]} = value "
                "below [scope]), as PHIL, or on the command line"
            )
