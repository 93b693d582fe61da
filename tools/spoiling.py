"""Damage to the content of a file: trees of values, tables, text, bytes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np

BAD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 7, 2**31, 2**63, -(2**70), 1e-300, 1e-6, 0.5, 3.5, 1e6, 1e300, float("nan"), float("inf"), "", "x",
    "\0", "é" * 70, [], [[]], {}, [1, 2], {"a": 1}, [None] * 9,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within nested lists and dictionaries."""
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from places(inner, (*path, key))


def damaged_tree(content: Any, rng: np.random.Generator) -> Any:
    """The content with one to three places removed, exchanged, doubled or scaled."""
    content = copy.deepcopy(content)
    for _ in range(rng.integers(1, 4)):
        found = list(places(content))
        # Short paths are few and change much, long ones are many: both are tried.
        depth = rng.integers(1, max(map(len, found)) + 1) if found else 0
        found = [p for p in found if len(p) <= depth] or found
        if not found:
            break
        path = found[rng.integers(len(found))]
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        key, value = path[-1], parent[path[-1]]
        action = rng.integers(6)
        if action == 0:
            del parent[key]
        elif action == 1 and isinstance(parent, list):
            parent.append(copy.deepcopy(value))
        elif action == 2 and isinstance(value, int | float) and not isinstance(value, bool):
            parent[key] = value * float(rng.choice([-1.0, 0.0, 1e-3, 1e3, 1e9, 1 + 1e-6]))
        elif action == 3 and isinstance(value, list):
            rng.shuffle(value)
        else:
            parent[key] = BAD_VALUES[rng.integers(len(BAD_VALUES))]
    return content


def damaged_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """The content with flipped bits, a hole, a repeated part, or cut short."""
    bad = bytearray(content)
    action = rng.integers(4)
    if action == 0:
        return bytes(bad[: rng.integers(len(bad))])
    if action == 1:
        first = rng.integers(len(bad))
        del bad[first : first + rng.integers(1, 200)]
    elif action == 2:
        first = rng.integers(len(bad))
        bad[first:first] = bad[first : first + rng.integers(1, 200)]
    if not bad:
        return b""
    # Structure stands at the beginning of tables, so half of the flips go there.
    for place in rng.integers(0, len(bad) if rng.integers(2) else min(len(bad), 2000), rng.integers(1, 5)):
        bad[min(place, len(bad) - 1)] ^= 1 << rng.integers(8)
    return bytes(bad)


def damaged_experiments(content: bytes, rng: np.random.Generator) -> bytes:
    """A damaged .expt file."""
    if rng.integers(5) == 0:
        return damaged_bytes(content, rng)
    return json.dumps(damaged_tree(json.loads(content), rng)).encode()


def damaged_reflections(content: bytes, rng: np.random.Generator) -> bytes:
    """A damaged .refl file: bytes, structure, columns lost or exchanged, or wild values in a column."""
    if rng.integers(4) == 0:
        return damaged_bytes(content, rng)
    signature, version, table = msgpack.unpackb(content, raw=True, strict_map_key=False)
    data = table[b"data"]
    names = list(data)
    action = rng.integers(6)
    name = names[rng.integers(len(names))]
    if action == 0:
        del data[name]
    elif action == 1:
        data[name] = data[names[rng.integers(len(names))]]
    elif action == 2:
        part = table if rng.integers(2) else data[name]
        keys = list(part) if isinstance(part, dict) else [0, 1]
        part[keys[rng.integers(len(keys))]] = BAD_VALUES[rng.integers(len(BAD_VALUES))]
    elif action == 3:
        n = int(rng.integers(0, 3))
        for key, (kind, (rows, payload)) in list(data.items()):
            if isinstance(payload, bytes) and rows and not kind.startswith(b"Shoebox"):
                data[key] = [kind, [n, payload[: len(payload) // rows * n]]]
            else:
                del data[key]
        table[b"nrows"] = n
    else:
        _spoil_values(data, name, rng)
    try:
        return bytes(msgpack.packb([signature, version, table], use_bin_type=True))
    except (TypeError, ValueError, OverflowError):
        return damaged_bytes(content, rng)


def _spoil_values(data: dict[bytes, Any], name: bytes, rng: np.random.Generator) -> None:
    """Put wild values into rows of a column."""
    kind, (rows, payload) = data[name]
    if not isinstance(payload, bytes) or not rows:
        return
    kinds = {b"int": "<i4", b"int6": "<i4", b"std::size_t": "<u8", b"bool": "u1", b"cctbx::miller::index<>": "<i4"}
    dtype = kinds.get(kind, "<f8")
    if kind.startswith(b"Shoebox") or len(payload) % np.dtype(dtype).itemsize:
        data[name] = [kind, [rows, damaged_bytes(payload, rng)]]
        return
    values = np.frombuffer(payload, dtype).copy()
    where = rng.random(len(values)) < rng.choice([0.002, 0.1, 1.0])
    where[rng.integers(len(values))] = True
    if values.dtype.kind == "f":
        wild = rng.choice([np.nan, np.inf, -np.inf, 0.0, -1.0, 1e-300, 1e300, -1e30, 1e9, 0.5])
    else:
        info = np.iinfo(values.dtype)
        wild = int(rng.choice([info.min + 1.0, info.max / 2, 0, 1, 99, 1e6])) if rng.integers(3) else int(info.max)
        wild = min(wild, int(info.max))
    values[where] = wild
    data[name] = [kind, [rows, values.tobytes()]]


def damaged_text(content: bytes, rng: np.random.Generator) -> bytes:
    """A damaged parameter file."""
    if rng.integers(2):
        return damaged_bytes(content, rng)
    bits = [
        b"[",
        b"]",
        b"=",
        b"\n",
        b'"',
        b"'''",
        b"{",
        b"}",
        b"[[",
        b".",
        b"\0",
        b"\xff",
        b"include file ",
        b"#",
        b"9" * 400,
    ]
    bad = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        place = rng.integers(len(bad) + 1)
        bad[place:place] = bits[rng.integers(len(bits))] * int(rng.choice([1, 1, 2, 500]))
    return bytes(bad)


def damaged_data(content: bytes, rng: np.random.Generator) -> bytes:
    """A damaged file of numbers, binary or text: bytes; the first or last kilobytes, where headers are; or wild words of text."""
    which = rng.integers(3)
    if which == 0:
        return damaged_bytes(content, rng)
    bad = bytearray(content)
    if which == 1 and len(bad) > 4096:
        n = int(rng.integers(200, 4096))
        if rng.integers(2):
            return damaged_bytes(bytes(bad[:n]), rng) + bytes(bad[n:])
        return bytes(bad[:-n]) + damaged_bytes(bytes(bad[-n:]), rng)
    wild = [b"nan", b"inf", b"-1", b"0", b"1e300", b"99999999999999999999", b"", b"x" * 100, b"-1e-300"]
    words = [m.span() for m in re.finditer(rb"[-+\w.]+", bytes(bad[:8192] if rng.integers(2) else bad))]
    for place in sorted(rng.integers(len(words), size=int(rng.integers(1, 5))), reverse=True):
        begin, end = words[place]
        bad[begin:end] = wild[rng.integers(len(wild))]
    return bytes(bad)
