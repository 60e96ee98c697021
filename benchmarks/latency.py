"""Published to durable to acted on, at a steady rate: the real daemon over a real mosquitto, from what it wrote down.

    python -m benchmarks.latency [RATE ...]       events a second; 200, 2,000 and 10,000 where none is named

Every matching event of a model that has no incident yet gives an intent with one step, which makes a file. Event time
is stamped as the event leaves the publisher; `received`, `judged` and `durable` are the daemon's own records of each
intent, and the action's moment is what it wrote into the file. With `FIRST=1` in the environment broker, daemon and
publisher go before all else on the processors (SCHED_RR, as root): the nearest to a quiet machine that a busy one has;
the disk stays shared.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.load import RULES, TOPIC
from benchmarks.workloads import work_a_rules
from tests.support.actionplugin import install
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto

SECONDS = 20
WARM_S = 2.0
"""Caches, the first pages of the store: what happens in the first seconds after a start is not counted."""
QUANTILES = (0.5, 0.99, 0.999)
CLIENTS = {"aiomqtt": 'client_id = "late-3"\n', "mqtt5": 'client = "mqtt5"\nprotocol = "5"\nclient_id = "late-5"\n'}
STAGES = ("received by the door", "judged", "intent durable", "action done")


def rules_with_steps(targets: Path) -> str:
    """The rules of Work A, each with a step on a target of its own, so that there are intents to watch."""
    text = work_a_rules(RULES).replace('severity = "low"', 'severity = "low"\nplaybook = "p"')
    return text + f'[playbook.p]\ncontain = [ {{ do = "test.quick", path = "{targets}/${{event.data.model}}" }} ]\n'


def quantiles(values_us: list[int]) -> str:
    """Milliseconds at p50, p99, p99.9 and the most, as cells of a table."""
    values = sorted(values_us)
    if not values:
        return "- | - | - | -"
    cells = [values[min(len(values) - 1, int(len(values) * each))] for each in QUANTILES] + [values[-1]]
    return " | ".join(f"{each / 1_000:.1f}" for each in cells)


def put_first(pid: int) -> None:
    """All threads of a process before whatever else runs, where FIRST asks for it."""
    if os.environ.get("FIRST"):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(10))


def done_us(file: Path) -> int | None:
    """When the action took effect, by its own word."""
    return int(file.read_text()) // 1_000 if file.exists() else None


def measure(client: str, rate: float, *, seconds: float = SECONDS) -> None:
    """One table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (targets := folder / "targets").mkdir()
        quiet = ["autosave_on_changes false", "autosave_interval 3600"]
        with (
            Mosquitto(folder, settings=quiet) as broker,
            Daemon(
                folder / "halon",
                port=broker.port,
                rules=rules_with_steps(targets),
                mqtt=CLIENTS[client],
                environment=install(folder / "site"),
            ) as halon,
        ):
            put_first(broker.pid)
            put_first(halon.pid)
            began_us = time.time_ns() // 1_000
            made = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.load", "paced", str(broker.port), str(rate), str(seconds)],
                stdout=subprocess.PIPE,
                text=True,
            )
            put_first(made.pid)
            real, _ = made.communicate(timeout=seconds + 120)
            published = int(float(real) * seconds)
            until = time.monotonic() + 60
            while halon.events_committed() < published * 0.999 and time.monotonic() < until:
                time.sleep(0.1)  # the database is what there is to watch
            time.sleep(1)  # what is under way ends
            found = halon.rows(
                "SELECT event_us, received_us, matched_us, durable_us, json_extract(body, '$.params.path') "
                "FROM intents WHERE event_us > ?",
                began_us + int(WARM_S * 1e6),
            )
            rows = [(*times, done_us(Path(path))) for *times, path in found]
    load = os.getloadavg()[0]
    late = sum(row[-1] is None for row in rows)
    print(f"{client}, {float(real):,.0f} events/s; {len(rows)} intents, {late} not done; load {load:.1f}", end="\n\n")
    print("| milliseconds since published | p50 | p99 | p99.9 | most |\n|---|---:|---:|---:|---:|")
    for place, stage in enumerate(STAGES, 1):
        print(f"| {stage} | {quantiles([row[place] - row[0] for row in rows if row[place] is not None])} |")
    print(flush=True)


def main(rates: list[float]) -> None:
    print(f"### Published to acted on, topic `{TOPIC}`, 1,000 rules, 1 % match\n")
    for rate in rates:
        for client in CLIENTS:
            measure(client, rate)


if __name__ == "__main__":
    main([float(each) for each in sys.argv[1:]] or [200.0, 2_000.0, 10_000.0])
