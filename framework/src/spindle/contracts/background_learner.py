"""What a background model learns from whole images before it sees a shoebox: an optional object with working defaults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .checking import Checked, Fault, instance, integer, kind_of, read_only

if TYPE_CHECKING:
    from spindle.report import Table

__all__ = ["BackgroundLearner", "check_learner"]


class BackgroundLearner(ABC):
    """Learns the background of one set of images: calls of `add_image`, in any process, then `join`, then `finish` once.

    Images are shared among tasks, each of which gets a learner of its own from `make_background_learner`; the host joins them in
    the order of the images, so that the result does not depend on the number of workers. A learner can be pickled at any time.

    Attributes
    ----------
    most_images : int
        Images that are worth looking at; of more the host takes so many, evenly spread over the scan. With 0 none is read. Where
        it shows fewer, it says here how many.
    """

    most_images: int = 200

    @abstractmethod
    def add_image(self, number: int, panels: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> None:
        """Take in one image.

        Parameters
        ----------
        number : int
            Its array index.
        panels : sequence of (slow, fast) float32, counts
            Corrected pixels of each panel. The memory is used again for the next image.
        free : sequence of (slow, fast) bool
            Pixels that are valid and not under a predicted spot.
        """

    @abstractmethod
    def join(self, later: Any) -> None:
        """Take in what another learner of the same kind saw on later images."""

    def enough_images(self, seen: int) -> int:
        """How many images would do, from what ``seen`` of them showed; `most_images` unless overridden.

        The host may show some images first, evenly spread over the scan. Where they are enough it joins and finishes what they taught,
        else new learners see as many as it takes.
        """
        return self.most_images

    @abstractmethod
    def finish(self) -> Any:
        """What was learned: any object that can be pickled, None for nothing. `estimate_background` gets it as ``learned``."""

    def tables(self) -> list[Table]:
        """Tables for the log, once `finish` has run; none, unless overridden."""
        return []


class CheckedLearner(Checked, BackgroundLearner):
    """A learner as its callers see it: its errors name the plugin."""

    def __init__(self, inner: BackgroundLearner) -> None:
        super().__init__(inner)

    @property
    def most_images(self) -> int:  # type: ignore[override]
        """See `BackgroundLearner`."""
        return int(self.inner.most_images)

    @most_images.setter
    def most_images(self, number: int) -> None:
        self.inner.most_images = number

    def enough_images(self, seen: int) -> int:
        """See `BackgroundLearner.enough_images`."""
        with self.guard("enough_images"):
            number = self.inner.enough_images(seen)
            integer(number, "the result")
            return int(number)

    def add_image(self, number: int, panels: Sequence[np.ndarray], free: Sequence[np.ndarray]) -> None:
        """See `BackgroundLearner.add_image`."""
        with self.guard("add_image"):
            self.inner.add_image(number, [read_only(p) for p in panels], [read_only(f) for f in free])

    def join(self, later: Any) -> None:
        """See `BackgroundLearner.join`."""
        with self.guard("join"):
            self.inner.join(later.inner if isinstance(later, CheckedLearner) else later)

    def finish(self) -> Any:
        """See `BackgroundLearner.finish`."""
        with self.guard("finish"):
            return self.inner.finish()

    def tables(self) -> list[Table]:
        """See `BackgroundLearner.tables`."""
        with self.guard("tables"):
            return list(instance(self.inner.tables(), (list, tuple), "the result"))


def check_learner(arguments: dict[str, Any], result: Any) -> CheckedLearner | None:
    """Refuse what cannot learn from images."""
    if result is None:
        return None
    if not isinstance(result, BackgroundLearner):
        raise Fault(f"the result is {kind_of(result)}, BackgroundLearner or None expected")
    integer(result.most_images, "most_images")
    return CheckedLearner(result)
