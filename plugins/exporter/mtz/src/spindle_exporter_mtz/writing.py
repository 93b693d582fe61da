"""Writing MTZ files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gemmi

WORD = 4
END_RECORDS = 4096  # the last of the header's records, MTZENDOFHEADERS, is at the end; histories before it may be long
NUMBER = slice(16, 21)  # where a SYMINF record has the number of the space group


def write_mtz(mtz: gemmi.Mtz, path: Path) -> None:
    """Write a file whose SYMINF record has a number for every setting.

    gemmi writes the number of CCP4's own list of settings (1004 for P 1 1 21), and 0 for settings that are not in it.
    Programs that look at the number get that of the International Tables instead; the operators say the rest.
    """
    mtz.write_to_file(str(path))
    with Path(path).open("rb") as file:  # gemmi does not notice when the last bytes find no room
        file.seek(max(file.seek(0, os.SEEK_END) - END_RECORDS, 0))
        if b"MTZEND" not in file.read():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if mtz.spacegroup.ccp4:
        return
    with Path(path).open("r+b") as file:
        file.seek(WORD)
        words = int.from_bytes(file.read(WORD), "little", signed=True)
        if words == -1:  # files beyond 8 GB have the position in 64 bits further on
            file.seek(3 * WORD)
            words = int.from_bytes(file.read(2 * WORD), "little", signed=True)
        start = (words - 1) * WORD
        file.seek(start)
        record = start + file.read().index(b"SYMINF")
        file.seek(record + NUMBER.start)
        file.write(f"{mtz.spacegroup.number:5d}".encode())
