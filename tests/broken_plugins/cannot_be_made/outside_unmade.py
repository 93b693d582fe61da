from spindle.contracts import Algorithm, hookimpl


class NoInit(Algorithm):
    """Cannot be made."""

    def __init__(self):
        super().__init__()

    @hookimpl
    def estimate_background(self, shoeboxes):
        return None


class InitRaises(NoInit):
    """Cannot be made either."""

    def __init__(self, params=None, context=None):
        self.licence = open("/nowhere/licence")


class NotDerived:
    """Has no base class."""

    @hookimpl
    def estimate_background(self, shoeboxes):
        return None


class WrongParams(NoInit):
    """Has parameters that are none."""

    class Params:
        cutoff = 3.0
