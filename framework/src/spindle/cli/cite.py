"""``spindle cite RECORD``: the publications behind what a run used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.contracts.citation import Citation
from spindle.errors import PluginError, UserError
from spindle.execution.compile_cache import prepare_compile_cache
from spindle.execution.record import read_record
from spindle.plugins import registry
from spindle.printable import printable

FORMATS = ("text", "bibtex")

#: What every run uses: its models' symmetry and its MTZ and CIF files.
OF_THE_HOST = (
    Citation(
        "Wojdyr, M.", 2022, "GEMMI: A library for structural biology", "J. Open Source Softw.", "7", "4200",
        "10.21105/joss.04200",
    ),
)  # fmt: skip


def cite_command(words: list[str]) -> int:
    """``spindle cite RECORD [RECORD ...] [format=text|bibtex]``."""
    files, form = [], "text"
    for word in words:
        key, is_setting, value = word.partition("=")
        if is_setting and key == "format":
            form = value
        elif word.startswith("-") or is_setting:
            raise UserError(f"spindle cite has no option {word}; give run records (.json) and format=text or bibtex")
        else:
            files.append(Path(word))
    if form not in FORMATS:
        raise UserError(f"spindle cite: format={form} is not one of {', '.join(FORMATS)}")
    if not files:
        raise UserError("spindle cite: give the record of a run, for example process.json or spindle.integrate.json")
    print(printable(cited([read_record(path) for path in files], form)))
    return 0


def cited(records: list[dict[str, Any]], form: str = "text") -> str:
    """Return what the runs of some records are to cite.

    Parameters
    ----------
    records : list of dict
        See `spindle.execution.record.read_record`.
    form : str
        One of `FORMATS`.
    """
    uses = used_for(records)
    if form == "bibtex":
        return "\n\n".join([_bibtex_of_spindle(records), *(citation.bibtex() for citation in uses)])
    lines = [_sentence(records), "", "References"]
    for citation, places in uses.items():
        lines += [f"  {citation}", f"      for {', '.join(places)}"]
    return "\n".join(lines)


def used_for(records: list[dict[str, Any]]) -> dict[Citation, list[str]]:
    """Return each publication with the plugins that name it, in the order of the authors."""
    found: dict[Citation, list[str]] = {citation: ["symmetry, MTZ and CIF files"] for citation in OF_THE_HOST}
    prepare_compile_cache()
    for record in records:
        for slot, name in _plugins(record):
            try:
                plugin: Any = registry().load(slot, name)
            except PluginError:  # not installed here: it cannot say what it is based on
                continue
            for citation in getattr(plugin, "citations", ()):
                places = found.setdefault(citation, [])
                place = f"spindle {name}" if slot == "program" else f"{slot}.{name}"
                if place not in places:
                    places.append(place)
    return dict(sorted(found.items(), key=lambda item: (item[0].authors.lower(), item[0].year)))


def _plugins(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Slot and name of what a run used, without plugins that it only looked at."""
    tells = any(plugin.get("made") for plugin in record["plugins"])  # records of earlier versions do not
    return [
        (plugin["slot"], plugin["name"])
        for plugin in record["plugins"]
        if plugin.get("made") or plugin["slot"] == "program" or not tells
    ]


def _sentence(records: list[dict[str, Any]]) -> str:
    """A sentence for the section on methods."""
    steps = []
    for record in records:
        chosen = [
            f"{slot} {name}"
            for slot, name in _plugins(record)
            if slot not in ("program", "format", "executor", "observer")
        ]
        programs = [name for slot, name in _plugins(record) if slot == "program" and name != record["program"]]
        inside = "; ".join(part for part in (", ".join(programs), ", ".join(chosen)) if part)
        steps.append(f"{record['program']} ({inside})" if inside else record["program"])
    version = records[0]["versions"].get("spindle", "")
    return f"Data were processed with Spindle {version}: {', then '.join(steps)}."


def _bibtex_of_spindle(records: list[dict[str, Any]]) -> str:
    version = records[0]["versions"].get("spindle", "")
    return (
        "@software{spindle,\n  author = {{Spindle developers}},\n"
        "  title = {Spindle: rotation diffraction data processing in which every algorithm is a plugin},\n"
        f"  version = {{{version}}},\n}}"
    )
