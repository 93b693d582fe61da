"""What clients may ask: from the bytes of a request to one image with its parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from spindle_lib_serving.answers import object_of
from spindle_lib_serving.refusal import Refusal

__all__ = ["Question", "from_json", "from_path", "from_query", "wants_xml"]

_DEEPEST = 8
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(slots=True)
class Question:
    """One image to analyse.

    Attributes
    ----------
    image : str
        Absolute path, with ``:12`` for image 12 of a file of many.
    parameters : list of (name, value)
        Of spindle find_spots, and of spindle index when `index` is true.
    index : bool
        Also index the spots of the image.
    style : str
        ``json``, ``xml`` or, where the request does not say, empty.
    """

    image: str = ""
    parameters: list[tuple[str, Any]] = field(default_factory=list)
    index: bool = False
    style: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For a worker."""
        return asdict(self)

    def take(self, name: str, value: Any) -> None:
        """Take one named value of a request.

        Raises
        ------
        Refusal
        """
        if name == "image":
            if self.image:
                raise Refusal(400, "image: given twice; ask for one image at a time")
            if not isinstance(value, str) or not value:
                raise Refusal(400, f"image={value!r}: must be the absolute path of an image file")
            self.image = value
        elif name == "index":
            self.index = _truth(name, value)
        elif name == "integrate":
            if _truth(name, value):
                raise Refusal(
                    400,
                    "integrate=True: this server does not integrate single images; leave it out and run spindle "
                    "process or spindle integrate on the sweep",
                )
        elif name == "format":
            if value not in ("json", "xml"):
                raise Refusal(400, f"format={value}: must be json or xml")
            self.style = value
        elif not name.strip():
            raise Refusal(400, f"{name}={value}: there is no parameter name before '='")
        else:
            self.parameters.append((name.strip(), value))

    def checked(self) -> Question:
        """This question; raises `Refusal` when it lacks an image."""
        if not self.image:
            raise Refusal(400, "image: missing; give the absolute path of an image file")
        return self


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in _TRUE:
        return True
    if isinstance(value, str) and value.strip().lower() in _FALSE:
        return False
    raise Refusal(400, f"{name}={value!r}: must be true or false")


def _text(raw: bytes, what: str, plus: bool = False) -> str:
    """Text of a percent-encoded part of an address."""
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ") if plus else raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"{what}: not UTF-8 (byte {error.start}); encode the address as UTF-8") from error


def _pairs(words: Iterable[bytes], what: str, plus: bool = False) -> Iterable[tuple[str, str]]:
    for word in words:
        if not word:
            continue
        name, equal, value = word.partition(b"=")
        if not equal:
            raise Refusal(400, f"{what}: {_text(word, what)!r} is not name=value")
        yield _text(name, what, plus), _text(value, what, plus)


def from_path(raw_path: bytes, query: bytes) -> Question:
    """Read ``/path/of/image.cbf;name=value;name=value`` and ``/path/of/image.cbf?name=value&name=value``.

    Parameters
    ----------
    raw_path, query : bytes
        As they are in the request, percent-encoded.

    Raises
    ------
    Refusal
    """
    path, *words = raw_path.split(b";")
    question = Question(image=_text(path, "address"))
    for name, value in _pairs(words, "address"):
        question.take(name, value)
    return _with_query(question, query).checked()


def from_query(query: bytes) -> Question:
    """Read ``image=/path/of/image.cbf&name=value``; raises `Refusal`."""
    return _with_query(Question(), query).checked()


def _with_query(question: Question, query: bytes) -> Question:
    for name, value in _pairs(query.split(b"&"), "address", plus=True):
        question.take(name, value)
    return question


def from_json(body: bytes) -> Question:
    """Read ``{"image": "/path", "parameters": {"name": value}, "index": false, "format": "json"}``.

    Raises
    ------
    Refusal
    """
    content = object_of(body, '{"image": "/path/of/image.cbf", "parameters": {}}')
    known = ("image", "parameters", "index", "integrate", "format")
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise Refusal(
            400, f"body: {', '.join(unknown)} not understood; known are {', '.join(known)}; put others in parameters"
        )
    question = Question()
    for name in known:
        if name in content and name != "parameters":
            question.take(name, content[name])
    parameters = content.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal(400, "body: parameters must be an object of names and values")
    for name, value in parameters.items():
        if name in known:
            raise Refusal(400, f"body: {name} stands beside parameters, not among them")
        if _depth(value) > _DEEPEST:
            raise Refusal(400, f"body: the value of {name} is nested too deeply; {_DEEPEST} levels are the limit")
        question.take(name, value)
    return question.checked()


def _depth(value: Any) -> int:
    """How deeply lists and objects are nested, up to one more than is allowed."""
    depth, level = 0, [value]
    while level and depth <= _DEEPEST:
        level = [
            v for one in level if isinstance(one, dict | list) for v in (one.values() if isinstance(one, dict) else one)
        ]
        depth += 1
    return depth


def wants_xml(accept: str, style: str) -> bool:
    """Whether the answer is to be XML: by the request's ``format``, else by its Accept header."""
    if style:
        return style == "xml"
    kinds = [k.partition(";")[0].strip() for k in accept.lower().split(",")]
    return any(k in ("application/xml", "text/xml") for k in kinds) and "application/json" not in kinds
