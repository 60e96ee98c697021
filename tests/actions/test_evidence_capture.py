"""evidence.capture beyond the contract: what the copy holds, and that a changed copy is seen."""

import json
import os
import stat

import pytest

from engine.model import Applied, Failed, InForce, NotInForce
from tests.actions.harness.base import Run, folder
from tests.actions.harness.files import CaptureHarness


@pytest.fixture
def captured():
    with folder() as tmp:
        harness = CaptureHarness(tmp)
        with harness.fresh():
            run = Run(harness)
            outcome = run.apply(run.check())
            assert isinstance(outcome, Applied), outcome
            yield harness, run, outcome.receipt


def test_the_manifest_names_each_file_with_its_hash_and_place(captured):
    """Source, mode and time of the original stand beside the SHA-256 of the copy; folders and files are read-only."""
    harness, run, _ = captured
    base = run.state_dir / "evidence" / run.context.incident / run.context.intent
    manifest = json.loads((base / "manifest.json").read_text())
    sources = {each["source"]: each for each in manifest["files"]}
    original = harness.folder / "weights.npz"
    assert sources[str(original)]["bytes"] == original.stat().st_size
    assert sources[str(original)]["modified_us"] == original.stat().st_mtime_ns // 1000
    assert {f"/proc/{os.getpid()}/cmdline", f"/proc/{os.getpid()}/maps"} <= set(sources)
    assert not any("environ" in source for source in sources)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in base.rglob("*") if path.is_file()}
    assert modes == {0o400}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [base, *base.rglob("*")] if path.is_dir()} == {0o500}


@pytest.mark.parametrize("name", ["copy", "manifest.json"])
def test_a_changed_copy_is_seen(captured, name):
    """A flipped byte in a copy or in the manifest reads `not in force`."""
    harness, run, receipt = captured
    base = run.state_dir / "evidence" / run.context.incident / run.context.intent
    path = base / name if name != "copy" else base / f"files{harness.folder}" / "weights.npz"
    assert isinstance(run.verify(receipt), InForce)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    assert isinstance(run.verify(receipt), NotInForce)


def test_what_can_be_kept_is_kept_although_another_thing_is_missing():
    """The step fails visibly, and its message says where the rest was kept."""
    with folder() as tmp:
        harness = CaptureHarness(tmp)
        with harness.fresh():
            run = Run(harness)
            run.params = type(run.params)(paths=(str(harness.folder / "config.json"), "/nonexistent/y"))
            plan = run.check()
            assert "/nonexistent/y" in plan.would
            outcome = run.apply(plan)
            assert isinstance(outcome, Failed)
            assert "1 files were kept in" in outcome.error
            assert len(harness.kept()) == 1
            assert isinstance(run.verify(plan.receipt), NotInForce)


def test_an_original_that_changes_later_does_not_change_the_copy(captured):
    """A second run of the same intent keeps the first copy."""
    harness, run, receipt = captured
    (harness.folder / "config.json").write_text("tampered")
    run.apply(run.check())
    assert [path.read_text() for path in harness.kept() if path.name == "config.json"] == ['{"lr": 0.1}']
    assert isinstance(run.verify(receipt), InForce)
