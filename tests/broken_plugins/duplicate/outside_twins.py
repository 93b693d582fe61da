from spindle.contracts import Algorithm, hookimpl


class One(Algorithm):
    """The first of two with one name."""

    @hookimpl
    def map_ordered(self, function, items):
        return map(function, items)


class Two(One):
    """The second."""
