"""What the user reads about an import: counts, what was left out, why sweeps were cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.errors import FileFormatError, fault
from spindle.report import Table

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.models import Experiments

    from .grouping import Break, Run
    from .headers import Headers


def report_refused(headers: Headers, params: Any, context: RunContext) -> None:
    """Name the files that are not read; stop when none is left or the user wants every file read."""
    if not headers.refused:
        return
    n = len(headers.refused)
    listing = _by_reason(headers.refused)
    if not headers.items:
        if n == 1:
            path, text = headers.refused[0]
            raise FileFormatError(f"{path}: it cannot be imported: {_reason(path, text)}")
        listing = listing.strip() if "\n" not in listing else f"\n{listing}"
        raise FileFormatError(f"none of the {n} files can be imported: {listing}")
    if not params.input.ignore_unhandled:
        raise FileFormatError(f"input.ignore_unhandled=False and {n} files cannot be read:\n{listing}")
    context.log.warning("%d of %d files are left out:\n%s", n, n + len({h.path for h in headers.items}), listing)


NO_IMAGE = "first bytes: expected those of an image"
MOST_NAMED = 100


def _reason(path: str, text: str) -> str:
    """What is said of a file, without its name."""
    return text.removeprefix(path).lstrip(":, ")


def damaged_images(headers: Headers) -> dict[str, Any]:
    """What the summary says of images that are left out since they cannot be read; files that are no images do not count."""
    found = [(path, _reason(path, text)) for path, text in headers.refused]
    found = [(path, reason) for path, reason in found if not reason.startswith(NO_IMAGE)]
    named = [{"path": path, "reason": reason} for path, reason in found[:MOST_NAMED]]
    return {"n_left_out_images": len(found), "left_out_images": named}


def _by_reason(refused: Sequence[tuple[str, str]], most: int = 10) -> str:
    """Lines that name files with equal reasons together."""
    groups: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for path, reason in refused:
        text = _reason(path, reason)
        # Files that are no images differ in their first bytes only, of which those of one are enough.
        key = "no image" if text.startswith(NO_IMAGE) else text
        texts.setdefault(key, text)
        groups.setdefault(key, []).append(path)
    lines = []
    for key, paths in list(groups.items())[:most]:
        reason = texts[key]
        names = ", ".join([paths[0], *(Path(p).name for p in paths[1:3])])
        lines.append(f"  {names}{f' and {len(paths) - 3} more' if len(paths) > 3 else ''}: {reason}")
    if len(groups) > most:
        lines.append(f"  and {len(groups) - most} more reasons")
    return "\n".join(lines)


def report_breaks(breaks: Sequence[Break], context: RunContext) -> None:
    """Say why images with one template make several sweeps; the first few places of each kind."""
    kinds: dict[tuple[str, str], list[Break]] = {}
    for b in breaks:
        kinds.setdefault((b.template, b.remedy if b.differences else b.expected.split()[0]), []).append(b)
    for found in kinds.values():
        for b in found[:3]:
            where = f"image {b.after}, where a new sweep begins"
            context.log.warning("%s: %s", b.template, fault(where, b.expected, b.found, b.remedy))
            if b.differences:
                context.table(
                    Table(
                        title=f"Differences between images {b.before} and {b.after}",
                        headers=("Item", f"Image {b.before}", f"Image {b.after}"),
                        rows=[list(d) for d in b.differences],
                        key="geometry_conflict",
                    )
                )
        if len(found) > 3:
            context.log.warning("%s: and %d more places of this kind", found[0].template, len(found) - 3)


def report_counts(headers: Headers, runs: Sequence[Run], context: RunContext) -> None:
    """The counts that users look at first."""
    formats = sorted({h.format for h in headers.items})
    sequences = [r for r in runs if r.kind != "image"]
    still_series = {id(r.series) for r in runs if r.kind == "still"}
    line = "-" * 80
    context.log.info("%s", line)
    context.log.info("  format: %s", ", ".join(formats))
    context.log.info("  num images: %d", len(headers.items))
    context.log.info("  sequences:")
    context.log.info("    still:    %d", len(still_series))
    context.log.info("    sweep:    %d", sum(1 for r in sequences if r.kind == "sweep"))
    context.log.info("  num stills: %d", sum(len(r.frames) for r in runs if r.kind == "image"))
    context.log.info("%s", line)


def overview(experiments: Experiments) -> Table:
    """One line per sweep; stills of one template share a line."""
    rows: list[list[Any]] = []
    shared: dict[int, list[Any]] = {}
    for experiment in experiments:
        imageset, scan = experiment.imageset, experiment.scan
        where = (
            "" if imageset is None else Path(imageset.template or (imageset.paths[0] if imageset.paths else "")).name
        )
        distance = f"{experiment.detector[0].distance:.2f}"
        wavelength = f"{experiment.beam.wavelength:.5f}"
        if scan is not None and not experiment.is_still:
            first, last = scan.image_range
            start, width = scan.oscillation_deg
            rows.append([where, f"{first}-{last}", f"{start:g}", f"{width:g}", wavelength, distance])
            continue
        key = id(imageset)
        if key in shared:
            shared[key][1] = f"{shared[key][1].split('-')[0]}-{scan.image_range[1] if scan else ''}"
            continue
        number = f"{scan.image_range[0]}-{scan.image_range[1]}" if scan else "1"
        rows.append(
            [where, number, "still" if scan is None else f"{scan.oscillation_deg[0]:g}", "0", wavelength, distance]
        )
        shared[key] = rows[-1]
    extra = []
    if len(rows) > 25:
        extra = [["...", f"{len(rows) - 25} more", "", "", "", ""]]
    return Table(
        title="Imported",
        headers=("Images", "Numbers", "Start (deg)", "Width (deg)", "Wavelength (A)", "Distance (mm)"),
        rows=rows[:25] + extra,
        key="imported",
    )
