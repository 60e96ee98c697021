"""End to end over a real mosquitto: messages the broker holds to durable in Halon's store, beside the plain client.

    python -m benchmarks.end_to_end [MESSAGES]

A backlog waits in a persistent session, QoS 1; then either the plain aiomqtt client takes and acknowledges it, or the
real daemon does with 1,000 rules, of which 1 % of the events match one. Then events are published at half of the rate
found, and the way of those that match is read from the store: published, durable, action started.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import aiomqtt

from benchmarks.workloads import work_a_events, work_a_rules
from tests.support.daemon import Daemon
from tests.support.mosquitto import Mosquitto, publish

TOPIC = "halon/events/bench"
RULES = 1_000
BATCH = 100
ROUNDS = 3
LATENCY_S = 20
CALM_RATE = 200.0
WAIT_S = 300
DURABLE = "SELECT coalesce(sum(length(digests)) / 16, 0) FROM seen"


def backlog(count: int, *, batch: int = 1) -> list[tuple[str, bytes]]:
    """That many events as messages, `batch` to each; ids differ from call to call, so that none is a duplicate."""
    mark = f"{time.time_ns():x}".encode()
    events = [event.replace(b'"evt-', b'"' + mark + b"-", 1) for event in work_a_events(RULES, count)]
    if batch == 1:
        return [(TOPIC, event) for event in events]
    return [(TOPIC, b"[" + b",".join(events[at : at + batch]) + b"]") for at in range(0, count, batch)]


async def plain(port: int, count: int, *, only_subscribe: bool = False) -> tuple[float, float]:
    """What the plain client takes, acknowledging on arrival: messages a second, a second of processor."""
    client = aiomqtt.Client("127.0.0.1", port, identifier="plain", clean_session=False)
    async with client:
        await client.subscribe(TOPIC, qos=1)
        if only_subscribe:
            return 0.0, 0.0
        taken, began, cpu = 0, 0.0, 0.0
        async for _ in client.messages:
            if not taken:
                began, cpu = time.perf_counter(), time.process_time()
            taken += 1
            if taken == count:
                return (count - 1) / (time.perf_counter() - began), (count - 1) / (time.process_time() - cpu)
    raise AssertionError("the stream of messages ended")


def plain_rate(port: int, messages: list[tuple[str, bytes]]) -> tuple[float, float]:
    asyncio.run(plain(port, 0, only_subscribe=True))
    publish(port, messages)
    # A process of its own, as the daemon is.
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.end_to_end", "plain", str(port), str(len(messages))],
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    )
    wall, cpu = done.stdout.split()
    return float(wall), float(cpu)


def count_of(halon: Daemon) -> int:
    rows = halon.rows(DURABLE)
    return int(rows[0][0]) if rows else 0


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def halon_rate(halon: Daemon, port: int, messages: list[tuple[str, bytes]], events: int) -> tuple[float, float]:
    """Events made durable and acknowledged, from the first commit seen to the last: a second, a second of processor."""
    before = count_of(halon)
    publish(port, messages)
    halon.launch()
    first: tuple[int, float, float] | None = None
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        done, now = count_of(halon) - before, time.perf_counter()
        if first is None and done:
            first = (done, now, cpu_s(halon.pid))
        if done >= events:
            assert first is not None
            spent = cpu_s(halon.pid) - first[2]
            halon.stop()
            assert now > first[1], "all in one look: ask for more messages"
            return (done - first[0]) / (now - first[1]), (done - first[0]) / spent
        time.sleep(0.01)  # the database is what there is to watch
    raise AssertionError(f"{count_of(halon) - before} of {events} events after {WAIT_S} s:\n{halon.tail()}")


def quantiles(values_us: list[int]) -> str:
    if not values_us:
        return "- | - | -"
    values = sorted(values_us)
    return " | ".join(f"{values[min(len(values) - 1, int(len(values) * q))] / 1_000:.1f}" for q in (0.5, 0.99, 0.999))


def latency(halon: Daemon, port: int, rate: float) -> None:
    halon.start()
    events = work_a_events(RULES, int(rate * LATENCY_S), seed=7)

    def paced() -> None:
        """In steps of 10 ms, stamped as they leave."""
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(1_000)
        client.connect("127.0.0.1", port)
        client.loop_start()
        began, sent = time.monotonic(), 0
        while sent < len(events):
            due = min(len(events), int((time.monotonic() - began) * rate))
            for raw in events[sent:due]:
                event = json.loads(raw)
                micros = time.time_ns() // 1_000
                event["time"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(micros // 1_000_000)) + (
                    f".{micros % 1_000_000:06d}Z"
                )
                event["id"] = f"lat-{event['id']}"
                client.publish(TOPIC, json.dumps(event), qos=1)
            sent = due
            time.sleep(0.01)  # paces the load
        client.disconnect()
        client.loop_stop()

    thread = threading.Thread(target=paced)
    thread.start()
    thread.join()
    time.sleep(3)  # what is under way ends
    rows = halon.rows("SELECT event_us, durable_us, applying_us FROM intents WHERE durable_us IS NOT NULL")
    halon.stop()
    print(f"At {rate:,.0f} events/s for {LATENCY_S} s; {len(rows)} intents; milliseconds since published:\n")
    print("| | p50 | p99 | p99.9 |\n|---|---:|---:|---:|")
    print(f"| intent durable | {quantiles([durable - event for event, durable, _ in rows])} |")
    started = [begun - event for event, _, begun in rows if begun is not None]
    print(f"| action started | {quantiles(started)} |\n", flush=True)


def rules_with_steps() -> str:
    """The rules of Work A, each with a step, so that there are intents to watch."""
    text = work_a_rules(RULES).replace('severity = "low"', 'severity = "low"\nplaybook = "p"')
    return text + '[playbook.p]\ncontain = [ { do = "evidence.capture", paths = ["/etc/hostname"] } ]\n'


def main(messages: int) -> None:
    print("### End to end over mosquitto, QoS 1\n")
    quiet = ["autosave_on_changes false", "autosave_interval 3600"]
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder), settings=quiet) as broker:
        rates: dict[str, list[tuple[float, float]]] = {"plain": [], "halon": [], "batches": []}
        with Daemon(Path(folder) / "halon", port=broker.port, rules=work_a_rules(RULES)) as halon:
            halon.stop()
            for _ in range(ROUNDS):
                rates["plain"].append(plain_rate(broker.port, backlog(messages)))
                rates["halon"].append(halon_rate(halon, broker.port, backlog(messages), messages))
                many = 10 * messages
                rates["batches"].append(halon_rate(halon, broker.port, backlog(many, batch=BATCH), many))
        names = {"plain": "plain aiomqtt client, acknowledging, throwing away", "halon": "Halon, durable, 1,000 rules",
                 "batches": f"Halon, CloudEvents batches of {BATCH}"}  # fmt: skip
        print("| | events/s (wall) | rounds | of the plain client | events/s (CPU of the process) |")
        print("|---|---:|---|---:|---:|")
        base = statistics.median(wall for wall, _ in rates["plain"])
        for name, found in rates.items():
            rate = statistics.median(wall for wall, _ in found)
            spread = f"{min(found)[0] / rate:.2f}-{max(found)[0] / rate:.2f}"
            cpu = statistics.median(each for _, each in found)
            print(f"| {names[name]} | {rate:,.0f} | {spread} | {rate / base:.0%} | {cpu:,.0f} |")
        print(flush=True)
        with Daemon(
            Path(folder) / "latency", port=broker.port, rules=rules_with_steps(), mqtt='client_id = "late"'
        ) as it:
            it.stop()
            latency(it, broker.port, statistics.median(wall for wall, _ in rates["halon"]) / 2)
        with Daemon(Path(folder) / "calm", port=broker.port, rules=rules_with_steps(), mqtt='client_id = "calm"') as it:
            it.stop()
            latency(it, broker.port, CALM_RATE)


if __name__ == "__main__":
    if sys.argv[1:2] == ["plain"]:
        print(*asyncio.run(plain(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
