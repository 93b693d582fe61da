from spindle.contracts import Algorithm
from spindle.params import Float, Params


class Anything(Algorithm):
    class Params(Params):
        cutoff = Float(-1.0, min=0, help="A number.")
