"""The daemon, a broker and a target, for faults of the store: what is fed, what has to come of it, what is said."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish
from tests.support.target import Target
from tests.support.wait import until

RULES = """
[signal.bad]
on = "run.bad"
by = {{ run = "event.subject" }}

[rule.stop-it]
incident = "data-poisoning"
severity = "critical"
by       = ["run"]
when     = {{ any = ["bad"] }}
playbook = "stop"

[playbook.stop]
contain = [
  {{ do = "http.request", url = "{0}/${{event.subject}}", verify_url = "{0}/${{event.subject}}", method = "PUT" }},
]
"""


def say(broker: Mosquitto, *runs: str) -> None:
    events = [
        {"specversion": "1.0", "id": run, "source": "s", "type": "run.bad", "subject": run, "data": {}} for run in runs
    ]
    publish(broker.port, [("halon/events/x", json.dumps(each).encode()) for each in events])


@contextmanager
def stage(
    tmp_path: Path, *, state: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[Daemon, Target, Mosquitto]]:
    with (
        Mosquitto(tmp_path) as broker,
        Target() as target,
        Daemon(
            tmp_path,
            port=broker.port,
            rules=RULES.format(target.url),
            config=target.origin,
            state=state,
            environment=environment,
        ) as halon,
    ):
        yield halon, target, broker


def verified(halon: Daemon, count: int) -> bool:
    return [state for _, state in halon.intents()] == ["verified"] * count


def waits(halon: Daemon, reason: str) -> None:
    """Intake waits, and says why. That nothing was acknowledged shows where the daemon is then started anew."""
    until(lambda: reason in halon.status().live.commit_failing, within_s=30, what=f"status says: {reason}")
    assert reason in halon.halon("status")


def goes_on(halon: Daemon, target: Target, *runs: str) -> None:
    """All is made up for: each event an incident, each effect once, intake open."""
    until(lambda: verified(halon, len(runs)), within_s=60, what=f"all steps are verified\n{halon.tail()}")
    assert dict(target.effects) == dict.fromkeys(runs, 1)
    until(lambda: not halon.status().live.commit_failing and not halon.status().live.in_flight, what="intake is open")
    assert halon.run_command("audit", "verify").returncode == 0
