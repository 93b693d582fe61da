"""The arena on simulated sets, ours and DIALS's, as a table for docs/explanation/gallery.md.

    python benchmarks/gallery.py                   # all sets, about 15 minutes of CPU time; DIALS takes part where it is installed
    python benchmarks/gallery.py weak ice          # these sets
    python benchmarks/gallery.py weak --print      # one set, and nothing is written
    python benchmarks/gallery.py --anew            # also those that an earlier call has finished

Sets are simulated from their parameters and their seed, lyso_small is the shared one; each is processed from the images on by every
contestant, and compared with the truth. What a set gave stays in a folder (--folder), with what it was made of: a call that was
interrupted, or one for other sets, does not repeat what is there of the same parameters, contestants and version. The page of each
comparison stays beside its numbers. A set that was not asked for keeps its part of the page.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import spindle

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("SPINDLE_SHARED_DATA", ROOT.parent / "shared" / "data"))
PAGE = ROOT / "docs" / "explanation" / "gallery.md"
CHOICES = {"background.algorithm": ["glm", "simple", "radial"], "profile.fitting": [True, False]}
FOLDER = Path(tempfile.gettempdir()) / "spindle-gallery"
SEED = 7

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
Written by `python benchmarks/gallery.py`, which takes names of sets and goes on where it was interrupted; nothing here is edited by hand.

Efficiency is the least variance that counting statistics allow, over the mean square of (found - true) counts, on the reflections that all
contestants have: 1 cannot be beaten by an unbiased measurement. The bias is that of the fifth of those reflections whose *true* counts are
least, with its standard error: contestants share the photons, and with them most of that error, and one set tells little. The weakest fifth
of *weak* has a quarter of a count per reflection; over 16 sets of other seeds its bias with glm and profile fitting is +7 ± 5 %, where
single sets gave -16 to +44 %; over six of *mosaic* it is +2 ± 2 %. Efficiencies of single sets scatter by 3 %, too. *rms z* is the
rms of (found - true) / sigma, 1 for honest sigmas: of counts, and of scaled intensities. Contestants that the data do not tell from the
best of their group share its place. The CPU time counts all steps from the images to scaled intensities, with those that contestants shared.
"""


def row_of(name: str, row: dict[str, Any], numbers: dict[str, Any], place: str) -> str:
    """A line of the table in Markdown."""
    weak = row["by_counts"]
    n = max(1, len(weak["n"]) // 5)
    sums = [k * c for k, c in zip(weak["n"][:n], weak["counts"][:n], strict=True)]
    bias = 100 * sum(b * s for b, s in zip(weak["bias"][:n], sums, strict=True)) / max(sum(sums), 1e-9)
    error = 100 * math.hypot(*(e * s for e, s in zip(weak["bias_error"][:n], sums, strict=True))) / max(sum(sums), 1e-9)
    cells = [
        place, name, f"{100 * row['found']:.1f}", f"{row['efficiency']:.3f}", f"{bias:+.1f} ± {error:.1f}", f"{row['counts']['rms_z']:.2f}",
        f"{row['scaled']['rms_z']:.2f}" if row["scaled"] else "", f"{row['scaled']['r_factor']:.4f}" if row["scaled"] else "",
        f"{numbers['merging']['overall']['cc_half']:.4f}" if numbers.get("merging") else "",
        f"{numbers['cpu_seconds']:.0f}" if numbers.get("cpu_seconds") else "",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def section(name: str, summary: dict[str, Any], made: str) -> str:
    """The part of the page of one set, made on a day."""
    ranking, truth = summary["ranking"], summary["truth"]["contestants"]
    numbers = {c["name"]: c for c in summary["contestants"]}
    lines = [
        f"## {name}", "",
        SETS[name][0].capitalize() + f"; {summary['truth']['n_common']} reflections in common. Made on {made}.", "",
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


def compared(name: str, folder: Path, anew: bool) -> tuple[dict[str, Any], str]:
    """Compare one set, or take what an earlier call found; the summary and the day."""
    parameters = SETS[name][1]
    runners = ["dials"] if shutil.which("dials.integrate") else []
    made_of = json.dumps(
        [parameters, _SMALL if parameters else None, SEED, CHOICES, runners, version("spindle-diffraction-base")]
    )
    kept = folder / f"{name}.json"
    if kept.is_file() and not anew:
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["made_of"] == made_of:
            return found["summary"], found["made"]
    if parameters is None:
        images = sorted((SHARED / name).glob("*.cbf*"))[:59]
        if not images:
            raise SystemExit(f"{SHARED / name}: no images; set SPINDLE_SHARED_DATA to the folder of shared data")
    else:
        place = folder / name
        shutil.rmtree(place, ignore_errors=True)  # of a call that was interrupted
        spindle.run("simulate", **{**_SMALL, **parameters, "output.directory": str(place), "run.seed": SEED})
        images = sorted(place.glob("*.cbf"))
    result = spindle.compare(*images, choices=CHOICES, runners=runners)
    result.files["compare.html"](folder / f"{name}.html")
    made = date.today().isoformat()
    new = kept.with_suffix(".new")
    new.write_text(json.dumps({"made_of": made_of, "made": made, "summary": result.summary}), encoding="utf-8")
    new.replace(kept)
    if parameters is not None:
        shutil.rmtree(folder / name)
    return result.summary, made


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
    parser.add_argument("--print", action="store_true", help="print, and write nothing")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results stay, %(default)s")
    parser.add_argument("--anew", action="store_true", help="repeat also what an earlier call has finished")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.sets) - set(SETS)):
        parser.error(f"no set of the name {', '.join(unknown)}; they are {', '.join(SETS)}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    parts = earlier_parts()
    for name in arguments.sets or SETS:
        parts[name] = section(name, *compared(name, arguments.folder, arguments.anew))
        text = _HEAD + "\n" + "\n\n".join(parts[name] for name in SETS if name in parts) + "\n"
        if not arguments.print:  # each when it is done: all of them take a quarter of an hour
            PAGE.write_text(text, encoding="utf-8")
    if arguments.print:
        print(text)


if __name__ == "__main__":
    main()
