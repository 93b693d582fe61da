"""A process in which an operation on files ends it, or fails."""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Injector:
    """Counts the operations of this process on files of a folder and ends it, or lets them fail, at the n-th.

    Parameters
    ----------
    folder : Path
    mode : {"count", "kill", "fails", "full"}
    n : int
        From 1.
    journal : int
        Open file to which the operations are written.
    """

    def __init__(self, folder: Path, mode: str, n: int, journal: int) -> None:
        self.folder, self.mode, self.n, self.journal = f"{folder.resolve()}{os.sep}", mode, n, journal
        self.count = 0

    def install(self) -> None:
        """From now on this process is watched."""
        open_, fsync = io.open, os.fsync
        inject = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                view = memoryview(data).cast("B")
                name = inject.name_of(self.fileno())
                if name:
                    inject.step("write", name, lambda: io.FileIO.write(self, view[: len(view) // 2]))
                return super().write(view)

        def opened(
            file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None, newline: Any = None,
            closefd: bool = True, opener: Any = None,
        ) -> Any:  # fmt: skip
            if not set(mode) & set("wax+"):
                return open_(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            text = io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)
            text.mode = mode  # type: ignore[misc]
            return text

        def synced(handle: int) -> None:
            name = inject.name_of(handle)
            if name:
                inject.step("fsync", name)
            fsync(handle)

        io.open = builtins.open = opened  # type: ignore[assignment]
        os.fsync = synced
        sys.addaudithook(self._audit)

    def name_of(self, handle: int) -> str:
        """Name of an open file, empty when it is not in the folder."""
        try:
            path = os.readlink(f"/proc/self/fd/{handle}")
        except OSError:
            return ""
        return path if path.startswith(self.folder) else ""

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in ("os.rename", "os.remove", "os.chmod", "os.mkdir"):
            path = arguments[0]
        else:
            return
        if isinstance(path, (str, bytes, os.PathLike)):
            name = os.path.join(os.getcwd(), os.fsdecode(path))
            if name.startswith(self.folder):
                self.step(event.removeprefix("os."), name)

    def step(self, what: str, name: str, half: Callable[[], Any] | None = None) -> None:
        """One operation begins."""
        self.count += 1
        if self.mode == "count":
            os.write(self.journal, f"{what} {name.removeprefix(self.folder)}\n".encode())
        elif self.mode == "kill" and self.count == self.n:
            if half is not None:
                half()
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.mode == "fails" and self.count == self.n:
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        elif self.mode == "full" and self.count >= self.n and what in ("open", "write", "mkdir", "fsync"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
