"""Messages of trials are kept out of the log, and come back."""

from __future__ import annotations

import logging

from spindle_lib_refinement.short_refinement import quiet


def test_overlapping_uses_leave_messages_as_they_were():
    """As in two threads: the first to begin is the first to end."""
    before = logging.root.manager.disable
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    assert not logging.getLogger("spindle").isEnabledFor(logging.INFO)
    first.__exit__(None, None, None)
    assert logging.root.manager.disable >= logging.INFO
    second.__exit__(None, None, None)
    assert logging.root.manager.disable == before
