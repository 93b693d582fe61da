"""What a run is to cite: the publications of what it used, as text and for BibTeX."""

from __future__ import annotations

import pytest

from spindle.cli.cite import cited, used_for
from spindle.contracts import Citation
from spindle.plugins import registry


def record(*plugins: tuple[str, str, bool], program: str = "integrate"):
    listed = [
        {"slot": s, "name": n, "distribution": "d", "version": "1"} | ({"made": True} if m else {})
        for s, n, m in plugins
    ]
    return {"program": program, "versions": {"spindle": "0.1.0"}, "plugins": listed, "parameters": {}}


def places(*records) -> dict[str, list[str]]:
    return {citation.key: names for citation, names in used_for(list(records)).items()}


def test_what_was_used_is_cited_and_not_what_was_only_looked_at():
    found = places(record(("background", "glm", True), ("background", "simple", False), ("program", "integrate", True)))
    assert found["parkhurst2016rbm"] == ["background.glm"]
    assert found["kabsch2010iss"] == ["spindle integrate"]
    assert not any(key.startswith("leslie") for key in found)


def test_several_runs_are_cited_together():
    found = places(record(("profile", "gaussian_rs", True)), record(("program", "integrate", True)))
    assert found["kabsch2010iss"] == ["profile.gaussian_rs", "spindle integrate"]


def test_records_that_do_not_tell_are_taken_as_they_are():
    assert "leslie1999iom" in places(record(("background", "simple", False)))


def test_plugins_that_are_not_installed_here_do_no_harm():
    assert "wojdyr2022gal" in places(record(("background", "of_somebody", True)))


def test_the_text_has_a_sentence_for_the_methods_and_bibtex_one_entry_each():
    runs = [record(("indexing", "fft3d", True), program="index"), record(("background", "glm", True))]
    text = cited(runs)
    assert text.startswith(
        "Data were processed with Spindle 0.1.0: index (indexing fft3d), then integrate (background glm)."
    )
    entries = cited(runs, "bibtex").split("\n\n")
    assert entries[0].startswith("@software{spindle,") and len(entries) == 1 + len(used_for(runs))
    assert all(entry.count("{") == entry.count("}") for entry in entries)


def test_citations_of_plugins_are_whole():
    keys: dict[str, Citation] = {}
    for info in registry().infos:
        for citation in registry().load(info.slot, info.name).citations:
            assert 1800 < citation.year < 2100 and ", " in citation.authors, citation
            assert all((citation.title, citation.journal, citation.volume, citation.pages)), citation
            assert not citation.doi or citation.doi.startswith("10."), citation
            assert keys.setdefault(citation.key, citation) == citation, "two plugins write one publication in two ways"
    assert len(keys) > 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give the record of a run"),
        (("missing.json",), "missing.json"),
        (("x.json", "format=ris"), "format=ris"),
        (("--pdf",), "--pdf"),
    ],
)
def test_wrong_words_are_errors(spindle, words, said):
    done = spindle("cite", *words)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
