from spindle.contracts import Algorithm, hookimpl


class Executor(Algorithm):
    """Asks for an argument that the specification does not have."""

    @hookimpl
    def map_ordered(self, function, items, priority):
        return map(function, items)
