"""engine.app from outside: `halon run` as a real process on a real mosquitto, acting on real processes."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from engine.operate.shown import Status
from tests.support.actionplugin import install
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.realparts import free_port
from tests.support.wait import until

TOPIC = "halon/events/test"
FREEZE = """
[signal.bad]
on = "run.bad"
by = { run = "event.subject" }

[signal.hot]
on    = "gpu.temperature"
where = "event.data.celsius > 90"
by    = { run = "event.subject" }

[rule.freeze-it]
incident = "data-poisoning"
severity = "critical"
by       = ["run"]
when     = { any = ["bad"] }
playbook = "freeze"

[rule.too-hot]
incident = "availability"
severity = "low"
by       = ["run"]
when     = { any = ["hot"] }

[playbook.freeze]
contain = [{ do = "process.freeze", pid = "${event.data.pid}", hold = "1h" }]
"""


def event(number: str, kind: str = "run.bad", subject: str = "run-7", **data: object) -> bytes:
    return json.dumps(
        {"specversion": "1.0", "id": number, "source": "test", "type": kind, "subject": subject, "data": data}
    ).encode()


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@contextmanager
def child() -> Iterator[int]:
    """A process of the same user that sleeps."""
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        until(lambda: state(process.pid) == "S", what="the child sleeps")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def client_id(name: str) -> str:
    """Each test has a session of its own on the shared broker."""
    return f'client_id = "halon-{name}"\ntopics = [{{ filter = "halon/{name}/#" }}]'


def say(broker: Mosquitto, name: str, *payloads: bytes) -> None:
    publish(broker.port, [(f"halon/{name}/x", each) for each in payloads])


def lines_about(halon: Daemon, name: str, value: object) -> list[dict]:
    return [line for line in halon.lines() if line.get(name) == value]


def test_open_incidents_whose_state_was_lost_are_taken_over(tmp_path):
    """State of an unknown version begins anew; the open incident takes more evidence, and no step is done again."""
    with (
        subprocess.Popen(["sleep", "600"]) as held,
        Mosquitto(tmp_path) as own,
        Daemon(tmp_path, port=own.port, rules=FREEZE) as halon,
    ):
        try:
            publish(own.port, [(TOPIC, event("lost-1", pid=held.pid))])
            until(lambda: halon.intents() and halon.intents()[0][1] == "verified", what="it is contained")
            assert halon.stop() == 0
            with sqlite3.connect(halon.database) as connection:
                connection.execute("UPDATE matches SET version = 9999")
            connection.close()
            halon.start()
            said = [line["reason"] for line in halon.lines("state rebuilt from nothing")]
            assert any("taken over from its record" in each for each in said), said
            publish(own.port, [(TOPIC, event("lost-2", pid=held.pid))])
            until(lambda: "lost-2" in halon.one("SELECT signals FROM evidence"), what="it is absorbed")
            assert halon.one("SELECT count(*) FROM incidents") == 1
            assert len(halon.intents()) == 1
        finally:
            held.kill()


def test_an_event_freezes_a_real_process_and_a_release_thaws_it(broker, tmp_path):
    """From the message to a stopped process, a listed lease, and `halon leases release`; the log can be followed."""
    with (
        child() as pid,
        Daemon(tmp_path, port=broker.port, rules=FREEZE, mqtt=client_id("freeze")) as halon,
    ):
        say(broker, "freeze", event("e-1", pid=pid))
        until(lambda: halon.one("SELECT state FROM intents") == "verified", what="the step is verified")
        assert state(pid) == "T"
        [incident] = halon.ask("incidents", "list")
        assert (incident["incident"], incident["state"], incident["key"]) == (
            "data-poisoning",
            "contained",
            {"run": "run-7"},
        )
        [lease] = halon.ask("leases", "list")
        assert lease["state"] == "in-force"
        assert str(pid) in halon.halon("leases", "list") + json.dumps(lease)
        assert "verified" in halon.halon("explain", incident["id"])
        # One event's way through the log: signal and incident carry its id, intent and outcome the incident's.
        said = [line["event"] for line in lines_about(halon, "event_id", "e-1")]
        assert said[:2] == ["signal", "incident opened"]
        steps = [line["event"] for line in lines_about(halon, "incident", incident["id"])]
        wanted = ["intent", "intent applying", "intent applied", "intent verified"]
        assert [each for each in steps if each in wanted] == wanted
        halon.halon("leases", "release", lease["id"])
        assert state(pid) != "T"
        assert halon.ask("leases", "list") == []
        assert halon.run_command("audit", "verify").returncode == 0


@pytest.mark.parametrize("how", ["option", "config"])
def test_observe_mode_looks_and_touches_nothing(broker, tmp_path, how):
    """`--observe` and `guards.mode` record what would have been done; the process runs on."""
    with (
        child() as pid,
        Daemon(
            tmp_path,
            port=broker.port,
            rules=FREEZE,
            mqtt=client_id(f"observe-{how}"),
            arguments=["--observe"] if how == "option" else [],
            config='[guards]\nmode = "observe"\n' if how == "config" else "",
        ) as halon,
    ):
        say(broker, f"observe-{how}", event("e-1", pid=pid))
        until(lambda: halon.one("SELECT state FROM intents") == "observed", what="the step is observed")
        assert state(pid) == "S"
        assert f"{pid}" in halon.one("SELECT reason FROM intents")
        assert halon.ask("leases", "list") == []
        assert halon.status().live.mode.value == "observe"
        [incident] = halon.ask("incidents", "list")
        assert incident["state"] == "open", "what was only observed is not contained"


def test_bad_rules_start_nothing_and_are_told_all_at_once(tmp_path):
    """Every mistake of every file, exit 1, no database, no socket."""
    texts = {
        "a.toml": FREEZE.replace("process.freeze", "process.freez"),
        "b.toml": '[signal.odd]\non = "x"\nwhere = "event.data.x >"\nbogus = 1\n',
    }
    halon = Daemon(tmp_path, port=free_port(), rules=texts)
    try:
        halon.launch()
        assert halon.wait() == 1
        said = halon.log.read_text()
        for part in ("process.freeze", "a.toml", "b.toml", "bogus", "where"):
            assert part in said
        assert not halon.database.exists()
        assert not halon.socket.exists()
    finally:
        halon.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("[store]\ncommit_retri = '1s'\n", "commit_retry"), ("[contain]\nretries = 'many'\n", "retries")],
)
def test_a_bad_config_is_a_mistake_of_use(tmp_path, wrong, said):
    """Exit 2, with the place and a suggestion; nothing is started."""
    halon = Daemon(tmp_path, port=free_port(), rules=FREEZE, config=wrong)
    try:
        halon.launch()
        assert halon.wait() == 2
        assert said in halon.log.read_text()
        assert not halon.database.exists()
    finally:
        halon.close()


def test_a_missing_config_is_a_mistake_of_use(tmp_path):
    """Exit 2 and the option to use."""
    halon = Daemon(tmp_path, port=free_port(), rules=FREEZE)
    try:
        halon.config.unlink()
        halon.launch()
        assert halon.wait() == 2
        assert "--config" in halon.log.read_text()
    finally:
        halon.close()


def test_sighup_takes_good_rules_and_refuses_bad_ones(broker, tmp_path):
    """Good rules are swapped in; bad ones leave the old ones running, which `halon status` and `halon reload` say."""
    with Daemon(tmp_path, port=broker.port, rules=FREEZE, mqtt=client_id("reload")) as halon:
        before = halon.status().live.rules
        second = '[rule.second]\nincident = "fairness"\nseverity = "low"\nwhen = { any = ["bad"] }\n'
        halon.write_rules(FREEZE + second)
        halon.send(signal.SIGHUP)
        until(lambda: halon.status().live.rules.rules == before.rules + 1, what="the new rule is loaded")
        good = halon.status().live.rules
        halon.write_rules(FREEZE.replace("any", "anny"))
        halon.send(signal.SIGHUP)
        until(lambda: halon.status().live.rules.error, what="the bad rules are refused")
        assert halon.status().live.rules.digest == good.digest
        refused = halon.run_command("reload")
        assert refused.returncode == 1
        assert "anny" in refused.stdout + refused.stderr
        say(broker, "reload", event("e-1", pid=1))
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 2, what="the rules before go on")
        halon.write_rules(FREEZE)
        halon.halon("reload")
        assert (halon.status().live.rules.error, halon.status().live.rules.digest) == ("", before.digest)


def test_sigterm_leaves_containment_in_force_and_the_next_start_knows_it(broker, tmp_path):
    """Exit 0 within 10 s; the process stays stopped while no daemon runs; the next one can let it go."""
    with (
        child() as pid,
        Daemon(tmp_path, port=broker.port, rules=FREEZE, mqtt=client_id("stop")) as halon,
    ):
        say(broker, "stop", event("e-1", pid=pid))
        until(lambda: halon.one("SELECT state FROM leases") == "in-force", what="the lease is taken")
        assert halon.stop(within_s=10) == 0
        assert state(pid) == "T"
        [offline] = halon.ask("leases", "list")
        halon.start()
        [lease] = halon.ask("leases", "list")
        assert lease["id"] == offline["id"]
        assert state(pid) == "T"
        say(broker, "stop", event("e-1", pid=pid))  # the same event again, known over the restart
        say(broker, "stop", event("e-2", pid=pid))
        until(lambda: halon.events_committed() == 2, what="the second event is in")
        assert halon.one("SELECT count(*) FROM incidents") == 1
        halon.halon("leases", "release", lease["id"])
        assert state(pid) != "T"


def test_what_is_no_event_becomes_a_dead_letter_and_the_daemon_goes_on(broker, tmp_path):
    """Malformed, oversized and foreign messages are acknowledged, kept, and listed with topic and reason."""
    bad = {
        "broken": b"{not json",
        "foreign": json.dumps({"hello": "world"}).encode(),
        "binary": b"\xff\xfe\x00\x01",
        "large": event("e-big", note="x" * 5_000),
        "empty": b"",
    }
    with Daemon(
        tmp_path,
        port=broker.port,
        rules=FREEZE,
        mqtt=client_id("letters"),
        intake="payload_bytes_max = 4_000",
    ) as halon:
        publish(broker.port, [(f"halon/letters/{name}", payload) for name, payload in bad.items()])
        say(broker, "letters", event("e-1", "gpu.temperature", celsius=95))
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 1, what="the good event behind them is judged")
        letters = halon.ask("deadletters", "list")
        assert {each["topic"].rpartition("/")[2] for each in letters} == set(bad)
        assert all(each["reason"] for each in letters)
        until(lambda: halon.status().live.in_flight == 0, what="they are acknowledged, too")
        warned = {line["topic"] for line in halon.lines("dead letter")}
        assert len(warned) == len(bad)


def test_a_condition_that_cannot_be_evaluated_is_counted_and_alone(broker, tmp_path):
    """The fault stands in `halon status` with its signal and event; other signals and events are judged."""
    with Daemon(tmp_path, port=broker.port, rules=FREEZE, mqtt=client_id("faults")) as halon:
        wrong = [event(f"e-{i}", "gpu.temperature", celsius="hot") for i in range(3)]
        say(broker, "faults", *wrong, event("e-9", "gpu.temperature", celsius=99))
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 1, what="the good event is judged")
        [fault] = halon.status().stored.faults
        assert (fault.owner, fault.field, fault.count) == ("hot", "where", 3)
        assert "hot" in halon.halon("status")


def test_the_second_daemon_on_one_state_folder_refuses_to_start(broker, tmp_path):
    """It says who holds it and ends with 1; the first one goes on."""
    with Daemon(tmp_path / "1", port=broker.port, rules=FREEZE, mqtt=client_id("first")) as first:
        second = Daemon(tmp_path / "2", port=broker.port, rules=FREEZE, mqtt=client_id("second"), state=first.state)
        try:
            second.launch()
            assert second.wait() == 1
            assert str(first.pid) in second.log.read_text()
        finally:
            second.close()
        assert first.connected()


def test_a_broker_that_is_not_there_is_tried_until_it_is(tmp_path):
    """The daemon starts, says in its status why the door is shut, and takes events once the broker is up."""
    port = free_port()
    halon = Daemon(tmp_path, port=port, rules=FREEZE)
    try:
        halon.start(connected=False)
        until(lambda: halon.status().live.doors[0].detail, what="the door says why")
        assert "not connected" in halon.halon("status")
        assert not halon.status().live.doors[0].connected
        with Mosquitto(tmp_path, port=port) as broker:
            until(halon.connected, within_s=30, what="connected")
            publish(broker.port, [("halon/events/x", event("e-1", "gpu.temperature", celsius=99))])
            until(lambda: halon.one("SELECT count(*) FROM incidents") == 1, what="the event is judged")
    finally:
        halon.close()


def test_every_log_line_is_json_with_time_level_and_logger(broker, tmp_path):
    """Not on a terminal, from the first line to the last."""
    with Daemon(tmp_path, port=broker.port, rules=FREEZE, mqtt=client_id("log")) as halon:
        say(broker, "log", b"nonsense", event("e-1", "gpu.temperature", celsius=99))
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 1, what="the event is judged")
        assert halon.stop() == 0
        for line in halon.lines():
            assert {"time", "level", "logger", "event"} <= line.keys()


def test_a_daemon_that_is_killed_leaves_nothing_that_keeps_the_next_from_starting(broker, tmp_path):
    """kill -9 leaves a socket and a lock file behind; the next start takes both over."""
    with Daemon(tmp_path, port=broker.port, rules=FREEZE, mqtt=client_id("killed")) as halon:
        assert os.path.exists(halon.socket)
        halon.restart()
        assert isinstance(halon.status(), Status)


@pytest.mark.parametrize("action", ["test.stubborn", "test.thread"])
def test_an_action_that_never_ends_does_not_keep_the_daemon(broker, tmp_path, action):
    """At `stop_within` the process ends with 0; the step stays as the store has it, and the next one finishes it."""
    name = action.partition(".")[2]
    rules = FREEZE.replace('{ do = "process.freeze", pid = "${event.data.pid}", hold = "1h" }',
                           f'{{ do = "{action}", path = "${{event.data.path}}", timeout = "5m" }}')  # fmt: skip
    with Daemon(
        tmp_path,
        port=broker.port,
        rules=rules,
        mqtt=client_id(name),
        daemon='stop_within = "3s"',
        environment=install(tmp_path / "site"),
    ) as halon:
        say(broker, name, event("e-1", path=str(tmp_path / "made")))
        until(lambda: (tmp_path / "made").exists(), what="the action runs")
        assert halon.stop(within_s=6) == 0
        assert halon.one("SELECT state FROM intents") == "applying"
        halon.start()
        until(lambda: halon.one("SELECT state FROM intents") == "verified", what="the step is verified")


def test_a_recording_is_fed_to_the_running_daemon_which_acts_only_if_that_is_meant(broker, tmp_path):
    """Refused while it enforces; with --enforce a real process is stopped by a recorded event, which is on record."""
    with (
        child() as pid,
        Daemon(tmp_path, port=broker.port, rules=FREEZE, mqtt=client_id("live")) as halon,
    ):
        recording = tmp_path / "recording.jsonl"
        recording.write_bytes(event("e-1", "gpu.temperature", celsius=95) + b"\n" + event("e-2", pid=pid) + b"\n")
        replay = ["replay", str(recording), "--live", "--speed", "max"]
        refused = halon.run_command(*replay)
        assert (refused.returncode, halon.events_committed(), state(pid)) == (1, 0, "S")
        assert "--enforce" in refused.stderr
        report = halon.ask(*replay, "--enforce")
        assert (report["new"], report["duplicates"]) == (2, 0)
        until(lambda: halon.one("SELECT state FROM intents") == "verified", what="the step is verified")
        assert state(pid) == "T"
        kept = halon.ask(*replay, "--enforce", "--keep"), halon.ask(*replay, "--enforce", "--keep")
        assert [(each["new"], each["duplicates"]) for each in kept] == [(2, 0), (0, 2)]
        kinds = [json.loads(record)["kind"] for (record,) in halon.rows("SELECT record FROM audit ORDER BY seq")]
        steered = [each for each in kinds if each.startswith("steering.")]
        assert steered == ["steering.replay-began", "steering.replay-ended"] * 3
        [lease] = halon.ask("leases", "list")
        halon.halon("leases", "release", lease["id"])


LIFE = """
[signal.bad]
on = "run.bad"
by = { run = "event.subject" }
detect = { method = "count", at_least = 2, within = "1h" }
watched = { at_least = 1 }

[rule.freeze-it]
incident = "data-poisoning"
severity = "critical"
by       = ["run"]
when     = { any = ["bad"] }
playbook = "freeze"

[playbook.freeze]
contain     = [{ do = "process.freeze", pid = "${event.data.pid}" }]
investigate = [{ do = "evidence.capture", paths = ["/etc/hostname"] }]
"""
LATE = """
[incidents]
investigate_within = "1s"
escalation = [{ after = "0s", channel = "pager", level = "failure" }]
[actions.notify]
channels = { pager = "PAGER" }
"""


@contextmanager
def pager() -> Iterator[tuple[int, list[dict]]]:
    """A real web service that takes notices: its port, and what it was sent."""
    taken: list[dict] = []

    class Take(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Take)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_incident_lives_over_a_kill_until_it_is_closed_and_comes_again(broker, tmp_path):
    """Contained, late, told to a pager, acknowledged, killed in mid-life, closed, thawed, watched, and open again."""
    with (
        child() as pid,
        pager() as (port, taken),
        Daemon(
            tmp_path,
            port=broker.port,
            rules=LIFE,
            mqtt=client_id("life"),
            config=LATE,
            environment={"HALON_SECRET_PAGER": f"json://127.0.0.1:{port}/"},
        ) as halon,
    ):
        say(broker, "life", event("e-1", pid=pid), event("e-2", pid=pid))
        until(lambda: halon.one("SELECT state FROM incidents") == "investigating", what="it is being investigated")
        [one] = halon.ask("incidents", "list")
        until(lambda: taken, what="the pager is told")
        assert taken[0]["title"].startswith("[1/1] critical data-poisoning run=run-7: its investigation is not done")
        halon.halon("incidents", "ack", one["id"], "--reason", "on it")
        halon.restart()
        [late] = halon.ask("incidents", "list")
        assert (late["state"], late["due"]["phase"], bool(late["acked_by"])) == ("investigating", "investigate", True)
        halon.halon("incidents", "advance", one["id"])
        halon.halon("incidents", "close", one["id"], "--resolution", "resolved", "--reason", "new weights")
        until(lambda: state(pid) == "S", what="the process is let go on")
        [watched] = halon.ask("watch")
        assert (watched["key"], watched["incident"]) == ({"run": "run-7"}, one["id"])
        lines = halon.halon("events", "--around", one["id"], "--json").splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["e-1", "e-2"]
        assert len(taken) == 1
        say(broker, "life", event("e-3", pid=pid))
        until(lambda: state(pid) == "T", what="the process is stopped again")
        [again] = halon.ask("incidents", "list")
        assert (again["id"], again["reopened"]) == (one["id"], 1)
        story = [line["kind"] for line in halon.ask("incidents", "show", one["id"])["story"]]
        wanted = ["opened", "contained", "deadline-missed", "notice-sent", "acknowledged", "recovering", "closed"]
        places = [story.index(each) for each in [*wanted, "reopened"]]
        assert places == sorted(places)
        assert "holds" in halon.halon("audit", "verify")
