"""Canaries in real files."""

import json

import pytest

from engine.forensics.privacy import scan_canaries
from engine.forensics.report import EvidenceError, Judgement

CANARIES = ["the blue heron sings at 4711", "Zürich-canary-√2"]


def test_canaries_are_found_in_any_case_and_in_json(tmp_path):
    """Plain, in capitals, escaped in JSON and deep in a long line; the text itself is never shown."""
    path = tmp_path / "out.jsonl"
    lines = ["nothing", CANARIES[0].upper(), json.dumps({"t": CANARIES[1]}), "x" * 1_048_570 + CANARIES[0] + "y" * 100]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = scan_canaries(path, CANARIES)
    assert report.judgement is Judgement.FINDING
    assert {(each.where, each.why) for each in report.marks} == {
        ("line 2", "canary 1"), ("line 3", "canary 2"), ("line 4", "canary 1")
    }  # fmt: skip
    assert "heron" not in repr(report)


def test_a_clean_file_is_clean_and_short_canaries_are_refused(tmp_path):
    """Half a canary is none; a canary that stands anywhere by chance is an error."""
    (tmp_path / "a").write_text("the blue heron sings\n")
    assert scan_canaries(tmp_path / "a", CANARIES).judgement is Judgement.CLEAN
    for canaries, says in ((["abc"], "canary 1 must have 8"), ([], "give 1 to")):
        with pytest.raises(EvidenceError, match=says):
            scan_canaries(tmp_path / "a", canaries)
