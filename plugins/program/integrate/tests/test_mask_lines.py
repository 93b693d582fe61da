"""Of many sets of images the screen says once that pixels are masked; the log says it of each."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from spindle_program_integrate import groups


@pytest.mark.parametrize(("n_sets", "hint"), [(1, ""), (4, "; the log tells of each set of images")])
def test_the_screen_tells_of_the_first(monkeypatch, caplog, n_sets, hint):
    masks = [np.ones((3, 4), bool)]
    found = SimpleNamespace(n_images=9, n_shadowed=1, n_dead=2, n_hot=3, masks=[np.eye(3, 4, dtype=bool)])
    monkeypatch.setattr(groups, "automatic_mask", lambda *_: found)
    context = SimpleNamespace(log=logging.getLogger("spindle.test"), executor=None)
    with caplog.at_level(logging.INFO):
        for number in range(n_sets):
            (new,) = groups._masked_automatically(context, None, masks, number, n_sets == 1)
            assert new.sum() == 3
    shown = [record for record in caplog.records if not getattr(record, "detail", False)]
    assert len(caplog.records) == n_sets and len(shown) == 1
    assert (
        shown[0]
        .getMessage()
        .endswith(
            f"experiment 0, from 9 images: 1 pixels in shadow, 2 dead, 3 hot (integration.filter.automatic_mask=False leaves them in{hint})"
        )
    )
