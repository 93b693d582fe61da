from spindle.contracts import Algorithm, hookimpl


class Executor(Algorithm):
    """Written for a contract that this host does not have yet."""

    contract = 7

    @hookimpl
    def map_ordered(self, function, items):
        return map(function, items)
