from spindle.contracts import Algorithm


class Executor(Algorithm):
    """Forgot @hookimpl."""

    def map_ordered(self, function, items):
        return map(function, items)
