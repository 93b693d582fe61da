from spindle.contracts import Algorithm, Program, ProgramResult, hookimpl


class Model(Algorithm):
    """A model."""

    @hookimpl
    def estimate_background(self, shoeboxes):
        return None


class Tool(Program):
    """A program."""

    @hookimpl
    def run(self, inputs):
        return ProgramResult()
