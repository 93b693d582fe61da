"""Warnings of steps are heard, with the step that was at work, in this process and from workers."""

from __future__ import annotations

import logging

from spindle.execution import HeardWarnings


def test_warnings_are_heard_with_their_step_and_no_longer_than_asked():
    log = logging.getLogger("spindle.index")
    heard = HeardWarnings()
    log.warning("too early")
    with heard:
        heard.step = "index"
        log.warning("Warning: two\nlines of %s", "words")
        log.info("all is well")
        logging.getLogger("spindlewhorl").warning("of something else")
        logging.getLogger("numba").warning("of something else")
        logging.getLogger("spindle_lib_spots.blanks").warning("of a room")
        heard.step = "refine"
        log.warning("two")
        log.error("two")
        log.warning("")
    log.warning("too late")
    assert heard.messages == [
        ("index", "two\nlines of words"),
        ("index", "of a room"),
        ("refine", "two"),
        ("refine", "two"),
        ("refine", ""),
    ]
    assert heard.once == [("index", "two"), ("index", "of a room"), ("refine", "two")]
    with heard:
        log.warning("again")
    assert heard.messages[-1] == ("refine", "again")
