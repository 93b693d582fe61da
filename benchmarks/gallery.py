"""The arena on simulated sets, ours and DIALS's, as a table for docs/explanation/gallery.md.

    python benchmarks/gallery.py                   # all sets, about 12 minutes of CPU time; DIALS takes part where it is installed
    python benchmarks/gallery.py weak ice          # these sets anew; the page says of each when it was made
    python benchmarks/gallery.py weak --print      # one set, and nothing is written
    python benchmarks/gallery.py lyso_small --read compare.json   # from a comparison that was run before

Sets are simulated anew from their parameters and their seed, lyso_small is the shared one; each is processed from the images on by every
contestant, and compared with the truth. A set that was not asked for keeps its part of the page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import spindle

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SPINDLE_SHARED_DATA", ROOT.parent / "shared" / "data"))
PAGE = ROOT / "docs" / "explanation" / "gallery.md"
CHOICES = {"background.algorithm": ["glm", "simple", "radial"], "profile.fitting": [True, False]}

_SMALL: dict[str, Any] = {
    "crystal.unit_cell": (48.0, 56.0, 67.0, 90.0, 90.0, 90.0),
    "crystal.space_group": "P 21 21 21",
    "detector.model": "300K",
    "detector.distance": 90.0,
    "scan.oscillation": 0.5,
    "scan.n_images": 30,
}
#: What each set is for, and how it differs from the others.
SETS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "lyso_small": ("tetragonal lysozyme, the first 59 images of 0.5 deg, with all that goes wrong on a beamline: a tilted detector, wrong headers, decay", None),
    "usual": ("counts and background as on most beamlines", {"structure.mean_counts": 200.0}),
    "weak": ("twelve counts in a reflection on average", {"structure.mean_counts": 12.0}),
    "ice": ("a beam through ice: nine powder rings on the images", {"structure.mean_counts": 60.0, "background.ice": 30.0}),
    "mosaic": ("a crystal of 0.5 deg mosaicity, whose spots run into each other along the rotation", {"structure.mean_counts": 200.0, "crystal.mosaic_spread": 0.5}),
    "zingers": ("stray hits, a hundred on each image", {"structure.mean_counts": 60.0, "detector.zingers": 100.0}),
    "anomalous": ("Friedel mates that differ by 5 per cent", {"structure.mean_counts": 200.0, "structure.anomalous": 0.05}),
    "sliced": ("the same crystal in images of 0.1 deg", {"structure.mean_counts": 200.0, "scan.oscillation": 0.1, "scan.n_images": 120}),
}  # fmt: skip

_HEAD = """# The arena on simulated sets

`spindle compare` of three backgrounds, with and without profile fitting, and of DIALS 3.12 with its defaults, on images whose truth is known.
Written by `python benchmarks/gallery.py`, which takes names of sets; nothing here is edited by hand. Each set says when it was made; those
without a day are older than the present form of their set, or than DIALS taking part in it.

Efficiency is the least variance that counting statistics allow, over the mean square of (found - true) counts, on the reflections that all
contestants have: 1 cannot be beaten by an unbiased measurement. The bias is that of the weakest fifth of those reflections. *rms z* is the
rms of (found - true) / sigma, 1 for honest sigmas: of counts, and of scaled intensities. Contestants that the data do not tell from the
best of their group share its place. The CPU time counts all steps from the images to scaled intensities, with those that contestants shared.
"""


def row_of(name: str, row: dict[str, Any], numbers: dict[str, Any], place: str) -> str:
    """A line of the table in Markdown."""
    weak = row["by_counts"]
    n = max(1, len(weak["n"]) // 5)
    sums = [k * c for k, c in zip(weak["n"][:n], weak["counts"][:n], strict=True)]
    bias = 100 * sum(b * s for b, s in zip(weak["bias"][:n], sums, strict=True)) / max(sum(sums), 1e-9)
    cells = [
        place, name, f"{100 * row['found']:.1f}", f"{row['efficiency']:.3f}", f"{bias:+.1f}", f"{row['counts']['rms_z']:.2f}",
        f"{row['scaled']['rms_z']:.2f}" if row["scaled"] else "", f"{row['scaled']['r_factor']:.4f}" if row["scaled"] else "",
        f"{numbers['merging']['overall']['cc_half']:.4f}" if numbers.get("merging") else "",
        f"{numbers['cpu_seconds']:.0f}" if numbers.get("cpu_seconds") else "",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def section(name: str, summary: dict[str, Any]) -> str:
    """The part of the page of one set."""
    ranking, truth = summary["ranking"], summary["truth"]["contestants"]
    numbers = {c["name"]: c for c in summary["contestants"]}
    lines = [
        f"## {name}", "",
        SETS[name][0].capitalize() + f"; {summary['truth']['n_common']} reflections in common. Made on {date.today().isoformat()}.", "",
        "| rank | contestant | found (%) | efficiency | bias, weak (%) | rms z | scaled rms z | scaled R | CC1/2 | CPU (s) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for contestant in ranking["order"]:
        lines.append(row_of(contestant, truth[contestant], numbers[contestant], ranking["places"][contestant]))
    for contestant, one in numbers.items():
        if one["reason"]:
            lines.append(f"| | {contestant} | {one['reason']} | | | | | | | |")
    if ranking["without_truth"]:
        lines += ["", f"By CC1/2 alone, without the truth, {ranking['without_truth'][0]} would have been the best."]
    return "\n".join(lines)


def compared(name: str) -> dict[str, Any]:
    """Compare one set."""
    parameters = SETS[name][1]
    with tempfile.TemporaryDirectory() as folder:
        if parameters is None:
            images = sorted((SHARED / name).glob("*.cbf*"))[:59]
        else:
            spindle.run("simulate", **{**_SMALL, **parameters, "output.directory": folder, "run.seed": 7})
            images = sorted(Path(folder).glob("*.cbf"))
        return spindle.compare(*images, choices=CHOICES, runners=["dials"]).summary


def earlier_parts() -> dict[str, str]:
    """The parts of the page as it is, by set."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    return {
        part.split("\n", 1)[0].strip(): "## " + part.strip() for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    }


def main() -> None:
    """Run the sets and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help=f"sets, by default all: {', '.join(SETS)}")
    parser.add_argument("--read", type=Path, help="the JSON of a comparison of the one set")
    parser.add_argument("--print", action="store_true", help="print, and write nothing")
    arguments = parser.parse_args()
    parts = earlier_parts()
    for name in arguments.sets or SETS:
        summary = json.loads(arguments.read.read_text()) if arguments.read else compared(name)
        parts[name] = section(name, summary)
        text = _HEAD + "\n" + "\n\n".join(parts[name] for name in SETS if name in parts) + "\n"
        if not arguments.print:  # each when it is done: all of them take a quarter of an hour
            PAGE.write_text(text, encoding="utf-8")
    if arguments.print:
        print(text)


if __name__ == "__main__":
    main()
