"""What was run: the records that programs leave beside their files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError, HeaderError
from spindle.execution import file_entry, read_record
from spindle.report import Section, Table
from spindle_lib_verdict import facts_of_steps

__all__ = ["is_one_run", "records_of", "run_section"]

MOST_RECORDS, MOST_CHANGES = 40, 12
MERGE = "merge"
#: Leaves a record of all that its steps have written, and they one each.
WHOLE = "process"
#: Programs whose summaries tell all that a verdict needs; what others have done to the data only the data tell.
JUDGED = ("import", "find_spots", "index", "refine", "integrate", "symmetry", "scale", MERGE)


def records_of(sources: Sequence[Path]) -> list[dict[str, Any]]:
    """Records of the runs that led to some files, the first run first; the last may have merged them.

    Parameters
    ----------
    sources : sequence of Path
        Files of experiments and reflections. Records are looked for in their folders, ``spindle.<program>.json``; files are known by their
        names, so that a folder may have been moved.
    """
    found: list[tuple[Path, dict[str, Any]]] = []
    folders = dict.fromkeys(p.absolute().parent for p in sources)
    for folder in folders:
        for path in sorted(folder.glob("spindle.*.json"))[:MOST_RECORDS]:
            try:
                found.append((folder, read_record(path)))
            except (FileFormatError, HeaderError, OSError):
                continue  # some other JSON file of ours, or a record of another version
    known = {(p.absolute().parent, p.name) for p in sources}
    chain: list[dict[str, Any]] = []
    waiting = sorted(found, key=_finished, reverse=True)
    for _, group in groupby(waiting, key=_finished):  # the last first: what one has read an earlier one has written
        together = list(group)  # within one second; which of them is earlier only their files tell
        while entry := next((e for e in together if _led_to(*e, known)), None):
            together.remove(entry)
            folder, record = entry
            chain.append(record)
            known |= _names(folder, record["inputs"])
    return chain[::-1]


def _finished(entry: tuple[Path, dict[str, Any]]) -> str:
    return str(entry[1].get("finished", ""))


def _names(folder: Path, entries: Sequence[dict[str, Any]]) -> set[tuple[Path, str]]:
    return {(folder, Path(e["path"]).name) for e in entries}


def _led_to(folder: Path, record: dict[str, Any], known: set[tuple[Path, str]]) -> bool:
    """Whether a run has written one of the known files, or merged them as they are."""
    given = _names(folder, record["inputs"])
    merged = record["program"] == MERGE and given <= known and _is_of(record, given)
    return merged or bool(_names(folder, record["outputs"]) & known)


def _is_of(record: dict[str, Any], given: set[tuple[Path, str]]) -> bool:
    """Whether the files that a run has read are as they were then: none was written since."""
    try:
        finished = datetime.fromisoformat(str(record.get("finished", ""))).timestamp()
        return all((folder / name).stat().st_mtime <= finished + 1.0 for folder, name in given)  # told in whole seconds
    except (ValueError, OSError):
        return False


def is_one_run(sources: Sequence[Path], records: Sequence[dict[str, Any]]) -> bool:
    """Whether records are those of one chain of steps that has made all files as they are now: then its verdict is theirs.

    Parameters
    ----------
    sources : sequence of Path
        Files of experiments and reflections.
    records : sequence of dict
        As of `records_of`.
    """
    records = [r for r in records if r["program"] != WHOLE]
    programs = [r["program"] for r in records]
    twice = [p for p in set(programs) if programs.count(p) > 1 and p != "refine"]
    if not records or twice or not set(programs) <= set(JUDGED):
        return False
    written = {Path(entry["path"]).name: (record, entry) for record in records for entry in record["outputs"]}
    return all(
        path.name in written and _is_as_written(path, *written[path.name])
        for path in sources
        if path.suffix in (".expt", ".refl")
    )


def _is_as_written(path: Path, record: dict[str, Any], entry: dict[str, Any]) -> bool:
    """By its time, or by its content where it was copied."""
    try:
        found = path.stat()
        if "size" in entry and found.st_size != entry["size"]:
            return False
        finished = datetime.fromisoformat(str(record.get("finished", ""))).timestamp()
        return found.st_mtime <= finished + 1.0 or file_entry(path)["sha256"] == entry.get("sha256")
    except (ValueError, OSError):
        return False


def _named(files: Sequence[str], most: int = 4) -> str:
    more = len(files) - most
    return ", ".join(files[:most]) + (f" and {more} more" if more > 0 else "")


def run_section(sources: Sequence[Path]) -> Section:
    """Programs, versions and parameters behind some files."""
    title, key = "What was run", "runs"
    if not sources:
        return Section.missing(title, key, "The data came from memory, not from files.")
    records = records_of(sources)
    if not records:
        return Section.missing(
            title, key, "No run record (spindle.<program>.json) beside the files says how they were made."
        )
    section = Section(title, key)
    rows, changes = [], []
    for record in records:
        modified = {k: v for k, v in record.get("modified", {}).items() if not k.startswith(("output.", "mp."))}
        rows.append(
            [record["program"], str(record.get("finished", "--"))[:19].replace("T", " "), f"{float(record.get('seconds', 0.0)):.1f}",
             record["versions"].get("spindle", "--"), _named([Path(e["path"]).name for e in record["outputs"]])]
        )  # fmt: skip
        for name, value in list(modified.items())[:MOST_CHANGES]:
            text = str(value)
            changes.append([record["program"], name, text if len(text) <= 80 else text[:77] + "..."])
    section.tables.append(Table("Runs", ["Program", "Finished (UTC)", "Seconds", "Spindle", "Wrote"], rows, "runs"))
    if changes:
        section.tables.append(
            Table(
                "Parameters that were not left at their defaults",
                ["Program", "Parameter", "Value"],
                changes,
                "parameters",
            )
        )
    else:
        section.text.append("All parameters were left at their defaults.")
    last = records[-1]
    others = {
        f"{p['slot']} {p['name']}": f"{p['distribution']} {p['version']}"
        for r in records
        for p in r["plugins"]
        if p.get("slot") not in ("program", "format")  # of formats all are asked whose file it is
    }
    if others:
        listed = [[name, what] for name, what in sorted(others.items())]
        section.tables.append(Table("Algorithms", ["Plugin", "Distribution and version"], listed, "plugins"))
    section.text.append("Versions: " + ", ".join(f"{n} {v}" for n, v in last["versions"].items()) + ".")
    section.text.append("spindle replay spindle.<program>.json repeats a run as it was.")
    summaries = {r["program"]: r["summary"] for r in records if isinstance(r.get("summary"), dict)}
    if is_one_run(sources, records):
        section.values["facts_of_run"] = facts_of_steps(summaries).as_dict()
    if MERGE in summaries:  # the data as they are used, perhaps cut
        section.values["facts_of_merged"] = facts_of_steps({MERGE: summaries.pop(MERGE)}).as_dict()
    section.values["facts"] = facts_of_steps(summaries).as_dict()
    section.values["records"] = [
        {k: r.get(k) for k in ("program", "finished", "seconds", "versions", "modified", "plugins", "seed", "argv")}
        for r in records
    ]
    return section
