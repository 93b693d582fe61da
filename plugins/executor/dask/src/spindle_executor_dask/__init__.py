"""Does the pieces of a run on a Dask cluster: of this machine, an existing one, or jobs of a queue."""

from __future__ import annotations

from .algorithm import DaskExecutor

__all__ = ["DaskExecutor"]
