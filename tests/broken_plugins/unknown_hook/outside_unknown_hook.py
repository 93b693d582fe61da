from spindle.contracts import Algorithm, hookimpl


class Executor(Algorithm):
    """Implements a hook that its slot does not have."""

    @hookimpl
    def map_orderly(self, function, items):
        return map(function, items)
