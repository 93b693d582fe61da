"""Our scaled intensities against those of XDS, reflection by reflection.

    python against_xds.py scaled.refl XDS_ASCII.HKL

Both have to be of the same images. Reflections are paired by their places on the detector, so it does not matter that the two programs chose
other axes; the script says so where they did. The two have scales of their own, so the slope is free, and a slope that changes with
resolution is a difference in decay or absorption corrections.
"""

from __future__ import annotations

import sys

import spindle


def main(ours: str, theirs: str) -> dict[str, float]:
    """Compare and print; return the correlation and the slope."""
    result = spindle.compare(results={"spindle": ours, "XDS": theirs})
    for key in ("compare", "compare_common"):
        print(result.table(key))
    (pair,) = result.summary["pairs"]["scaled"]
    print("CC {cc:.5f}, slope {slope:.4f}, {n} reflections that both have".format(**pair))
    print("resolution (A)   CC")
    for d_max, d_min, cc in zip(*(pair["shells"][name] for name in ("d_max", "d_min", "cc")), strict=True):
        print(f"{d_max:6.2f} - {d_min:.2f}   {cc:.4f}")
    for note in result.summary["notes"]:
        print(note)
    result.write("compare.html")
    return {"cc": pair["cc"], "slope": pair["slope"]}


if __name__ == "__main__":
    main(*sys.argv[1:])
