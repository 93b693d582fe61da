"""Peak memory of this process over a stretch of time."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

__all__ = ["begin_peak", "peak_mb"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"


def begin_peak() -> bool:
    """Forget the peak so far; False on systems that cannot."""
    with suppress(OSError):
        _CLEAR.write_text(_FORGET_PEAK)
        return True
    return False


def peak_mb() -> float | None:
    """Largest resident memory since `begin_peak`, MB; None where the system does not tell."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())
        return int(found.group(1)) / 1024.0 if found else None
    return None
