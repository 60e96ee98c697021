"""The installed service under a real systemd, fed by a real mosquitto: from `make install` to `make uninstall`.

One machine and one story, since booting and installing are what takes the time; each part begins with a comment.
"""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.mosquitto import Mosquitto, publish
from tests.support.realparts import free_port, need
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]
WATCHDOG_S = 5
RESTART_S = 60.0
SYSTEM_PYTHON = "/usr/bin/python3"

RULE = """
[signal.stray]
on = "training.stray"
by = { run = "event.subject" }

[rule.stray]
incident = "availability"
severity = "high"
by = ["run"]
when = { all = ["stray"] }
playbook = "freeze"

[playbook.freeze]
contain = [{ do = "process.freeze", pid = "${event.data.pid}", started = "${event.data.started}", hold = "1h" }]
"""
SECOND_RULE = RULE.replace("stray", "lost").split("[playbook")[0]
BAD_RULE = SECOND_RULE.replace('playbook = "freeze"', 'playbook = "freze"')


class Service:
    """halond in the machine."""

    def __init__(self, machine):
        self.machine = machine

    def systemctl(self, *arguments, check=True):
        done = self.machine.run("systemctl", *arguments, "halond.service", check=False)
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr}\n{self.machine.journal('halond')}"
        return done

    def show(self, *properties):
        return self.machine.show("halond.service", *properties)

    def pid(self):
        return int(self.show("MainPID")["MainPID"])

    def halon(self, *arguments):
        """The decoded answer of an installed `halon …`."""
        return json.loads(self.machine.run("/usr/local/bin/halon", *arguments, "--json").stdout)

    def rules(self):
        return self.halon("status")["live"]["rules"]["rules"]

    def leases(self):
        return [(each["id"], each["state"]) for each in self.halon("leases", "list")]

    def again_after(self, *, old_pid, restarts):
        """Whether systemd has restarted it: a new process that said READY."""
        shown = self.show("MainPID", "ActiveState", "SubState", "NRestarts")
        return (
            shown["SubState"] == "running"
            and int(shown["MainPID"]) not in {0, old_pid}
            and int(shown["NRestarts"]) == restarts
        )


def stat_of(machine, pid):
    """State letter and start time of a process of the machine."""
    fields = machine.run("cat", f"/proc/{pid}/stat").stdout.rsplit(")", 1)[1].split()
    return fields[0], int(fields[19])


def configured(shipped, *, broker_port, http_port):
    """The shipped config with another port of the broker, and the HTTP door open to one sender; nothing else."""
    broker, http = '[[mqtt]]\nname = "local"\nhost = "127.0.0.1"\nport = 1883', "[http]\nenabled = false"
    assert broker in shipped
    assert http in shipped
    text = shipped.replace(broker, broker.replace("1883", str(broker_port)))
    assert "senders = []" in text
    text = text.replace("senders = []", 'senders = [{ name = "agents", token_file = "credential:agents" }]')
    return text.replace(http, http.replace("false", "true")).replace("port = 8480", f"port = {http_port}")


def get(port, path):
    """The body of a page of the HTTP port, which must be there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read().decode()


def post(port, event, token):
    """The status with which the HTTP door answers."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents+json"}
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/events/agents", json.dumps(event).encode(), headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return answer.status


def make(target, machine, **variables):
    """`make install` and `make uninstall` as they are documented, below the machine's root."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    environment = {**os.environ, "DESTDIR": str(machine.root), "PYTHON": SYSTEM_PYTHON}
    done = subprocess.run(
        ["make", "--no-print-directory", target, *settings],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def machine():
    """A machine with the service installed, not yet booted."""
    need("systemctl")
    need("mosquitto")
    need("make")
    with Machine() as made:
        make("install", made, DROPINS="process")
        yield made


def test_the_installed_service_lives_through_what_happens_to_it(machine, tmp_path):
    """It contains, reloads, comes back when stuck or killed with its leases intact, stops in time, leaves its state."""
    config = machine.root / "etc/halon/config.toml"
    assert (machine.root / "opt/halon/bin/python").resolve() == Path(SYSTEM_PYTHON).resolve()
    with Mosquitto(tmp_path) as broker:
        shipped = config.read_text()
        http_port = free_port()
        machine.write("/etc/halon/config.toml", configured(shipped, broker_port=broker.port, http_port=http_port))
        machine.write("/etc/halon/rules/stray.toml", RULE)
        machine.write(
            "/etc/systemd/system/halond.service.d/short.conf",
            f"[Service]\nWatchdogSec={WATCHDOG_S}\nRestartSec=100ms\n"
            "LoadCredential=agents:/etc/halon/credentials/agents\n",
        )
        machine.write("/etc/halon/credentials/agents", "s3cret\n")
        machine.boot()
        machine.run("systemd-sysusers")
        service = Service(machine)

        # `systemctl start` returns when the daemon has said READY: rules loaded, leases taken up, broker session up.
        machine.run("systemd-analyze", "verify", "--man=no", "halond.service")
        service.systemctl("start")
        shown = service.show("ActiveState", "StatusText", "User")
        assert (shown["ActiveState"], shown["User"]) == ("active", "halon")
        assert "rules, mode enforce" in shown["StatusText"]
        status = service.halon("status")["live"]
        assert [(door["name"], door["connected"]) for door in status["doors"]] == [
            ("local", True),
            ("http", True),
        ]
        assert (machine.root / "var/lib/halon").stat().st_mode & 0o777 == 0o700

        # A secret comes by LoadCredential, and the config holds against this machine.
        hello = {"specversion": "1.0", "id": "hello", "source": "agents", "type": "agent.hello"}
        assert post(http_port, hello, "s3cret") == 202
        machine.run("/usr/local/bin/halon", "check", "--live")

        # A real process of another user is stopped, by an event on a real broker, under a lease.
        machine.run("systemd-run", "--quiet", "--unit=victim", "--uid=nobody", "sleep", "3600")
        victim = int(machine.show("victim.service", "MainPID")["MainPID"])
        until(lambda: stat_of(machine, victim)[0] == "S", what="the victim sleeps")
        event = {
            "specversion": "1.0",
            "id": "stray-1",
            "source": "test",
            "type": "training.stray",
            "subject": "run-1",
            "data": {"pid": victim, "started": stat_of(machine, victim)[1]},
        }
        publish(broker.port, [("halon/events/test", json.dumps(event).encode())])
        until(lambda: stat_of(machine, victim)[0] == "T", what="the victim is stopped")
        [(lease, _)] = until(lambda: [each for each in service.leases() if each[1] == "in-force"], what="a lease")

        # What reads the flight recorder may start as a process in the sandbox, and stand back in it.
        assert service.halon("events", "--type", "training.stray")["id"] == "stray-1"
        [incident] = service.halon("incidents", "list")
        until(lambda: service.halon("incidents", "show", incident["id"])["pinned"], what="its event is kept with it")

        # Monitoring sees it: the machine shares the host's network.
        assert get(http_port, "/readyz") == "ok\n"
        assert get(http_port, "/healthz") == "ok\n"
        figures = get(http_port, "/metrics")
        for line in (
            'halon_leases_held{kind="training"} 1.0',
            "halon_incidents_open 1.0",
            'halon_outcomes_total{action="process.freeze",outcome="verified"} 1.0',
            'halon_door_connected{door="local"} 1.0',
        ):
            assert line in figures

        # Good rules are taken by `systemctl reload`; bad ones fail it, and the old ones go on.
        before = service.rules()
        machine.write("/etc/halon/rules/lost.toml", SECOND_RULE)
        service.systemctl("reload")
        assert service.rules() == before + 1
        machine.write("/etc/halon/rules/lost.toml", BAD_RULE)
        assert service.systemctl("reload", check=False).returncode != 0
        assert "freze" in machine.journal("halond")
        assert service.rules() == before + 1
        assert service.show("ActiveState")["ActiveState"] == "active"
        machine.write("/etc/halon/rules/lost.toml", SECOND_RULE)
        service.systemctl("reload")

        # So is the config, with its doors: the mode changes under the same process.
        good = (machine.root / "etc/halon/config.toml").read_text()
        machine.write("/etc/halon/config.toml", good.replace('mode = "enforce"', 'mode = "observe"'))
        was = service.pid()
        service.systemctl("reload")
        assert (service.halon("status")["live"]["mode"], service.pid()) == ("observe", was)
        machine.write("/etc/halon/config.toml", good + "[daemn]\n")
        assert service.systemctl("reload", check=False).returncode != 0
        assert service.halon("status")["live"]["mode"] == "observe"
        machine.write("/etc/halon/config.toml", good)
        service.systemctl("reload")
        assert service.halon("status")["live"]["mode"] == "enforce"

        # A stuck pipeline no longer feeds the watchdog, which restarts it.
        stuck = service.pid()
        machine.run("kill", "-STOP", str(stuck))
        until(
            lambda: service.again_after(old_pid=stuck, restarts=1), within_s=RESTART_S, what="the watchdog restarts it"
        )
        assert "Watchdog timeout" in machine.journal("halond", lines=200)
        assert service.leases() == [(lease, "in-force")]

        # After kill -9 it is back, and what was contained is so still.
        killed = service.pid()
        machine.run("kill", "-KILL", str(killed))
        until(lambda: service.again_after(old_pid=killed, restarts=2), within_s=RESTART_S, what="systemd restarts it")
        assert service.leases() == [(lease, "in-force")]
        assert stat_of(machine, victim)[0] == "T"

        # It stops in order within its time, and lets go of nothing.
        began = time.monotonic()
        service.systemctl("stop")
        assert time.monotonic() - began < 20
        assert service.show("Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}
        assert stat_of(machine, victim)[0] == "T"

        # Letting go is an operator's word; it is on record who said it.
        service.systemctl("start")
        machine.run("/usr/local/bin/halon", "leases", "release", lease)
        until(lambda: stat_of(machine, victim)[0] == "S", what="the victim runs again")
        assert service.halon("audit", "verify")["ok"]
        service.systemctl("stop")
        machine.power_off()

    # What is gone is what was installed, not what is the operator's.
    make("uninstall", machine)
    assert not (machine.root / "opt/halon").exists()
    assert not (machine.root / "usr/local/lib/systemd/system/halond.service").exists()
    assert not (machine.root / "etc/systemd/system/halond.service.d/process.conf").exists()
    assert (machine.root / "etc/systemd/system/halond.service.d/short.conf").exists()
    assert (machine.root / "var/lib/halon/halon.db").exists()
    assert "lost" in (machine.root / "etc/halon/rules/lost.toml").read_text()
