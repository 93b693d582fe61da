"""Errors that a user can do something about.

Everything derived from `UserError` ends a command with exit code 2, one message and no traceback. Other exceptions are
bugs.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "Cancelled",
    "FileFormatError",
    "HeaderError",
    "MissingColumn",
    "ModelError",
    "ParameterError",
    "PluginError",
    "ShapeError",
    "SpindleError",
    "UserError",
    "fault",
    "is_out_of_memory",
]


class SpindleError(Exception):
    """Root of the errors that Spindle raises on purpose."""


class UserError(SpindleError):
    """The input, the parameters or the machine are at fault; the message says what to do."""


class ParameterError(UserError):
    """A parameter is unknown, ambiguous or has a value that it cannot have."""


class FileFormatError(UserError):
    """A file is missing, damaged or of a kind that is not understood."""


def fault(place: str, expected: str, found: object, remedy: str) -> str:
    """One sentence about what is wrong in a file and how to go on.

    Parameters
    ----------
    place : str
        Where in the file: path of a dataset, line or item of a header, byte.
    expected : str
    found : object
        The value there; None for nothing.
    remedy : str
        The parameter that mends it, or else what to do.
    """
    return f"{place}: expected {expected}, found {'none' if found is None else found}; {remedy}"


class HeaderError(FileFormatError):
    """Something in a file is missing or wrong.

    Parameters
    ----------
    file : path
    place, expected, found, remedy
        As `fault` takes them.
    """

    def __init__(self, file: object, place: str, expected: str, found: object, remedy: str) -> None:
        # All of them are arguments of the exception, so that it can be pickled.
        super().__init__(str(file), place, expected, found, remedy)
        self.file, self.place, self.expected, self.found, self.remedy = str(file), place, expected, found, remedy

    def __str__(self) -> str:
        return f"{self.file}: {fault(self.place, self.expected, self.found, self.remedy)}"


class PluginError(UserError):
    """A plugin is unknown, broken, incompatible or installed twice."""


class ModelError(UserError):
    """Models are impossible or do not fit each other or the data."""


class ShapeError(SpindleError, ValueError):
    """An array does not have the shape that a function documents."""


class MissingColumn(SpindleError, KeyError):
    """A table lacks a column that was asked for.

    Attributes
    ----------
    column : str
    known : list of str
        The columns that it has.
    """

    def __init__(self, column: str, known: Sequence[str]) -> None:
        super().__init__(column, known)
        self.column, self.known = column, list(known)

    def __str__(self) -> str:
        return f"the reflection table has no column '{self.column}'; it has {', '.join(self.known)}"


class Cancelled(SpindleError):
    """The run was cancelled from outside."""


# How the system's loader of libraries says that there is no memory for one.
_NO_MAPPING = ("failed to map segment", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory; Python 3.11 has words of its own where there is none for a call."""
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, TypeError) and str(error) == "'frame' object is not callable")
        or (isinstance(error, RuntimeError) and str(error) == "can't start new thread")
        or (isinstance(error, ImportError | OSError) and _has_no_room_for_a_library(error))
    )


def _has_no_room_for_a_library(error: BaseException | None) -> bool:
    """Whether the system's loader says so, or said it to a library that loads others and says only that it could not."""
    while error is not None:
        if any(text in str(error).lower() for text in _NO_MAPPING):
            return True
        error = error.__cause__ or error.__context__
    return False
