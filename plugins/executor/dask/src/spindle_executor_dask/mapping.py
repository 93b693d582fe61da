"""A map on the workers of a cluster."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from distributed import KilledWorker

from spindle.errors import PluginError, UserError
from spindle.execution import Function, map_ordered, open_function, pack_apart, pack_item, unpack, work

from .cluster import Cluster

KEPT = 8  # functions, and contents that they have in common, which a worker keeps
_functions: OrderedDict[str, Function | BaseException] = OrderedDict()
_common: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()


def map_on_cluster(
    cluster: Cluster,
    function: Callable[[Any], Any],
    items: Iterable[Any],
    n_workers: int,
    cancelled: Callable[[], bool],
) -> Iterator[Any]:
    """Yield results in order with at most ``2 n_workers + 1`` items begun and not yet yielded."""
    client, name = cluster.client, f"spindle-{uuid.uuid4().hex}"
    # A task as well, so that it can be done again when the only worker that has it is lost.
    packed_function, contents = pack_apart(function)
    shared = client.submit(bytes, packed_function, key=f"{name}-function", pure=False)
    common = cluster.common(contents)
    texts: dict[str, Any] = {}
    begun: dict[int, Any] = {}

    def submit(index: int, item: Any) -> Future[bytes]:
        key, settled = f"{name}-{index}", Future[bytes]()
        packed = pack_item(index, item)
        texts[key] = item
        begun[index] = client.submit(do, name, shared, packed, [*contents], *common, key=key, pure=False)
        begun[index].add_done_callback(partial(_settle, settled))
        return settled

    try:
        for index, outcome in enumerate(_outcomes(map_ordered(submit, items, n_workers, cancelled), texts)):
            del begun[index], texts[f"{name}-{index}"]
            yield unpack(outcome)
    finally:
        cluster.drop([*begun.values()])
        shared.release()  # cancelling it would cancel what depends on it, also items that nobody wants any more


def _settle(settled: Future[bytes], done: Any) -> None:
    """Hand over what became of an item, in a thread of Dask."""
    try:
        settled.set_result(done.result())
    except BaseException as error:
        settled.set_exception(error)


def _outcomes(outcomes: Iterator[bytes], items: dict[str, Any]) -> Iterator[bytes]:
    """The same, with errors of the cluster said in words."""
    try:
        yield from outcomes
    except KilledWorker as error:
        key, item = str(error.task), repr(items.get(str(error.task)))
        what = f"item {key.rpartition('-')[2]}" + ("" if " object at 0x" in item else f" ({item[:100]})")
        raise UserError(
            f"executor dask: {error.allowed_failures + 1} workers ended one after the other while they had {what}; it ends them, or one that "
            "was given to them with it. A system that runs out of memory ends processes: fewer workers on each machine need less, mp.nproc=; "
            "mp.method=serial shows whether an item fails by itself"
        ) from error
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"executor dask: a worker cannot do the work: {type(error).__name__}: {error}. Install the same version of Spindle and of its "
            "plugins for all workers"
        ) from error


def do(name: str, function: bytes, packed: bytes, names: list[str], *common: bytes) -> bytes:
    """Do an item in a worker; ``name`` is that of the map, whose function is opened once, and ``names`` those of the ``common`` contents."""
    with _lock:
        if name not in _functions:
            contents = {one: _common.get(one, content) for one, content in zip(names, common, strict=True)}
            try:
                _functions[name] = open_function(function, contents)
            except Exception as error:
                _functions[name] = error
            _keep(_common, contents)
            _keep(_functions, {name: _functions[name]})
        _functions.move_to_end(name)
        opened = _functions[name]
    return work(opened, packed)


def _keep(kept: OrderedDict[str, Any], used: dict[str, Any]) -> None:
    """Keep what is used now and what was used last."""
    kept.update(used)
    for one in used:
        kept.move_to_end(one)
    while len(kept) > KEPT:
        kept.popitem(last=False)
