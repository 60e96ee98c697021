"""engine.reload: config and rules taken over by a daemon that runs; a real process on real mosquittos."""

import http.client
import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.realparts import free_port
from tests.support.wait import until

RULES = """
[signal.bad]
on = "run.bad"
by = { run = "event.subject" }

[rule.freeze-it]
incident = "data-poisoning"
severity = "critical"
by       = ["run"]
when     = { any = ["bad"] }
playbook = "freeze"

[playbook.freeze]
contain = [{ do = "process.freeze", pid = "${event.data.pid}", hold = "1h" }]
"""


def event(number, kind="run.bad", subject="run-7", **data):
    return json.dumps(
        {"specversion": "1.0", "id": number, "source": "test", "type": kind, "subject": subject, "data": data}
    ).encode()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@contextmanager
def child():
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def edit(halon, old, new):
    text = halon.config.read_text()
    assert old in text, text
    halon.config.write_text(text.replace(old, new))


def post(port, name, token, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents+json"}
    connection.request("POST", f"/events/{name}", body, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def audited(halon, kind):
    records = [json.loads(record) for (record,) in halon.rows("SELECT record FROM audit ORDER BY seq")]
    return [each["body"] for each in records if each["kind"] == kind]


def test_config_is_taken_over_while_the_daemon_runs(broker, tmp_path):
    """Mode, doors, limits and log level change in one reload; what was no event before is one after it."""
    port = free_port()
    (tmp_path / "token").write_text("secret")
    config = '[guards]\nmode = "observe"\n'
    (tmp_path / "far").mkdir()
    topics = 'client_id = "halon-reload"\ntopics = [{ filter = "reload/#" }]'
    with (
        child() as pid,
        Mosquitto(tmp_path / "far") as far,
        Daemon(tmp_path, port=broker.port, rules=RULES, mqtt=topics, config=config) as halon,
    ):
        publish(broker.port, [("reload/plain", json.dumps({"run": "run-1", "pid": pid}).encode())])
        publish(broker.port, [("reload/x", event("e-1", subject="run-0", pid=pid))])
        until(lambda: halon.one("SELECT state FROM intents") == "observed", what="the step is only observed")
        [letter] = halon.ask("deadletters", "list")
        assert state(pid) == "S"

        edit(halon, 'mode = "observe"', 'mode = "enforce"\nbudget = { training = { held_max = 5 } }')
        edit(halon, 'log_format = "json"', 'log_format = "json"\nlog_levels = { "halon.pipeline" = "error" }')
        mapped = (
            """{ filter = "reload/plain", format = "json", map = { type = "'run.bad'", subject = "payload.run" } }"""
        )
        edit(halon, "topics = [", f"topics = [{mapped}, ")
        halon.config.write_text(
            halon.config.read_text()
            + f'\n[[mqtt]]\nname = "far"\nport = {far.port}\nclient_id = "halon-reload"\n'
            + f"[http]\nenabled = true\nport = {port}\n"
            + f'senders = [{{ name = "agents", token_file = "{tmp_path / "token"}" }}]\n'
        )
        said = halon.halon("reload")
        assert "changed: daemon.log_levels, mqtt, http.enabled, http.port, http.senders, guards.mode" in " ".join(
            said.split()
        )
        until(halon.connected, what="the new doors are open")
        live = halon.status().live
        assert (live.mode.value, {door.name for door in live.doors}) == ("enforce", {"local", "far", "http"})
        assert [each.held_max for each in halon.status().stored.budgets] == [5]
        assert audited(halon, "rules.loaded")[-1]["doors"] == ["far", "http", "local"]

        assert "1 new event" in halon.halon("deadletters", "retry", str(letter["number"]))
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 2, what="the dead letter has made an incident")
        assert halon.ask("deadletters", "list") == []
        publish(far.port, [("halon/events/x", event("e-2", subject="run-2", pid=pid))])
        until(lambda: halon.one("SELECT count(*) FROM incidents") == 3, what="an event by the new broker")
        until(lambda: state(pid) == "T", what="it acts now")
        assert post(port, "agents", "secret", event("e-3", subject="run-3", pid=pid)) == 202
        letters = len(halon.lines("dead letter"))
        publish(broker.port, [("reload/x", b"{")])
        until(lambda: halon.ask("deadletters", "list"), what="a new dead letter")
        assert len(halon.lines("dead letter")) == letters, "this part logs errors only by now"
        for lease in halon.ask("leases", "list"):
            halon.halon("leases", "release", lease["id"])

        edit(halon, "enabled = true", "enabled = false")
        edit(halon, 'name = "far"', 'name = "farther"')
        halon.halon("reload")
        until(lambda: {door.name for door in halon.status().live.doors} == {"local", "farther"}, what="doors are gone")
        with pytest.raises(ConnectionRefusedError):
            post(port, "agents", "secret", event("e-4"))
        until(lambda: b'door="far"' not in metrics(halon), what="a door that is gone is not counted as shut")


def metrics(halon):
    return halon.client._request("GET", "/metrics")[1]


def test_a_bad_config_changes_nothing_and_says_where_it_is_wrong(broker, tmp_path):
    """A mistake in the file, a secret that is missing, an address that is taken: the old config goes on each time."""
    topics = 'client_id = "halon-bad"\ntopics = [{ filter = "bad/#" }]'
    with Daemon(tmp_path, port=broker.port, rules=RULES, mqtt=topics, config='[guards]\nmode = "observe"\n') as halon:
        before = halon.config.read_text()
        taken = f"[http]\nenabled = true\nport = {broker.port}\n"
        missing = '[http]\nenabled = true\nsenders = [{ name = "a", token_file = "none" }]\n'
        typo = '[contain]\nstep_timeot = "5s"\n'
        for wrong, says in ((taken, "can't be listened on"), (missing, "none"), (typo, "did you mean `step_timeout`?")):
            halon.config.write_text(before.replace('mode = "observe"', 'mode = "enforce"') + wrong)
            refused = halon.run_command("reload")
            assert refused.returncode == 1
            assert says in refused.stdout + refused.stderr
            live = halon.status().live
            assert live.mode.value == "observe"
            assert live.rules.error.startswith("refused")
            assert halon.connected()
        assert len(audited(halon, "rules.refused")) == 3
        halon.config.write_text(before)
        halon.halon("reload")
        assert halon.status().live.rules.error == ""


def test_what_takes_a_restart_is_named_and_left_as_it_runs(broker, tmp_path):
    """The rest of that config is taken; `halon status` goes on saying what waits."""
    topics = 'client_id = "halon-restart"\ntopics = [{ filter = "restart/#" }]'
    with Daemon(tmp_path, port=broker.port, rules=RULES, mqtt=topics) as halon:
        edit(halon, f"state_dir = {json.dumps(str(halon.state))}", 'state_dir = "elsewhere"')
        halon.config.write_text(halon.config.read_text() + '[incidents]\ncontain_within = "1m"\n')
        said = " ".join(halon.halon("reload").split())
        assert "changed: incidents.contain_within" in said
        assert "not changed, since it takes a restart: daemon.state_dir" in said
        assert halon.status().live.restart_needed == ("daemon.state_dir",)
        assert "daemon.state_dir" in halon.halon("status")
        assert not os.path.exists(tmp_path / "elsewhere")
        publish(broker.port, [("restart/x", event("e-1", pid=1))])
        first = "FROM timers WHERE name LIKE 'deadline:contain%'"
        until(lambda: halon.one(f"SELECT 1 {first}"), what="the deadlines are set")
        [(due_us, opened_us)] = halon.rows(f"SELECT min(due_us), (SELECT matched_us FROM intents LIMIT 1) {first}")
        assert due_us - opened_us == 60_000_000, "the deadline is the new one"
