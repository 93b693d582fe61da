"""Where there is no memory the page is told so; that is no bug of the viewer."""

from __future__ import annotations

import asyncio
import json

import pytest
from spindle_program_image_viewer import server

from spindle_lib_serving.refusal import Refusal

ERRORS = [MemoryError(), RuntimeError("can't start new thread")]


@pytest.mark.parametrize("error", ERRORS, ids=["memory", "threads"])
def test_a_question_without_memory_is_refused(monkeypatch, error):
    def fail():
        raise error

    with pytest.raises(Refusal, match="not enough memory"):
        server._answer(fail, {})
    monkeypatch.setattr(server, "packed", lambda content: fail())
    with pytest.raises(Refusal, match="not enough memory"):  # for the answer
        server._answer(lambda: b"pixels", {})
    response = asyncio.run(server._bug(None, error))  # type: ignore[arg-type]
    assert response.status_code == 422 and "not enough memory" in json.loads(response.body)["error"]


def test_other_errors_stay_bugs():
    def fail():
        raise RuntimeError("other")

    with pytest.raises(RuntimeError, match="other"):
        server._answer(fail, {})
    assert asyncio.run(server._bug(None, RuntimeError("other"))).status_code == 500  # type: ignore[arg-type]
