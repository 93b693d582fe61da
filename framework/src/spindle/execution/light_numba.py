"""Has numba load compiled kernels without what only compiling needs, a tenth of a second of every run.

Left out until something is compiled: the import of all that numba implements, with scipy.linalg, and reading the intermediate code beside a
kernel's machine code. `spindle.execution.kernel_locator` installs this before the first kernel is loaded.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
from numba.core import caching, environment, types
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.codegen import ll as llvm
from numba.core.errors import NumbaNotImplementedError
from numba.core.runtime import rtsys
from numba.core.typing.typeof import typeof_impl
from numba.np import numpy_support

# What numba adds to the process's symbols, where a kernel asks for it: zero-terminated as in every table of symbols.
_SYMBOL = re.compile(rb"\0(_?numba_\w+)(?=\0)")


class LoadedLibrary(JITCodeLibrary):  # type: ignore[misc]
    """Machine code from the cache; the code that other kernels would be linked with is read when one asks for it."""

    _bitcode: bytes | None = None

    @classmethod
    def _unserialize(cls, codegen: Any, state: tuple[str, str, Any]) -> Any:
        name, kind, data = state
        if kind != "object":
            return super()._unserialize(codegen, state)
        library = codegen.create_library(name)
        object_code, library._bitcode = data
        library.enable_object_caching()
        library._set_compiled_object(object_code)
        library._finalize_final_module()
        return library

    def _read_bitcode(self) -> None:
        if self._bitcode is not None:
            self._shared_module = llvm.parse_bitcode(self._bitcode)
            self._bitcode = None
            self._codegen._engine._load_defined_symbols(self._shared_module)

    def _get_module_for_linking(self) -> Any:
        self._read_bitcode()
        return super()._get_module_for_linking()

    def get_pointer_to_function(self, name: str) -> int:
        """Address of a function, 0 where there is none of this name."""
        if not self._codegen._engine.is_symbol_defined(name):
            self._read_bitcode()
        return int(super().get_pointer_to_function(name))


def needs_more(object_code: bytes) -> bool:
    """Whether machine code asks for a symbol that numba has not told the process of yet."""
    return any(not llvm.address_of_symbol(name.decode()) for name in set(_SYMBOL.findall(object_code)))


def type_of_array(array: Any, context: Any) -> Any:
    """numba's type of an array; of plain ones without asking whether they are masked, for which numba imports `numpy.ma`."""
    if type(array) is not np.ndarray:
        return _type_of_any_array(array, context)
    try:
        dtype = numpy_support.from_dtype(array.dtype)
    except NumbaNotImplementedError:
        return _type_of_any_array(array, context)
    return types.Array(dtype, array.ndim, numpy_support.map_layout(array), readonly=not array.flags.writeable)


def environment_of(module: str, constants: list[Any], name: str) -> Any:
    """What a kernel's code refers to; of numba's own modules only the constants, without the import of the module.

    Machine code takes nothing else from it: a module's names are bound when a kernel is compiled.
    """
    if not module.startswith("numba.") or module in sys.modules:
        return _environment_of_any(module, constants, name)
    found = environment.lookup_environment(name)
    if found is None:
        found = environment.Environment({"__name__": module})
        found.consts[:] = constants
        found.env_name = name
        environment.Environment._memo[name] = found
    return found


_environment_of_any = environment._rebuild_env
_type_of_any_array = typeof_impl.dispatch(np.ndarray)


def install() -> None:
    """Have kernels loaded so from now on."""
    typeof_impl.register(np.ndarray, type_of_array)
    plain = caching.Cache.load_overload

    def load_overload(cache: Any, signature: Any, context: Any) -> Any:
        """`Cache.load_overload` without `refresh` of the context, which compiling does by itself."""
        if not isinstance(context.codegen(), JITCPUCodegen):
            return plain(cache, signature, context)
        rtsys.initialize(context)
        with cache._guard_against_spurious_io_errors():
            return cache._load_overload(signature, context)

    rebuild = caching.CompileResultCacheImpl.rebuild

    def rebuild_when_ready(self: Any, context: Any, payload: Any) -> Any:
        (_, kind, data), function, *_ = payload
        if kind == "object":
            if needs_more(data[0]):
                context.refresh()
            # Asked for at once; for any other, the intermediate code is read.
            context.codegen()._engine._defined_symbols.add(function.llvm_cpython_wrapper_name)
        return rebuild(self, context, payload)

    caching.Cache.load_overload = load_overload
    caching.CompileResultCacheImpl.rebuild = rebuild_when_ready
    environment._rebuild_env = environment_of
    JITCPUCodegen._library_class = LoadedLibrary
