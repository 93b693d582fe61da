"""What kernels are called with has the types that numba gives."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba.core.typing.typeof import Purpose

import spindle
from spindle.execution.kernel_locator import LIGHTENED

if numba.version_info.short != LIGHTENED:
    pytest.skip("this version of numba loads kernels by itself", allow_module_level=True)

from spindle.execution.light_numba import _type_of_any_array, type_of_array


class Own(np.ndarray):
    """A kind of array that is not numpy's own."""


def read_only(array):
    array.setflags(write=False)
    return array


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3), np.zeros((2, 3), np.int32), np.zeros((4, 3), order="F"), np.zeros((4, 6))[:, ::2], np.zeros(()), np.zeros((2, 0), bool),
        read_only(np.zeros(3, np.float32)), np.zeros(3, "M8[s]"), np.zeros(3, "S4"), np.zeros(2, [("a", "f8"), ("b", "i4")]),
        np.zeros(9, np.uint8)[1:].view(np.int32), np.zeros(3).view(Own),
    ],
)  # fmt: skip
def test_arrays_have_the_types_that_numba_gives_them(array):
    assert spindle  # has prepared numba
    assert type_of_array(array, Purpose.argument) == _type_of_any_array(array, Purpose.argument)


@pytest.mark.parametrize("array", [np.ma.masked_array([1.0, 2.0], [0, 1]), np.zeros(3, ">i4")])
def test_arrays_that_numba_refuses_are_refused(array):
    with pytest.raises(Exception, match="Unsupported") as ours:
        type_of_array(array, Purpose.argument)
    with pytest.raises(type(ours.value), match=str(ours.value).split(":")[0]):
        _type_of_any_array(array, Purpose.argument)
