"""engine/rulefile/samples.py: the file that a detection method names, beside its rule file."""

import json
import os

import pytest

from engine.detectors.table import DETECTORS
from engine.diagnostics import has_errors, render
from engine.rulefile.load import load_rules
from tests.support.detecting import observe
from tests.support.plugins import CATALOGUE

RULES = """
[signal.answers-drift]
on = "inference.response"
by = { model = "event.data.model" }
detect = { method = "psi", of = "event.data.answer", window = 20, file = "reference/usual.json" }

[rule.drift]
incident = "model-drift"
severity = "low"
by = ["model"]
when = { any = ["answers-drift"] }
"""


def load(folder):
    return load_rules([folder], catalogue=CATALOGUE, detectors=DETECTORS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    write(tmp_path, {"approve": 720, "decline": 280})
    return tmp_path


def write(folder, reference):
    (folder / "reference" / "usual.json").write_text(json.dumps(reference), encoding="utf-8")


def test_the_reference_is_read_beside_the_rule_file_and_judges_at_once(folder, monkeypatch):
    """Wherever the daemon stands, twenty answers of another mix are found, and of the usual one none."""
    monkeypatch.chdir("/")
    rules, found = load(folder)
    assert found == [], render(found)
    detect = rules.signals["answers-drift"].detect
    usual, other = detect.create(), detect.create()
    mix = ["approve", "approve", "decline", "approve", "approve", "decline", "approve", "approve", "approve"] * 9
    assert not any(usual.update(observe(place, of=of)) for place, of in enumerate(mix))
    assert any(other.update(observe(place, of="decline")) for place in range(30))


def test_another_content_is_another_signal_and_the_same_is_the_same(folder):
    """The digests follow what the file holds, not when it was written."""
    first = load(folder)[0]
    write(folder, {"approve": 720, "decline": 280})
    same = load(folder)[0]
    write(folder, {"approve": 700, "decline": 300})
    other = load(folder)[0]
    assert first.signals["answers-drift"].digest == same.signals["answers-drift"].digest
    assert first.digest == same.digest
    assert first.signals["answers-drift"].digest != other.signals["answers-drift"].digest
    assert first.digest != other.digest


@pytest.mark.parametrize("kind", ["folder", "pipe", "missing", "large", "texts-for-ks"])
def test_what_can_t_be_read_is_told_where_it_is_named(folder, kind):
    """A folder, a pipe without a writer, no file, one past the limit, texts for numbers: never a hang."""
    path = folder / "reference" / "usual.json"
    path.unlink()
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "large":
            path.write_bytes(b" " * (4 * 1_048_576 + 1))
        case "texts-for-ks":
            write(folder, ["a"] * 30)
            named = RULES.replace('"psi", of = "event.data.answer"', '"ks"').replace(
                "detect =", 'value = "1.0"\ndetect ='
            )
            (folder / "rules.toml").write_text(named, encoding="utf-8")
    rules, found = load(folder)
    assert rules is None
    assert has_errors(found)
    assert [each.code for each in found] == ["H035"], render(found)
    assert found[0].span.line in {5, 6}
