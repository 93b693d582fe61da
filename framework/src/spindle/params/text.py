"""Reading parameter files: TOML and PHIL text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError, ParameterError
from spindle.regular import read_regular

from .toml_text import MOST_BYTES, MOST_LEVELS, TOO_DEEP, parse_toml

MOST_ASSIGNMENTS = 10_000
MOST_FILES = 400
PARAMETER_FILE_SUFFIXES = (".toml", ".phil", ".params", ".eff", ".def")
block_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Includes:
    """The files whose ``include`` led to one, resolved, and all that were included so far."""

    chain: tuple[Path, ...]
    all: list[Path]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value for a parameter, as somebody wrote it.

    Attributes
    ----------
    key : str
        Dotted name or unique suffix of one.
    value : object
        Text, or a Python value.
    source : str
        Where it was written, for messages: ``command line`` or ``run.toml``.
    blocks : tuple of int
        Identities of the scope blocks around it in a file; equal identities mean the same element of a multiple scope.
    """

    key: str
    value: Any
    source: str = "command line"
    blocks: tuple[int, ...] = ()


def read_parameter_file(path: Path, above: _Includes | None = None) -> list[Assignment]:
    """Read a TOML file (``.toml``) or PHIL text (any other suffix).

    Parameters
    ----------
    path : Path
    above : _Includes, optional
        The files whose ``include`` led here.

    Raises
    ------
    ParameterError
        If it cannot be read or understood. Nothing is printed of a file that holds no parameters.
    """
    try:
        content = read_regular(path, MOST_BYTES, "parameters", "name a parameter file")
        text = content.decode("utf-8")
    except FileFormatError as error:
        raise ParameterError(f"cannot read the parameter file {error}") from error
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path}: not a parameter file: byte {error.start} is not UTF-8") from error
    if path.suffix == ".toml":
        try:
            found = list(_flatten(parse_toml(text, str(path)), "", str(path), ()))
        except FileFormatError as error:
            raise ParameterError(str(error)) from error
    else:
        found = parse_phil(text, str(path), path.parent, above)
    if len(found) > MOST_ASSIGNMENTS:
        raise ParameterError(
            f"{path}: sets {len(found)} parameters; {MOST_ASSIGNMENTS} are the limit, far more than there are"
        )
    return found


def _flatten(table: dict[str, Any], prefix: str, source: str, blocks: tuple[int, ...]) -> Iterator[Assignment]:
    if len(blocks) > MOST_LEVELS:
        raise ParameterError(f"{source}: {TOO_DEEP}")
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict):
            yield from _flatten(value, key + ".", source, (*blocks, 0))
        elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
            for element in value:
                yield from _flatten(element, key + ".", source, (*blocks, next(block_numbers)))
        else:
            yield Assignment(key, value, source, blocks)


_token = re.compile(
    r"""(?P<space>[ \t\r]+|\\\n)|(?P<comment>\#[^\n]*)|(?P<newline>\n|;)|(?P<open>\{)|(?P<close>\})
    |(?P<equal>=)|(?P<quoted>\"\"\".*?\"\"\"|\"[^\"]*\"|'[^']*')|(?P<word>[^\s\#;{}=\"']+)""",
    re.VERBOSE | re.DOTALL,
)


def parse_phil(text: str, source: str, folder: Path | None = None, above: _Includes | None = None) -> list[Assignment]:
    """Return the assignments of PHIL text: ``scope { name = value }`` or ``scope.name = value``.

    Attributes such as ``.type`` are skipped, a leading ``!`` disables a definition or scope, ``#`` starts a comment and
    ``include file NAME`` reads another file; ``above`` as in `read_parameter_file`.
    """
    tokens, end = [], 0
    for m in _token.finditer(text):
        if m.start() != end:
            break
        end = m.end()
        if m.lastgroup not in ("space", "comment"):
            tokens.append((m.lastgroup or "", m.group(), m.start()))
    reader = _PhilReader(tokens, text, source, folder, above)
    if end != len(text):
        reader.at, reader.tokens = 0, [("", "", end)]
        raise reader.fail("a quotation mark without a partner")
    return reader.read()


class _PhilReader:
    def __init__(
        self, tokens: list[tuple[str, str, int]], text: str, source: str, folder: Path | None, above: _Includes | None
    ) -> None:
        self.tokens, self.text, self.source, self.folder, self.above = tokens, text, source, folder, above
        self.at = 0
        self.found: list[Assignment] = []

    def fail(self, message: str) -> ParameterError:
        position = self.tokens[min(self.at, len(self.tokens) - 1)][2] if self.tokens else 0
        line = self.text.count("\n", 0, position) + 1
        return ParameterError(f"{self.source}, line {line}: {message}")

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else "end"

    def skip_newlines(self) -> None:
        while self.kind() == "newline":
            self.at += 1

    def read(self) -> list[Assignment]:
        stack: list[tuple[str, int, bool]] = []
        while True:
            self.skip_newlines()
            kind = self.kind()
            if kind == "end":
                if stack:
                    raise self.fail(f"the scope {_shown(stack[-1][0])} is not closed by '}}'")
                return self.found
            if kind == "close":
                if not stack:
                    raise self.fail("'}' without a scope to close")
                stack.pop()
                self.at += 1
                continue
            if kind != "word":
                raise self.fail(f"expected a parameter name, found {_shown(self.tokens[self.at][1])}")
            name = self.tokens[self.at][1]
            self.at += 1
            if name == "include":
                self.include(stack)
                continue
            disabled = name.startswith("!")
            name = name.lstrip("!")
            if self.kind() == "equal":
                self.at += 1
                value = self.value()
                if not (disabled or name.startswith(".") or any(s[2] for s in stack)):
                    self.add(stack, name, value)
            else:
                self.skip_attributes()
                if self.kind() != "open":
                    raise self.fail(f"expected '=' or '{{' after {_shown(name)}")
                self.at += 1
                if len(stack) >= MOST_LEVELS:
                    raise self.fail(TOO_DEEP)
                stack.append((name, next(block_numbers), disabled))

    def add(self, stack: list[tuple[str, int, bool]], name: str, value: str) -> None:
        key = ".".join([*(s[0] for s in stack), name])
        blocks: list[int] = []
        for scope in stack:
            blocks += [0] * scope[0].count(".") + [scope[1]]
        self.found.append(Assignment(key, value, self.source, tuple(blocks)))

    def value(self) -> str:
        start = end = None
        while self.kind() in ("word", "quoted", "equal"):
            _, word, position = self.tokens[self.at]
            start = position if start is None else start
            end = position + len(word)
            self.at += 1
        if start is None:
            raise self.fail("a value is missing after '='")
        return self.text[start:end].replace("\\\n", " ").replace('"""', '"')

    def skip_attributes(self) -> None:
        self.skip_newlines()
        while self.kind() == "word" and self.tokens[self.at][1].startswith("."):
            self.at += 1
            if self.kind() == "equal":
                self.at += 1
                self.value()
            self.skip_newlines()

    def include(self, stack: list[tuple[str, int, bool]]) -> None:
        words = []
        while self.kind() in ("word", "quoted"):
            words.append(self.tokens[self.at][1].strip("\"'"))
            self.at += 1
        if len(words) != 2 or words[0] != "file":
            raise self.fail("only 'include file NAME' is understood")
        path = (self.folder or Path()) / words[1]
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise self.fail(f"there is no such file to include: {words[1]!r} ({error})") from error
        for name in (path, resolved):
            if name.suffix not in PARAMETER_FILE_SUFFIXES:
                raise self.fail(f"{path} is no parameter file; included are {', '.join(PARAMETER_FILE_SUFFIXES)}")
        above = self.above or _Includes((), [])
        above = _Includes((*above.chain, Path(self.source).resolve()), above.all)
        above.all.append(resolved)
        if resolved in above.chain:
            raise self.fail(f"{path} includes itself")
        if len(above.chain) > MOST_LEVELS or len(above.all) > MOST_FILES:
            raise self.fail(f"more than {MOST_FILES} files are included, or more than {MOST_LEVELS} levels deep")
        for found in read_parameter_file(path, above):
            prefix = "".join(s[0] + "." for s in stack)
            self.found.append(Assignment(prefix + found.key, found.value, found.source, found.blocks))
        if len(self.found) > MOST_ASSIGNMENTS:
            raise self.fail(f"more than {MOST_ASSIGNMENTS} parameters are set")


def _shown(word: str) -> str:
    """A word of a file for a message, if it may be one of PHIL text."""
    return repr(word) if re.fullmatch(r"[\w.!]{1,60}|[={}]", word) else "something else"
