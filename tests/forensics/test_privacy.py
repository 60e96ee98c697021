"""Canaries and personal data in real files."""

import json

import pytest

from engine.forensics.privacy import scan_privacy
from engine.forensics.report import EvidenceError, Judgement

CANARIES = ["the blue heron sings at 4711", "Zürich-canary-√2"]


def test_canaries_are_found_in_any_case_and_in_json(tmp_path):
    """Plain, in capitals, escaped in JSON and deep in a long line; the text itself is never shown."""
    path = tmp_path / "out.jsonl"
    lines = ["nothing", CANARIES[0].upper(), json.dumps({"t": CANARIES[1]}), "x" * 1_048_570 + CANARIES[0] + "y" * 100]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = scan_privacy(path, CANARIES)
    assert report.judgement is Judgement.FINDING
    assert {(each.where, each.why) for each in report.marks} == {
        ("line 2", "canary 1"), ("line 3", "canary 2"), ("line 4", "canary 1")
    }  # fmt: skip
    assert "heron" not in repr(report)


def test_a_clean_file_is_clean_and_short_canaries_are_refused(tmp_path):
    """Half a canary is none; a canary that stands anywhere by chance is an error."""
    (tmp_path / "a").write_text("the blue heron sings\n")
    assert scan_privacy(tmp_path / "a", CANARIES).judgement is Judgement.CLEAN
    for canaries, says in ((["abc"], "canary 1 must have 8"), ([], "give 1 to")):
        with pytest.raises(EvidenceError, match=says):
            scan_privacy(tmp_path / "a", canaries)


def test_personal_data_is_counted_by_line_and_never_quoted(tmp_path):
    """Addresses and cards are found also where JSON escapes them; what only looks like a card is not."""
    path = tmp_path / "out.jsonl"
    lines = ["the lion sleeps", json.dumps({"t": "ann@example.org, \u0062ob@example.org"}), "4111 1111 1111 1112",
             '{"card": "4111\\u00201111 1111 1111"}']  # fmt: skip
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = scan_privacy(path, kinds=["email", "card"])
    assert [(each.where, each.why) for each in report.marks] == [("line 2", "2 email"), ("line 4", "1 card")]
    assert report.summary == "it holds 2 email, 1 card"
    assert report.details == {"lines": 4, "email": 2, "card": 1}
    assert "ann" not in repr(report)
    assert "4111" not in repr(report)
    assert scan_privacy(path, kinds=["ssn"]).judgement is Judgement.CLEAN


def test_both_are_looked_for_in_one_reading(tmp_path):
    """A line may hold a canary and an address; both are said."""
    path = tmp_path / "out.txt"
    path.write_text(f"{CANARIES[0]} says ann@example.org\n", encoding="utf-8")
    report = scan_privacy(path, CANARIES, ["email"])
    assert [each.why for each in report.marks] == ["canary 1, 1 email"]
    assert report.summary == "1 of 2 canaries is in it; it holds 1 email"
