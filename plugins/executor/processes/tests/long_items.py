"""Work of the tests that is done in other processes."""

from __future__ import annotations

import os
import time
from pathlib import Path


def begun(folder: str) -> None:
    """Say in a file which process this is, then take long."""
    (Path(folder) / str(os.getpid())).touch()
    for _ in range(600):
        time.sleep(0.1)


def named(folder: str) -> str:
    """Nothing but numpy."""
    import numpy as np

    return np.__name__
