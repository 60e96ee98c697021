"""demo/checks.py and demo/children.py on real processes and files: a check holds only when the thing is so."""

import hashlib
import json
import os
import signal
import sys

import pytest

from demo import checks
from demo.children import Children, DemoFailed, cpu_ticks, thread_states
from tests.support.wait import until

SLEEPER = [sys.executable, "-c", "print('up', flush=True); import signal; signal.pause()"]


@pytest.fixture
def children(tmp_path):
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with Children(tmp_path) as started:
        yield started
    for number, handler in before.items():
        signal.signal(number, handler)


def start(children):
    child = children.start("sleeper", SLEEPER)
    until(lambda: "up" in children.log_tail("sleeper"))
    return child


def test_a_process_counts_as_stopped_only_while_it_is(children):
    """Running: no. SIGSTOP: yes. Gone: no."""
    child = start(children)
    assert not checks.process_stopped(child.pid, cpu_ticks(child.pid)).holds
    os.kill(child.pid, signal.SIGSTOP)
    until(lambda: set(thread_states(child.pid).values()) == {"T"})
    assert checks.process_stopped(child.pid, cpu_ticks(child.pid)).holds
    assert not checks.process_runs(child.pid, steps_before=1, steps_now=2).holds
    os.kill(child.pid, signal.SIGCONT)
    until(lambda: "T" not in thread_states(child.pid).values())
    assert checks.process_runs(child.pid, steps_before=1, steps_now=2).holds
    assert not checks.process_runs(child.pid, steps_before=2, steps_now=2).holds
    children.end("sleeper")
    assert not checks.process_stopped(child.pid, 0).holds


def test_a_stopped_child_is_ended_all_the_same(children):
    """SIGTERM reaches a process in state T once it goes on; nothing is left behind."""
    child = start(children)
    os.kill(child.pid, signal.SIGSTOP)
    until(lambda: set(thread_states(child.pid).values()) == {"T"})
    assert children.end("sleeper") == -signal.SIGTERM
    assert thread_states(child.pid) == {}


def test_waiting_ends_when_a_child_has_died_and_shows_what_it_said(children):
    """The end of its log stands in the message."""
    children.start("broken", [sys.executable, "-c", "raise SystemExit('no such thing')"])
    with pytest.raises(DemoFailed, match=r"(?s)broken ended with status 1.*no such thing"):
        children.wait_for("never", lambda: None, within_s=15)


def test_waiting_ends_with_its_deadline(children):
    """What was waited for stands in the message."""
    with pytest.raises(DemoFailed, match="the moon: not within 0 s"):
        children.wait_for("the moon", lambda: None, within_s=0)


@pytest.mark.parametrize(
    ("spoil", "holds"),
    [("nothing", True), ("copy", False), ("original", False), ("manifest", False), ("missing", False)],
)
def test_evidence_counts_only_when_copy_manifest_and_original_agree(tmp_path, spoil, holds):
    """Any one of the three that differs is seen."""
    original, folder = tmp_path / "config.json", tmp_path / "evidence" / "inc" / "int"
    original.write_text("{}")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}" if spoil != "copy" else "{ }")
    named = hashlib.sha256(b"{}" if spoil != "manifest" else b"").hexdigest()
    files = [{"source": str(original), "copy": "config.json", "sha256": named}]
    (folder / "manifest.json").write_text(json.dumps({"files": files if spoil != "missing" else []}))
    if spoil == "original":
        original.write_text("[]")
    (check,) = checks.evidence_kept(tmp_path / "evidence", [original])
    assert check.holds is holds
