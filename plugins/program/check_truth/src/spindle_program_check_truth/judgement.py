"""Whether what was found is right, in a sentence: the last line of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["doubts"]

#: Less than half of the reflections that were there, and it is another lattice or a part of the sweep.
LEAST_FOUND = 50.0
#: More than this part of the matched ones with another index, and it is another lattice.
MOST_WRONG = 0.01
#: Counts that are off by more than this, and sigmas that are off by more than this factor.
MOST_BIAS, MOST_SIGMA = 0.05, 1.5
NAMES = {"sum": "summed counts", "prf": "profile-fitted counts", "scale": "scaled intensities"}


def doubts(experiments: Sequence[Mapping[str, Any]], kinds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is not as the truth has it; empty where all is.

    Parameters
    ----------
    experiments : sequence of mapping
        Numbers of the first table, of each experiment.
    kinds : mapping of str to mapping
        Agreement of the intensities, ``sum``, ``prf`` and ``scale``: scale, and rms_z of all. Only counts have a scale that can be wrong.
    """
    found = []
    for number, one in enumerate(experiments):
        of = f" of experiment {number}" if len(experiments) > 1 else ""
        share = float(one["found of these (%)"])
        if kinds and share < LEAST_FOUND:
            found.append(f"{share:.0f} % of the true reflections{of} are found")
        matched, wrong = int(one["matched to the truth"]), int(one["matched by place but with another index"])
        if wrong > MOST_WRONG * (matched + wrong):
            found.append(f"{wrong} of {matched + wrong} reflections{of} have another index")
    for kind, agreement in kinds.items():
        bias = float(agreement["scale"]) - 1.0
        if kind != "scale" and abs(bias) > MOST_BIAS:
            found.append(f"{NAMES[kind]} are {100 * abs(bias):.0f} % too {'large' if bias > 0 else 'small'}")
        z = float(agreement["rms_z"])
        if not 1 / MOST_SIGMA < z < MOST_SIGMA:
            found.append(
                f"sigmas of {NAMES[kind]} are {max(z, 1 / max(z, 1e-9)):.1f} times too {'small' if z > 1 else 'large'}"
            )
    return found
