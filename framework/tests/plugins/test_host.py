from __future__ import annotations

import pytest

from spindle.contracts import Algorithm, hookimpl
from spindle.plugins.host import PluginHost


class TakesFew(Algorithm):
    colour = "red"

    @hookimpl
    def map_ordered(self, function, items):
        return map(function, items)


class Doubler(Algorithm):
    @hookimpl(wrapper=True)
    def map_ordered(self):
        return [2 * value for value in (yield)]


def test_implementations_may_take_fewer_arguments():
    handle = PluginHost().add("executor", "few", TakesFew())
    assert list(handle.map_ordered(function=abs, items=[-1, 2], n_workers=2, cancelled=bool)) == [1, 2]


def test_arguments_may_be_given_by_position():
    handle = PluginHost().add("executor", "few", TakesFew())
    assert list(handle.map_ordered(abs, [-1, 2], 2, bool)) == [1, 2]


def test_wrong_arguments_name_the_right_ones():
    handle = PluginHost().add("executor", "few", TakesFew())
    with pytest.raises(
        TypeError, match=r"does not take speed; its arguments are function, items, n_workers, cancelled"
    ):
        handle.map_ordered(abs, [], 2, bool, speed=3)
    with pytest.raises(TypeError, match="needs n_workers, cancelled"):
        handle.map_ordered(abs, [])


def test_other_attributes_are_the_plugins_own():
    assert PluginHost().add("executor", "few", TakesFew()).colour == "red"


def test_observers_may_wrap_any_hook():
    handle = PluginHost(observers=(Doubler(),)).add("executor", "few", TakesFew())
    assert handle.map_ordered(abs, [-1, 2], 2, bool) == [2, 4]


def test_two_algorithms_of_a_slot_do_not_mix():
    host = PluginHost()

    class Other(TakesFew):
        @hookimpl
        def map_ordered(self, items):
            return "other"

    first, second = host.add("executor", "a", TakesFew()), host.add("executor", "b", Other())
    assert list(first.map_ordered(abs, [1], 1, bool)) == [1]
    assert second.map_ordered(abs, [1], 1, bool) == "other"
