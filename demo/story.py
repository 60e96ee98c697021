"""The acts of the demonstration, in order: a folder and a screen to checks that hold, or DemoFailed with what does not.

    stage ─► train ─► poison ─► (Halon sees it and contains) ─► verify at the targets ─► release ─► end

Called by `demo.__main__`.
"""

import subprocess
from functools import partial
from pathlib import Path

import msgspec

from demo import checks, site
from demo.checks import Check
from demo.children import Children, DemoFailed, cpu_ticks, python_module, thread_states
from demo.screen import Screen
from demo.train import RunConfig
from engine.model import IncidentState, IntentState, LeaseState
from engine.operate.client import Client, ClientError
from engine.operate.shown import IncidentDetail, IncidentRow, LeaseRow, Status

CLEAN_STEPS = 220
"""Steps of clean training before the data is poisoned; the detectors have learnt what is usual by then."""
START_WITHIN_S = 20.0
TRAIN_WITHIN_S = 25.0
DETECT_WITHIN_S = 15.0
NEEDED = frozenset({"process.freeze", "file.rotate-token", "evidence.capture"})
CONTAIN_WITHIN_S = 15.0
RELEASE_WITHIN_S = 10.0
COMMAND_WITHIN_S = 15.0


class Story:
    """One showing."""

    def __init__(self, stage: site.Site, children: Children, screen: Screen, *, rules: Path, halon: Path) -> None:
        self._stage, self._children, self._screen = stage, children, screen
        self._rules, self._halon = rules, halon
        self._client = Client(stage.state / "control.sock")
        self._failed: list[str] = []

    def play(self) -> None:
        """All acts. Raises DemoFailed."""
        mqtt_port = site.free_port()
        self._start_daemon(mqtt_port)
        config = self._start_training(mqtt_port)
        old_token = self._stage.token_file.read_text().strip()
        self._poison()
        detail = self._await_containment()
        self._verify(config, detail, old_token)
        self._release(detail)
        self._stop_daemon()
        if self._failed:
            raise DemoFailed("not verified:\n" + "\n".join(f"  {each}" for each in self._failed))

    # --- The acts --------------------------------------------------------------------------------------------------

    def _start_daemon(self, mqtt_port: int) -> None:
        self._screen.title("Halon, a data server, and a training run")
        site.write_halon_config(self._stage, rules=self._rules, mqtt_port=mqtt_port)
        self._children.start("halon", [str(self._halon), "run", "--config", str(self._stage.halon_config)])
        status = self._children.wait_for("the daemon is ready", self._ready, within_s=START_WITHIN_S)
        assert status.live is not None  # _ready looked
        rules = status.live.rules
        self._screen.say(
            f"halon runs (pid {status.live.pid}, mode {status.live.mode.value}): {rules.rules} rules, {rules.signals} "
            f"signals; its embedded MQTT broker listens on 127.0.0.1:{mqtt_port}"
        )

    def _start_training(self, mqtt_port: int) -> RunConfig:
        port_file = self._stage.folder / "data-server.port"
        command = python_module("demo.dataserver", "--root", str(self._stage.store), "--port-file", str(port_file))
        self._children.start("data-server", command)
        data_port = int(
            self._children.wait_for("the data server is ready", lambda: _text(port_file), within_s=START_WITHIN_S)
        )
        config = site.write_run_config(self._stage, data_port=data_port, mqtt_port=mqtt_port)
        child = self._children.start("training", python_module("demo.train", "--config", str(self._stage.run_config)))
        self._training_pid = child.pid
        self._screen.say(f"training starts (pid {child.pid}): 8x8 digits from {config.data_url}, by bearer token")
        for milestone in (1, CLEAN_STEPS // 4, CLEAN_STEPS // 2, CLEAN_STEPS):
            line = self._children.wait_for(
                f"step {milestone} of training", partial(self._step, milestone), within_s=TRAIN_WITHIN_S
            )
            self._screen.say(f"  {line}")
        if self._incidents():
            raise DemoFailed("an incident was opened while the data was clean")
        events = self._children.wait_for("events reach the daemon", self._events, within_s=START_WITHIN_S)
        self._screen.say(f"halon has seen {events} events and opened no incident", style="green")
        return config

    def _poison(self) -> None:
        self._screen.title("The data is poisoned")
        changed = site.poison(self._stage)
        self._screen.say(
            f"{changed} labels in the data store now name another digit ({site.POISONED_SHARE:.0%}); no event says so",
            style="yellow",
        )

    def _await_containment(self) -> IncidentDetail:
        row = self._children.wait_for("an incident `data-poisoning`", self._incident, within_s=DETECT_WITHIN_S)
        self._screen.say(f"incident {row.id}: {row.incident}, {row.severity.value}, {_key(row.key)}", style="bold red")
        detail = self._children.wait_for(
            "all steps of the playbook are settled", lambda: self._settled(row), within_s=CONTAIN_WITHIN_S
        )
        for evidence in detail.evidence[:4]:
            self._screen.say(f"  {evidence.signal}: {evidence.detail}")
        self._screen.title("From event to verified containment")
        self._screen.latencies(detail.steps)
        return detail

    def _verify(self, config: RunConfig, detail: IncidentDetail, old_token: str) -> None:
        self._screen.title("The end state, read from the targets")
        ticks = cpu_ticks(self._training_pid) if thread_states(self._training_pid) else 0
        self._check(
            *checks.token_ended(config.data_url, old_token, self._stage.token_file),
            *checks.evidence_kept(self._stage.state / "evidence", [Path(config.checkpoint), self._stage.run_config]),
            checks.process_stopped(self._training_pid, ticks),
        )
        taken = [step for step in detail.steps if step.state is not IntentState.SKIPPED]
        for step in taken:
            self._check(Check(f"halon says of {step.action}: {step.state.value}", step.state is IntentState.VERIFIED))
        self._check(Check("no step that this run needs was left out", {step.action for step in taken} >= NEEDED))
        contained = detail.incident.state is not IncidentState.OPEN
        self._check(Check(f"the incident is {detail.incident.state.value}", contained))
        leases = self._leases()
        held = [each for each in leases if each.state is LeaseState.IN_FORCE and detail.incident.id in each.holders]
        for lease in held:
            until = lease.expires.strftime("%Y-%m-%d %H:%M")
            self._screen.say(f"lease {lease.id}: {lease.action} on {lease.target}, until {until} UTC")
        listed = any(lease.action == "process.freeze" and str(self._training_pid) in lease.target for lease in held)
        self._check(Check("`halon leases` lists the frozen process", listed))

    def _release(self, detail: IncidentDetail) -> None:
        self._screen.title("An operator lets go")
        lease = next((each.id for each in self._leases() if detail.incident.id in each.holders), None)
        if lease is None:
            raise DemoFailed("there is no lease to release")
        before = self._last_step()
        self._screen.say(f"$ halon leases release {lease}")
        self._screen.block(self._command("leases", "release", lease).strip())
        self._children.wait_for("the process runs again", self._thawed, within_s=RELEASE_WITHIN_S)
        line = self._children.wait_for("training goes on", lambda: self._step(before + 5), within_s=RELEASE_WITHIN_S)
        self._screen.say(f"  {line}")
        self._check(checks.process_runs(self._training_pid, steps_before=before, steps_now=self._last_step()))
        still = [each for each in self._leases() if each.state is LeaseState.IN_FORCE]
        self._check(Check("no lease is in force any more", not still))

    def _stop_daemon(self) -> None:
        status = self._children.end("halon")
        self._check(Check(f"halon ended in order, with status {status}", status == 0))

    # --- Looking ---------------------------------------------------------------------------------------------------

    def _check(self, *found: Check) -> None:
        for each in found:
            self._screen.verdict(each.what, holds=each.holds)
            if not each.holds:
                self._failed.append(each.what)

    def _ready(self) -> Status | None:
        """The daemon's status once it answers and its door to the broker is open."""
        try:
            status = self._client.get("/v1/status", Status)
        except ClientError:
            return None
        doors = status.live.doors if status.live else ()
        return status if doors and all(door.connected for door in doors) else None

    def _events(self) -> int | None:
        status = self._ready()
        return (status.live.events or None) if status and status.live else None

    def _incidents(self) -> tuple[IncidentRow, ...]:
        return self._client.get("/v1/incidents", tuple[IncidentRow, ...], state="all")

    def _incident(self) -> IncidentRow | None:
        return next((row for row in self._incidents() if row.incident == "data-poisoning"), None)

    def _settled(self, row: IncidentRow) -> IncidentDetail | None:
        """The incident once every step of its playbook has an outcome."""
        detail = self._client.get(f"/v1/incidents/{row.id}", IncidentDetail)
        return detail if detail.steps and all(step.state.settled for step in detail.steps) else None

    def _leases(self) -> list[LeaseRow]:
        return msgspec.json.decode(self._command("leases", "list", "--json"), type=list[LeaseRow])

    def _command(self, *arguments: str) -> str:
        """What a `halon` command prints; DemoFailed where it fails."""
        command = [str(self._halon), *arguments, "--config", str(self._stage.halon_config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_WITHIN_S, check=False)
        if done.returncode != 0:
            raise DemoFailed(f"halon {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _thawed(self) -> bool | None:
        states = thread_states(self._training_pid)
        return True if states and "T" not in states.values() else None

    def _step(self, wanted: int) -> str | None:
        """The last line of the training's own log, once it has come to step `wanted`."""
        return self._children.log_tail("training", lines_max=1) if self._last_step() >= wanted else None

    def _last_step(self) -> int:
        words = self._children.log_tail("training", lines_max=1).split()
        return int(words[1]) if len(words) > 1 and words[0] == "step" and words[1].isdigit() else -1


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _key(key: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in key.items())
