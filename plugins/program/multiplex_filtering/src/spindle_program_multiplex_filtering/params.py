"""Parameters of the program `multiplex_filtering`."""

from __future__ import annotations

from spindle.params import Bool, Choice, Float, FolderParam, Multiprocessing, PathParam
from spindle.params import Params as ParamsBase
from spindle_lib_many_crystals import FilterOptions

__all__ = ["MultiplexFilteringParams"]


class MultiplexFilteringParams(ParamsBase):
    class mp(Multiprocessing):
        """Where the work is done."""

    class input(ParamsBase):
        """The finished run."""

        directory = FolderParam(
            None, none=True, help="Folder in which spindle multiplex was run; also as a plain argument."
        )

    class filtering(ParamsBase):
        """Removal of what lowers CC1/2."""

        method = Choice(["deltacchalf"], default="deltacchalf", help="deltacchalf: remove it, scale again, and so on.")
        deltacchalf = FilterOptions

    class resolution(ParamsBase):
        """Resolution limit of the filtered data."""

        d_min = Float(None, min=0, none=True, units="angstrom", help="Limit; None estimates it again, as that run did.")

    class output(ParamsBase):
        """Output files; data are in DataFiles, pages of the steps in LogFiles."""

        log = PathParam("spindle.multiplex_filtering.log", none=True, help="Log of all steps.")
        html = PathParam("spindle.multiplex_filtering.html", none=True, help="The page.")
        json = PathParam("multiplex_filtering.json", none=True, help="All numbers.")
        cleanup = Bool(True, help="False: keep the numbers of each step, in the folder Processing.")
