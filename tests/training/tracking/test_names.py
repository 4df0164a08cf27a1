"""One table of names: the page has the code's, and a name fits what it says and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pointsman.tracking.names import METRICS, PARAMS, TAGS, TRIAL_METRICS, Name, flat, key, named, names_table

PAGE = Path(__file__).parents[3] / "training" / "TRACKING.md"


def test_the_page_has_the_table_of_the_code() -> None:
    part = re.search(r"<!-- names: [^>]* -->\n\n(.*)\n\n<!-- end of names -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert part is not None
    assert part[1] == names_table(), "make tracking writes it"


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        (
            "after/p50_ms|p95_ms",
            ["after/p50_ms", "after/p95_ms"],
            ["after/p99_ms", "before/p50_ms", "after/p50_ms/x"],
        ),
        ("rule/min_p_useful/MODEL", ["rule/min_p_useful/gpt-4.1 (eu)"], ["rule/min_p_useful", "rule/min_p_useful/a/b"]),
        ("option/*", ["option/pick", "option/a/b"], ["options"]),
        ("*", ["anything"], []),
    ],
)
def test_a_pattern_fits_its_family(pattern: str, fitting: list[str], others: list[str]) -> None:
    name = Name(pattern, "", "")
    assert all(map(name.fits, fitting))
    assert not any(map(name.fits, others))


def test_what_is_not_named_is_not_logged() -> None:
    values = dict(flat({"after": {"p95_ms": 1.0, "mood": 2.0}, "certificate": {"p95_latency_ms": {"bound": 0.1}}}))
    assert named(values, METRICS) == {"after/p95_ms": 1.0, "certificate/p95_latency_ms/bound": 0.1}


def test_a_users_name_is_one_part_that_mlflow_takes() -> None:
    assert key("org/model v2: (ü)") == "org.model v2: .ü."
    assert len(key("x" * 400)) <= 120


def test_no_two_names_of_a_list_are_the_same() -> None:
    for names in (METRICS, PARAMS, TAGS, TRIAL_METRICS):
        patterns = [one.pattern for one in names]
        assert len(patterns) == len(set(patterns))
