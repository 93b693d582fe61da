"""What came out: one entry for each set, for JSON, for the table and for the page."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spindle.report import Table
from spindle_lib_pages import Page
from spindle_lib_pages.figures import bars
from spindle_lib_verdict import COLOURS, Line, Verdict

from .running import LOG, Outcome
from .sets import DataSet

__all__ = ["FORMAT", "FORMAT_VERSION", "entry_of", "page_of", "results_of", "table_of"]

#: What batch.json says of itself; a version is raised when a name changes its meaning or goes, not when names are added.
FORMAT, FORMAT_VERSION = "spindle batch", 1
STATISTICS = "merging_statistics.json"
_OVERALL = (
    "d_max", "d_min", "n_observations", "n_unique", "multiplicity", "completeness", "i_over_sigma", "r_merge", "r_meas", "r_pim", "cc_half",
    "anomalous_completeness", "anomalous_multiplicity", "cc_anomalous",
)  # fmt: skip
_FILES = {
    "merged_mtz": "merged.mtz", "merged_all_mtz": "merged_all.mtz", "unmerged_mtz": "scaled_unmerged.mtz", "experiments": "scaled.expt",
    "reflections": "scaled.refl", "process_json": "process.json", "log": "spindle.process.log", "scaling_page": "spindle.scale.html",
    "merging_page": "spindle.merge.html", "shelx_hkl": "spindle.hkl", "shelx_ins": "spindle.ins", "output": LOG,
}  # fmt: skip


def entry_of(one: DataSet, outcome: Outcome, folder: Path) -> dict[str, Any]:
    """One set of batch.json, from what its run has left."""
    here = folder / one.name
    content = _read(here / "process.json")
    steps: dict[str, Any] = content.get("steps", {})
    if outcome.exit_code in (0, 3) and "verdict" in content:
        verdict = Verdict.from_dict(content["verdict"])
    else:
        said = outcome.message.removeprefix("error: ").splitlines() or [
            f"the run ended with the exit code {outcome.exit_code}"
        ]
        verdict = _failed(content, said[0])
    symmetry = steps.get("symmetry", {})
    index = steps.get("index", {})
    refined = steps.get("refine_in_symmetry", steps.get("refine", {}))
    cells = refined.get("cells") or ([symmetry["unit_cell"]] if "unit_cell" in symmetry else [])
    return {
        "name": one.name, "folder": str(here), "n_files": len(one.files), "first_image": one.files[0], "last_image": one.files[-1],
        "parameters": list(one.words), "exit_code": outcome.exit_code, "seconds": round(outcome.seconds, 1), "colour": verdict.colour,
        "verdict": verdict.as_dict(), "error": outcome.message or None,
        "n_images": steps.get("import", {}).get("n_images"), "fraction_indexed": index.get("fraction_indexed"),
        "n_lattices": index.get("n_lattices"), "space_group": steps.get("merge", symmetry).get("space_group"),
        "unit_cell": [round(float(v), 4) for v in cells[0]] if cells else None,
        "resolution_of_all": steps.get("scale", {}).get("d_min"),
        "statistics": _statistics(here / STATISTICS) if "merge" in steps else None,
        "files": {name: str(here / file) for name, file in _FILES.items() if (here / file).is_file()},
    }  # fmt: skip


def _failed(content: dict[str, Any], said: str) -> Verdict:
    """The verdict of a run that did not come to its end: that of process.json where it is of this run, else what was said."""
    if content.get("failed") and str(content["failed"]).splitlines()[0] == said and "verdict" in content:
        return Verdict.from_dict(content["verdict"])
    return Verdict((Line("red", "run", said, "the run did not come to its end", f"read {LOG} in its folder"),))


def _statistics(path: Path) -> dict[str, Any] | None:
    """Overall, inner and outer shell of the first wavelength."""
    content = _read(path).get("wavelength_1")
    if not isinstance(content, dict):
        return None
    shells = content.get("shells") or [{}]
    parts = {"overall": content.get("overall", {}), "inner": shells[0], "outer": shells[-1]}
    return {name: {key: _finite(values.get(key)) for key in _OVERALL} for name, values in parts.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def results_of(entries: Sequence[dict[str, Any]], version: str, is_finished: bool) -> dict[str, Any]:
    """The content of batch.json."""
    colours = Counter(e["colour"] for e in entries)
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION, "spindle": version,
        "written": datetime.now(UTC).isoformat(timespec="seconds"), "is_finished": is_finished,
        "n_sets": len(entries), "colours": {colour: colours.get(colour, 0) for colour in COLOURS}, "sets": list(entries),
    }  # fmt: skip


def table_of(entries: Sequence[dict[str, Any]]) -> Table:
    """One line for each set."""
    headers = [
        "Set",
        "Verdict",
        "Images",
        "Indexed (%)",
        "Space group",
        "d_min (A)",
        "Complete (%)",
        "I/sigma",
        "CC1/2",
        "Why",
    ]
    rows = []
    for e in entries:
        overall = (e["statistics"] or {}).get("overall", {})
        first = next((line for line in e["verdict"]["lines"] if line["colour"] != "green"), None)
        rows.append([
            e["name"], e["colour"], e["n_images"] or e["n_files"], _text(e["fraction_indexed"], 100, 0), e["space_group"],
            _text(overall.get("d_min"), 1, 2), _text(overall.get("completeness"), 100, 1), _text(overall.get("i_over_sigma"), 1, 1),
            _text(overall.get("cc_half"), 1, 3), "" if first is None else first["said"],
        ])  # fmt: skip
    return Table("Data sets", headers, rows, "batch")


def _text(value: float | None, factor: float, digits: int) -> str | None:
    return None if value is None else f"{factor * value:.{digits}f}"


def page_of(entries: Sequence[dict[str, Any]], is_finished: bool) -> str:
    """The page of all sets."""
    colours = Counter(e["colour"] for e in entries)
    so_far = "" if is_finished else " so far"
    page = Page("Batch", f"{len(entries)} data sets{so_far}: " + ", ".join(f"{colours.get(c, 0)} {c}" for c in COLOURS))
    page.section("All sets")
    page.table(table_of(entries))
    merged = [e for e in entries if e["statistics"]]
    if len(merged) > 1:
        names = [e["name"] for e in merged]
        for title, key, factor in (
            ("Resolution (A)", "d_min", 1.0),
            ("Completeness (%)", "completeness", 100.0),
            ("I/sigma", "i_over_sigma", 1.0),
        ):
            values = [factor * (e["statistics"]["overall"][key] or 0.0) for e in merged]
            page.plot(bars(title, "", title, [("", names, values)]))
    mood = {"green": "good", "amber": "doubtful", "red": "bad"}
    for e in sorted(entries, key=lambda e: -COLOURS.index(e["colour"])):
        page.section(e["name"])
        page.links([(name.replace("_", " "), f"{e['name']}/{Path(file).name}") for name, file in e["files"].items()])
        for line in e["verdict"]["lines"]:
            if line["colour"] != "green":
                text = ": ".join(part for part in (line["said"], line["reason"]) if part)
                page.text(text + (f". Next: {line['next_step']}" if line["next_step"] else ""), mood[line["colour"]])
        good = [line["said"] for line in e["verdict"]["lines"] if line["colour"] == "green"]
        if good:
            page.text("; ".join(good), "good")
    return page.html()
