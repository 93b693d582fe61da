"""What the screen shows of many experiments."""

from __future__ import annotations

from spindle_program_integrate.tables import overviewed

from spindle.report import Table

ITEMS = [
    "number processed with summation", "number processed with profile fitting", "number failed in summation", "i/sigi (summation)",
    "i/sigi (profile fitting)", "cc prf",
]  # fmt: skip


def summaries(n):
    """Of which each has a lower correlation than the one before; the first has none at all."""
    return [
        Table("", ["Item", "Overall"], [[item, 100 * i + k] for k, item in enumerate(ITEMS[:-1])]
              + [[ITEMS[-1], None if i == 0 else 1 - i / 100]], f"integrate_summary_{i}")
        for i in range(n)
    ]  # fmt: skip


def test_few_experiments_have_their_tables():
    given = [Table(key="integrate_profiles"), *summaries(3)]
    assert overviewed(given) == given


def test_of_many_the_worst_stand_in_one_table():
    shown = overviewed([Table(key="integrate_profiles"), *summaries(20)])
    assert [t.detail for t in shown] == [False, *[True] * 20, False]
    assert [row[0] for row in shown[-1].rows] == [0, 19, 18, 17, 16, 15, 14, 13]
    assert shown[-1].rows[1] == [19, 1900, 1901, 1902, 1903, 1904, 0.81]
