"""What decides in the search: least numbers, and how good is good enough."""

from __future__ import annotations

#: A sweep or still with fewer spots says nothing.
MIN_SPOTS = 10
#: Vectors per lattice: at most, and how much weaker than the best one they may be.
MAX_VECTORS, WEAKEST = 20, 0.5
#: Stills that are looked at, those with most spots.
MAX_STILLS = 30
#: A fit better than this needs no second search with parts of the rotation.
CONVINCING = 0.8
#: What a fit must reach: at least, in units of 1 / root(number of spots) (noise reaches 3.5), and never more than.
LEAST_QUALITY, ABOVE_CHANCE, HIGHEST_ASKED = 0.25, 5.0, 0.9
#: Points must spread over so many periods of a vector (standard deviation) to tell a lattice from their outline.
LEAST_SPREAD = 0.8
#: The estimate of the longest cell edge is too small for stills, which show few neighbouring lattice points.
LONGER = 1.7
#: Places nearly as good as the best are rivals, by the fit and by what lacks to a perfect one, so many times that of the
#: best (plus what few spots let it vary by chance); places that might be, so many at most, get vectors of their own first.
RIVAL, RIVAL_MISFIT, MAYBE, MAX_RIVALS = 0.1, 1.5, 0.25, 6
#: Vectors whose phases fit this much worse than those of the best are dropped in the end.
WEAKEST_FIT = 0.8
#: Parts of the rotation for far shifts: width (degrees), number, and fewest spots in each.
WEDGE_DEG, N_WEDGES, WEDGE_SPOTS = 8.0, 6, 40
#: A spot within this part of a turn of the lattice for three vectors lies on it.
ON_LATTICE = 0.2
#: Spots with which candidates are compared, and with which vectors are found; the last fit has them all.
SCREEN_SPOTS, VECTOR_SPOTS = 1500, 2500
