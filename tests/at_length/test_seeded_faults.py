"""The conformance kit finds nearly all small faults that were put into good plugins."""

from __future__ import annotations

import pytest

from tests.conformance.seeded_faults import all_faults, caught

LEAST = 0.95


@pytest.mark.parametrize("slot", sorted({f.slot for f in all_faults()}))
def test_every_fault_is_found_by_the_checks_that_are_made_for_it(slot, tmp_path):
    faults = [f for f in all_faults() if f.slot == slot]
    found = caught(faults, tmp_path)
    missed = [f.title for f in faults if not found[f.title] and not f.missed]
    assert not missed, f"the kit does not find: {'; '.join(missed)}"
    surprising = [f.title for f in faults if found[f.title] and f.missed]
    assert not surprising, f"found now, take `missed` out: {surprising}"


def test_few_faults_are_known_to_be_missed():
    faults = all_faults()
    titles = [f.title for f in faults]
    assert len(titles) == len(set(titles)) >= 100
    missed = [f.title for f in faults if f.missed]
    assert 1 - len(missed) / len(faults) >= LEAST, f"missed: {missed}"
    assert len({f.kind for f in faults}) >= 12
