"""How strong must a spot be? Threshold settings against what indexing makes of the spots.

    python thresholds_and_indexing.py images/*.cbf

A low threshold finds more spots of the crystal and more that are none. What counts is how many spots are indexed and how far they lie from
where the model puts them. The images are read once for each setting; nothing is integrated.
"""

from __future__ import annotations

import sys

import spindle

SIGMAS = [2.0, 3.0, 5.0]


def main(images: list[str]) -> dict[str, tuple[int, int]]:
    """Compare and print; return the numbers of spots found and indexed by setting."""
    result = spindle.compare(
        *images, choices={"spotfinder.threshold.dispersion.sigma_strong": SIGMAS}, stop_after="refine"
    )
    found = {}
    for row in result.summary["contestants"]:
        if row["reason"]:
            print(f"{row['name']}: {row['reason']}")
            continue
        x, y, _ = row["rmsd_px"]
        found[row["name"]] = row["n_spots"], row["n_indexed"]
        print(
            f"{row['name']}: {row['n_indexed']} of {row['n_spots']} spots indexed, rms deviation {x:.3f} and {y:.3f} px"
        )
    order = result.summary["ranking"]["order"]
    print(f"most rightly indexed spots: {order[0]}" if order else result.summary["ranking"]["rests_on"])
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
