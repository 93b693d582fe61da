"""Parts of the page for a server."""

from __future__ import annotations

import re

from spindle_lib_reciprocal_view.page import SCRIPTS, body_of_page, part_of_page


def test_parts_are_scripts_and_the_style_and_nothing_else():
    for name in SCRIPTS:
        assert part_of_page(f"{name}.js")
    assert part_of_page("style.css")
    for name in ("page.html", "../points.py", "nothing.js", "viewer", "style.js"):
        assert part_of_page(name) is None


def test_the_body_has_no_script_of_its_own_and_loads_nothing():
    body = body_of_page("<spots>")
    assert "&lt;spots&gt;" in body and "<script" not in body and not re.search(r"https?:|src=", body)
    # what the scripts ask for is there
    scripts = "".join(part_of_page(f"{name}.js").decode() for name in SCRIPTS)
    asked = set(re.findall(r'\$\("([a-z]+)"\)', scripts)) - {"meta"}
    assert all(f'id="{name}"' in body for name in asked)
