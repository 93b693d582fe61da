"""What travels to workers of other processes is small."""

from __future__ import annotations

import pickle

from spindle_program_find_spots.search import Item, Place, search_all


class Watching:
    """An executor that keeps what it is given."""

    def map(self, function, items):
        self.function, self.items = function, list(items)
        return iter(())


class Threshold:
    """One image at once."""

    def __init__(self, images_at_once):
        self.images_at_once = images_at_once

    def implements(self, hook):
        return self.images_at_once > 1

    def declared(self, name):
        return getattr(self, name)


class Search:
    def __init__(self, threshold):
        self.threshold = threshold


class Images:
    """Best read two at once."""

    images_at_once = 2


class Job:
    """As large as a mask."""

    number = 3
    images = Images()

    def __init__(self):
        self.mask = bytes(1_000_000)


def test_jobs_travel_once_and_items_are_numbers():
    for at_once in (1, 4):
        job, executor = Job(), Watching()
        list(search_all(Search(Threshold(at_once)), [job], (Item(job, z) for z in range(9)), executor))
        assert executor.function.jobs == {3: job}
        assert max(len(pickle.dumps(item)) for item in executor.items) < 400
        assert max(map(len, executor.items)) == max(at_once, Images.images_at_once)
        places = [place for item in executor.items for place in item]
        assert places == [Place(3, z) for z in range(9)]
    assert repr(places[0]) == "image 1 of experiment 3"
