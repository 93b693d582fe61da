"""What the functions of many maps hold in common, packed apart from them."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import MutableMapping
from typing import Any

from spindle.errors import PluginError

__all__ = ["Common", "dumped", "loaded"]


class Common:
    """What the functions of many maps hold, such as all experiments of a run: it travels once to each worker, not with every map.

    Parameters
    ----------
    value : object
        Not changed any more; workers share it among functions.
    """

    __slots__ = ("_packed", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._packed: tuple[str, bytes] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """To those who do not know better it travels with what holds it."""
        return Common, (self.value,)

    def packed(self) -> tuple[str, bytes]:
        """Name of the content, and the content.

        Raises
        ------
        PluginError
            If it cannot travel.
        """
        if self._packed is None:
            try:
                data = pickle.dumps(self.value, protocol=5)
            except Exception as error:
                raise PluginError(
                    f"what tasks have in common ({type(self.value).__qualname__}) cannot be sent to another process: {error}. Next: "
                    "mp.method=threads"
                ) from error
            self._packed = hashlib.sha256(data).hexdigest(), data
        return self._packed


class _Packer(pickle.Pickler):
    """Leaves out what is common to several functions and keeps it by name."""

    def __init__(self, stream: io.BytesIO, common: dict[str, bytes]) -> None:
        super().__init__(stream, protocol=5)
        self.common = common

    def persistent_id(self, thing: Any) -> str | None:
        if type(thing) is not Common:
            return None
        name, data = thing.packed()
        self.common[name] = data
        return name


class _Opener(pickle.Unpickler):
    """Puts in again what a `_Packer` left out."""

    def __init__(self, packed: bytes, common: MutableMapping[str, Any]) -> None:
        super().__init__(io.BytesIO(packed))
        self.common = common

    def persistent_load(self, name: str) -> Common:
        if isinstance(self.common[name], bytes):
            self.common[name] = Common(pickle.loads(self.common[name]))
        found: Common = self.common[name]
        return found


def dumped(thing: Any, common: dict[str, bytes] | None) -> bytes:
    """A thing as bytes; with ``common``, the contents of each `Common` in it go there instead."""
    if common is None:
        return pickle.dumps(thing, protocol=5)
    stream = io.BytesIO()
    _Packer(stream, common).dump(thing)
    return stream.getvalue()


def loaded(packed: bytes, common: MutableMapping[str, Any]) -> Any:
    """What `dumped` gave; contents that it needs are opened and left where they are for the next."""
    return _Opener(packed, common).load()
