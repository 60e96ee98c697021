"""Commands on incidents, leases, dead letters and the audit, with a real daemon socket and with the database alone."""

import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from engine.cli import life, main, output
from engine.model import Event, IncidentState, Phase
from engine.store import deadlines, happenings, notices, recorder, watches
from engine.store.connection import connect
from engine.store.happenings import What
from engine.store.notices import Notice, NoticeState
from engine.store.pinned import Pinned, keep, pack
from engine.store.recorder import RecorderLimits
from engine.store.watches import Watched
from tests.support.steered import serving
from tests.support.stored import INCIDENT, LEASE, RESTORE, START_US, make_database


@pytest.fixture
def place(tmp_path):
    """A folder with a config and the filled database that it names."""
    (tmp_path / "state").mkdir()
    (tmp_path / "config.toml").write_text('[daemon]\nstate_dir = "state"\n')
    make_database(tmp_path / "state" / "halon.db")
    return tmp_path


def halon(place, *args):
    """What `halon ARGS --config …` does."""
    return CliRunner().invoke(main, [*args, "--config", str(place / "config.toml")], prog_name="halon")


def served(place):
    """The daemon's socket on that database."""
    return serving(place / "state" / "control.sock", place / "state" / "halon.db")


VIEWS = [
    (["status"], ["1 contained", "1 in force", "0 under way, 1 held", "signal.loss-spike", "no such key: loss"]),
    (["incidents"], [INCIDENT.id, "critical", "contained", "run=run-7", "poisoned-run"]),
    (["incidents", "list", "--all"], [INCIDENT.id]),
    (["incidents", "show", INCIDENT.id], ["process.freeze", "verified", LEASE.id, "protected: owner is `core`"]),
    (["leases"], [LEASE.id, "training:pid 4242 started 918273", "in-force", INCIDENT.id]),
    (["deadletters"], ["halon/events/x", "not JSON"]),
    (["deadletters", "show", "1"], ["7b1b5b33316dff"]),
]


@pytest.mark.parametrize(("args", "texts"), VIEWS, ids=lambda each: " ".join(each) if each[0].islower() else "")
def test_a_view_says_the_same_with_and_without_a_daemon(place, args, texts):
    """Both answers hold the same facts and the same JSON; without a daemon a note says where they come from."""
    offline, offline_json = halon(place, *args), halon(place, *args, "--json")
    with served(place):
        online, online_json = halon(place, *args), halon(place, *args, "--json")
    for result in (offline, online):
        assert result.exit_code == 0, result.output
        assert all(text in result.stdout for text in texts), result.stdout
    assert "no daemon answers on" in offline.stderr
    assert online.stderr == ""
    without, with_ = json.loads(offline_json.stdout), json.loads(online_json.stdout)
    if args == ["status"]:
        assert (without.pop("live"), with_.pop("live")["pid"]) == (None, 4711)
    assert without == with_


def test_explain_says_why_it_fired_and_why_each_step_was_taken_or_not(place):
    """Events, values and thresholds; verdict, outcome, reason and the latency of every station."""
    text = halon(place, "explain", INCIDENT.id).stdout
    assert [line for line in text.splitlines() if line] == EXPLAINED.strip().splitlines()


REST_OF_THE_WAY = " → durable +3.0 ms → applying +4.0 ms → applied +4.0 ms → verified +4.5 ms  (16.5 ms in all)"
EXPLAINED = f"""
data-poisoning  critical  contained  {INCIDENT.id}
  about      run=run-7
  rule       poisoned-run
  playbook   halt-training
  mode       enforce
  opened     2026-01-01 00:05:21Z
  contained  2026-01-01 00:05:21Z
  tags       atlas:AML.T0020
Why: rule `poisoned-run` saw 3 signals
  2026-01-01 00:05:20Z  loss-spike  run=run-7
    saw     90 is far above
    value   90  against a threshold of 8
    event   evt-301  training.step from trainer-1
    data    null
    events  evt-301
  2026-01-01 00:05:21Z  label-flips  run=run-7
    saw    20 in 5m
    event  evt-321  training.batch from trainer-1 about run-7
    data   {{"flipped":3,"job_id":"17"}}
Steps
STEP       ACTION             VERDICT  STATE     TARGET                            REASON
contain.0  process.freeze     enforce  verified  training:pid 4242 started 918273  1 stopped
contain.1  file.rotate-token  enforce  refused   -                                 protected: owner is `core`
recover.0  model.restore      hold     held      -                                 the step asks for approval
Leases
LEASE               STATE     ACTION          TARGET                            EXPIRES
{LEASE.id}  in-force  process.freeze  training:pid 4242 started 918273  2026-01-02 00:05:21Z
  contain.0  process.freeze  verified
    params   {{"pid":4242}}
    verdict  enforce
    target   training:pid 4242 started 918273
    would    stop python (pid 4242), 1 processes
    outcome  applied
    because  1 stopped
    lease    {LEASE.id}
    way      event → received +0.5 ms → matched +0.5 ms{REST_OF_THE_WAY}
  contain.1  file.rotate-token  refused
    params   {{"pid":4242}}
    verdict  enforce
    because  protected: owner is `core`
    way      event → received +0.5 ms → matched +0.5 ms  (1.0 ms in all)
  recover.0  model.restore  held
    params     {{"pid":4242}}
    verdict    hold
    because    the step asks for approval
    waits for  approval until 2026-01-01 00:20:21Z
    way        event → received +0.5 ms → matched +0.5 ms  (1.0 ms in all)
"""


@pytest.mark.parametrize(
    ("args", "act", "says", "code"),
    [
        (["leases", "release", LEASE.id, "--reason", "over"], ("release", LEASE.id, "over"), f"released {LEASE.id}", 0),
        (["leases", "release", "lease-none"], ("release", "lease-none", ""), "there is no lease `lease-none`", 1),
        (["approve", INCIDENT.id, "recover.0"], ("approve", RESTORE.id), "approved", 0),
        (["deny", INCIDENT.id, "model.restore", "--reason", "no"], ("deny", RESTORE.id, "no"), "denied", 0),
        (["approve", INCIDENT.id, "recover.5"], None, "has no step `recover.5`; it has `contain.0`", 1),
        (["approve", "../../pause", "x"], None, "there is no incident `../../pause`", 1),
        (["incidents", "ack", INCIDENT.id], ("ack", INCIDENT.id, ""), "acknowledged", 0),
        (
            ["incidents", "advance", INCIDENT.id, "recovering", "--reason", "seen"],
            ("advance", INCIDENT.id, IncidentState.RECOVERING, "seen"),
            "advanced",
            0,
        ),
        (["incidents", "advance", INCIDENT.id], ("advance", INCIDENT.id, None, ""), "advanced", 0),
        (["incidents", "reopen", INCIDENT.id, "--reason", "oops"], ("reopen", INCIDENT.id, "oops"), "reopened", 0),
        (["watch", "add", "model=m", "--for", "1h"], ("watch", {"model": "m"}, 3_600_000_000, ""), "watched", 0),
        (["watch", "remove", "model=m"], ("unwatch", {"model": "m"}, ""), "it is not on the watch list", 1),
        (
            ["incidents", "close", INCIDENT.id, "--resolution", "resolved"],
            ("close", INCIDENT.id, "resolved", ""),
            "a lease is in conflict: release it first",
            1,
        ),
        (["pause", "--reason", "wait"], ("pause", "wait"), "paused", 0),
        (["resume"], ("resume",), "resumed", 0),
        (["reload"], ("reload",), "reloaded", 0),
        (["deadletters", "drop", "1"], ("drop", 1), "dropped 1", 0),
    ],
)
def test_an_act_is_done_by_the_daemon_or_said_not_to_be(place, args, act, says, code):
    """Exit code 0 only where the daemon did it; otherwise 1 and the reason."""
    with served(place) as steering:
        result = halon(place, *args)
    assert result.exit_code == code, result.output
    assert says in result.output
    assert [(name, *details) for name, _, *details in steering.acts] == ([act] if act else [])


@pytest.mark.parametrize(
    "args",
    [["pause"], ["resume"], ["reload"], ["leases", "release", LEASE.id], ["approve", INCIDENT.id, "recover.0"]],
)
def test_without_a_daemon_nothing_is_done_and_the_way_to_start_it_is_told(place, args):
    """An act never goes around the daemon."""
    result = halon(place, *args)
    assert result.exit_code == 1
    assert f"no daemon answers on {place / 'state' / 'control.sock'}" in result.stderr
    assert f"halon run --config {place / 'config.toml'}" in result.stderr


def test_a_refused_reload_shows_every_mistake(place):
    """The diagnostics of bad rules come back from the daemon, as text and as JSON."""
    with served(place) as steering:
        steering.bad_rules = True
        text, as_json = halon(place, "reload"), halon(place, "reload", "--json")
    assert text.exit_code == as_json.exit_code == 1
    assert "the old rules go on running" in text.stderr
    assert "error[H012]: unknown action `slurm.suspnd`" in text.stderr
    assert json.loads(as_json.stdout)["diagnostics"][0]["code"] == "H012"


def test_no_daemon_and_no_database_says_both(tmp_path):
    """Where nothing ever ran, the error names both places and what to do."""
    (tmp_path / "config.toml").write_text('[daemon]\nstate_dir = "state"\n')
    result = halon(tmp_path, "incidents")
    assert result.exit_code == 1
    assert "control.sock" in result.stderr
    assert "there is no database" in result.stderr
    assert "start it with" in result.stderr


@pytest.mark.parametrize("online", [True, False])
def test_an_unknown_incident_says_where_to_look(place, online):
    """With and without a daemon: which one, and which list has those there are."""
    if online:
        with served(place):
            result = halon(place, "explain", "inc-none")
    else:
        result = halon(place, "explain", "inc-none")
    assert result.exit_code == 1
    assert "there is no incident `inc-none`; `halon incidents list --all` shows what there is" in result.stderr


def test_the_audit_is_verified_on_the_database_itself(place):
    """A sound chain gives its head for safe keeping; a head that is gone, or an altered record, is exit code 1."""
    sound = halon(place, "audit", "verify")
    assert sound.exit_code == 0, sound.output
    head = sound.stdout.splitlines()[1].removeprefix("head ")
    assert halon(place, "audit", "verify", "--anchor", head).exit_code == 0
    number, _, digest = head.partition(":")
    cut = halon(place, "audit", "verify", "--anchor", f"{int(number) + 1}:{digest}", "--json")
    assert cut.exit_code == 1
    assert "truncated" in json.loads(cut.stdout)["problem"]
    writer = connect(place / "state" / "halon.db")
    writer.execute("DROP TRIGGER audit_is_not_changed")
    writer.execute("UPDATE audit SET record = replace(record, 'critical', 'low')")
    writer.close()
    broken = halon(place, "audit", "verify")
    assert broken.exit_code == 1
    assert "the audit chain is broken: altered at record 1" in broken.stdout


def test_text_from_events_cannot_steer_the_terminal(place):
    """Escape sequences and markup in what came from outside are shown as what they are."""
    writer = connect(place / "state" / "halon.db")
    writer.execute("UPDATE deadletters SET topic = ?, reason = ?", ("a\x1b]0;owned\x07b", "[red]no[/red] {x} :smile:"))
    writer.close()
    text = halon(place, "deadletters").stdout
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "a�]0;owned�b" in text
    assert "[red]no[/red] {x} :smile:" in text


def test_a_config_with_mistakes_keeps_nobody_from_pausing(place):
    """Commands that speak to the daemon use the places of such a config, and say so; one without any is refused."""
    with (place / "config.toml").open("a") as file:
        file.write("[contain]\nretires = 2\n")
    with served(place) as steering:
        paused = halon(place, "pause")
    assert paused.exit_code == 0, paused.output
    assert "has mistakes, `halon check` shows them" in " ".join(paused.stderr.split())
    assert [act[0] for act in steering.acts] == ["pause"]
    (place / "config.toml").write_text('[daemon]\nstate_dri = "state"\n')
    refused = halon(place, "pause")
    assert refused.exit_code == 2
    assert "did you mean `state_dir`?" in refused.output


@pytest.fixture
def lived(place):
    """The same place after some life: a missed deadline, a failed notice, recorded and kept events, a watched key."""
    writer = connect(place / "state" / "halon.db")
    deadlines.start(writer, INCIDENT.id, Phase.CONTAIN, at_us=START_US, within_us=5_000)
    deadlines.note_state(writer, INCIDENT.id, IncidentState.CONTAINED, at_us=START_US + 20_000)
    deadlines.start(writer, INCIDENT.id, Phase.INVESTIGATE, at_us=START_US, within_us=10_000)
    deadlines.miss(writer, INCIDENT.id, Phase.INVESTIGATE, level=2, at_us=START_US + 11_000)
    body = {"phase": "investigate", "level": 2, "levels": 4}
    happenings.put(
        writer, INCIDENT.id, What.DEADLINE_MISSED, at_us=START_US + 11_000, reason="it is not investigated", body=body
    )
    seen = [Event(f"r{n}", "/s", "training.step", START_US - n, "run-7", {"model": "m-17"}) for n in range(3)]
    recorder.put(writer, [*seen, Event("o", "/s", "other", START_US, "else")], START_US, RecorderLimits())
    kept = Pinned(INCIDENT.id, START_US, START_US - 9, START_US + 9, tuple(seen), left_out=4)
    keep(writer, [pack(kept)], kept_bytes_max=10**6)
    watches.put(writer, Watched((("model", "m-17"),), START_US, START_US + 9, "ann", "new weights"))
    writer.close()
    return place


def test_the_status_says_what_is_late_and_what_is_watched(lived):
    """And which notices failed; without any of it, as above, it says nothing of the kind."""
    writer = connect(lived / "state" / "halon.db")
    failed = Notice("n", INCIDENT.id, "on-call", "late", "", "warning", NoticeState.FAILED, START_US, START_US)
    notices.put(writer, failed)
    writer.close()
    text = halon(lived, "status").stdout
    for each in ("1 to investigate: see `halon incidents`", "1 failed: see `halon incidents show`", "1 key"):
        assert each in text


def test_an_incident_is_shown_with_deadlines_scope_and_story(lived):
    """What was kept and what was missed, what it touches, and what happened, in words."""
    text = halon(lived, "incidents", "show", INCIDENT.id).stdout
    for each in (
        "contain      2026-01-01 00:05:21Z  missed by 15.0 ms",
        "late (said 2x)",
        "└─ m-17  in 3 recorded events",
        "run-7  key of the incident",
        "pid 4242 started 918273  process.freeze in force",
        "deadline-missed  investigate, said 2 of 4 times: it is not investigated",
        "verified  contain.0 process.freeze on pid 4242 started 918273: took 4.0 ms, read back in 4.5 ms",
        "refused  contain.1 file.rotate-token: protected: owner is `core`",
        "3 recorded events are kept with it (4 more were too many)",
    ):
        assert each in text
    assert ", late" in halon(lived, "incidents").stdout


def test_a_story_is_folded_where_the_terminal_is_narrow(lived, monkeypatch):
    """Nothing is wider than 80 columns, and what goes on stands below its text."""
    stream = io.StringIO()
    made = Console(file=stream, width=80, force_terminal=True, color_system=None, markup=False, highlight=False)
    monkeypatch.setattr(output, "console", lambda *, stderr=False: made)
    monkeypatch.setattr(life, "console", lambda *, stderr=False: made)
    assert halon(lived, "incidents", "show", INCIDENT.id).exit_code == 0
    lines = stream.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    story = lines[lines.index("Story") :]
    assert any(line.startswith(" " * 15) and line.strip() for line in story)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ([], ["r2", "r1", "r0", "o"]),
        (["--key", "run=run-7"], ["r2", "r1", "r0"]),
        (["--type", "other"], ["o"]),
        (["--around", INCIDENT.id], ["r2", "r1", "r0"]),
        (["--around", INCIDENT.id, "--all-keys"], ["r2", "r1", "r0", "o"]),
        (["--around", INCIDENT.id, "--before", "0s"], ["r0"]),
    ],
)
def test_recorded_events_come_as_lines_that_replay_takes(lived, args, found):
    """With and without a daemon; each line is a CloudEvent."""
    offline = halon(lived, "events", *args, "--json")
    with served(lived):
        online = halon(lived, "events", *args, "--json")
    for result in (offline, online):
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert sorted(each["id"] for each in lines) == sorted(found)
        assert all(each["specversion"] == "1.0" for each in lines)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["events", "--key", "m-17"], "write NAME=VALUE"),
        (["events", "--all-keys"], "--all-keys goes with --around"),
        (["events", "--around", "inc-none"], "there is no incident `inc-none`"),
        (["events", "--before", "soon"], "is not a duration"),
        (["watch", "add", "m-17"], "write NAME=VALUE"),
        (["incidents", "close", "inc-1", "--resolution", "done"], "'done' is not one of"),
    ],
)
def test_what_makes_no_sense_is_said(lived, args, says):
    """With what to write instead."""
    result = halon(lived, *args)
    assert result.exit_code in {1, 2}
    assert says in result.output


def test_the_watch_list_says_who_watches_what_and_why(lived):
    """With and without a daemon."""
    offline = halon(lived, "watch")
    with served(lived):
        online = halon(lived, "watch")
    for result in (offline, online):
        assert "model=m-17" in result.stdout
        assert "new weights" in result.stdout
