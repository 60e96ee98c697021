"""End to end over a real mosquitto: messages the broker holds to durable in Halon's store, beside plain clients.

    python -m benchmarks.end_to_end [MESSAGES]

A backlog waits in a persistent session, QoS 1; then a plain client takes and acknowledges it, or the real daemon does,
with 1,000 rules of which 1 % of the events match one, or ansible-rulebook, where there is one. All take turns. With
`FIRST=1` as in `benchmarks.latency`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.latency import put_first
from benchmarks.load import CLIENTS, RULES, backlog, publish_all, topic_of
from benchmarks.rulebook import Rulebook
from benchmarks.workloads import work_a_rules
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto

BATCH = 100
ROUNDS = 3
WAIT_S = 300
QUIET = ["autosave_on_changes false", "autosave_interval 3600", "max_queued_messages 0"]
"""mosquitto would else write the whole backlog to disk again and again, beside what is measured."""


@dataclass
class Row:
    """One line of the table; `base` names the plain client that it is held against."""

    name: str
    measure: Callable[[int], tuple[float, float]]
    base: str = ""
    share: float = 1.0
    found: list[tuple[float, float]] = field(default_factory=list)
    missing: str = ""

    @property
    def wall(self) -> float:
        return statistics.median(wall for wall, _ in self.found) if self.found else 0.0

    @property
    def cpu(self) -> float:
        return statistics.median(cpu for _, cpu in self.found) if self.found else 0.0


def plain_rate(kind: str, port: int, count: int) -> tuple[float, float]:
    """A plain client in a process of its own, as the daemon is."""

    def run(messages: int) -> str:
        command = [sys.executable, "-m", "benchmarks.load", "plain", kind, str(port), str(messages)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        put_first(process.pid)
        said, wrong = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, wrong[-500:]
        return said

    run(0)
    publish_all(port, backlog(count), topic_of(kind))
    wall, cpu = run(count).split()
    return float(wall), float(cpu)


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def halon_rate(halon: Daemon, port: int, events: int, *, batch: int = 1) -> tuple[float, float]:
    """Events made durable and acknowledged, from the first commit seen to the last: a second, a second of processor."""
    before = halon.events_committed()
    publish_all(port, backlog(events, batch=batch), topic_of(halon.folder.name))
    put_first(halon.launch().pid)
    first: tuple[int, float, float] | None = None
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        done, now = halon.events_committed() - before, time.perf_counter()
        if first is None and done:
            first = (done, now, cpu_s(halon.pid))
        if done >= events:
            assert first is not None
            spent = cpu_s(halon.pid) - first[2]
            halon.stop()
            assert now > first[1], "all in one look: ask for more messages"
            return (done - first[0]) / (now - first[1]), (done - first[0]) / spent
        time.sleep(0.02)  # the database is what there is to watch
    raise AssertionError(f"{halon.events_committed() - before} of {events} events after {WAIT_S} s:\n{halon.tail()}")


def daemons(folder: Path, port: int) -> dict[str, Daemon]:
    """A daemon for each client, which has made its session and is stopped."""
    speaks = {
        "aiomqtt": 'client_id = "halon-3"\n',
        "mqtt5": 'client = "mqtt5"\nprotocol = "5"\nclient_id = "halon-5"\n',
    }
    made = {}
    for name, keys in speaks.items():
        place = folder / f"halon-{name}"
        keys += f'topics = [{{ filter = "{topic_of(place.name)}" }}]\n'
        made[name] = Daemon(place, port=port, rules=work_a_rules(RULES), mqtt=keys)
        made[name].start()
        made[name].stop()
    return made


def rows(folder: Path, port: int) -> list[Row]:
    """All that take turns. Who takes a hundredth of the rate of others gets fewer messages."""
    found = [
        Row(f"plain {kind}, acknowledging, throwing away", lambda count, kind=kind: plain_rate(kind, port, count))
        for kind in CLIENTS
    ]
    by_hand, fast = found[1].name, found[2].name
    halon = daemons(folder, port)
    found += [
        Row("Halon over aiomqtt", lambda count: halon_rate(halon["aiomqtt"], port, count), by_hand),
        Row("Halon over mqtt5", lambda count: halon_rate(halon["mqtt5"], port, count), fast),
        Row(f"Halon over mqtt5, batches of {BATCH}", lambda count: halon_rate(halon["mqtt5"], port, count, batch=BATCH),
            share=4.0),
    ]  # fmt: skip
    rulebook = Rulebook(folder / "rulebook", port)
    found.append(Row("ansible-rulebook, not durable", rulebook.rate, share=0.02, missing=rulebook.missing))
    return found


def main(messages: int) -> None:
    print(f"### End to end over mosquitto, QoS 1; {messages:,} messages a round\n")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder), settings=QUIET) as broker:
        put_first(broker.pid)
        table = rows(Path(folder), broker.port)
        for row in table * ROUNDS:
            try:
                if not row.missing:
                    row.found.append(row.measure(int(messages * row.share)))
            except AssertionError as error:
                print(f"{row.name}: a round failed: {error}", file=sys.stderr)
    bases = {row.name: row for row in table}
    print(f"Load before and after: {load:.1f}, {os.getloadavg()[0]:.1f}\n")
    print("| | events/s (wall) | rounds | events/s (CPU of the process) | of the plain client: wall, CPU |")
    print("|---|---:|---|---:|---:|")
    for row in table:
        if not row.found:
            print(f"| {row.name} | {row.missing or 'nothing measured'} | | | |")
            continue
        spread = f"{min(row.found)[0] / row.wall:.2f}-{max(row.found)[0] / row.wall:.2f}"
        base = bases.get(row.base)
        of = f"{row.wall / base.wall:.0%}, {row.cpu / base.cpu:.0%}" if base else ""
        print(f"| {row.name} | {row.wall:,.0f} | {spread} | {row.cpu:,.0f} | {of} |")
    print(flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000)
