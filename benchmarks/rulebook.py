"""ansible-rulebook as a peer of the end-to-end benchmark: 1,000 rules, a source over aiomqtt, Drools in Java.

It has no source for MQTT of its own, so it gets the smallest there can be, which acknowledges on arrival and keeps
nothing: less is asked of it than of Halon. Where it or Java is missing, its line says so.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.latency import put_first
from benchmarks.load import RULES, backlog, publish_all, topic_of
from benchmarks.workloads import THRESHOLD, model_of

PROGRAM = Path(".venv-bench/bin/ansible-rulebook")
WAIT_S = 300
_TOPIC = topic_of("rulebook")
_SOURCE = f"""
import json, time
from pathlib import Path
import aiomqtt

async def main(queue, args):
    client = aiomqtt.Client("127.0.0.1", int(args["port"]), identifier="rulebook", clean_session=True)
    async with client:
        await client.subscribe("{_TOPIC}", qos=1)
        async for message in client.messages:
            begun = Path(args["begun"])
            if not begun.exists():
                begun.write_text(str(time.time()))
            await queue.put(json.loads(message.payload))
"""


class Rulebook:
    """`missing` says why it can't be measured; `rate` measures."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.missing = ""
        if not PROGRAM.exists() or not PROGRAM.with_name("ansible-galaxy").exists():
            self.missing = "not installed in .venv-bench"
        elif shutil.which("java") is None:
            self.missing = "no Java here"
        (folder / "sources").mkdir(parents=True)
        (folder / "sources" / "plain_mqtt.py").write_text(_SOURCE)
        (folder / "inventory.yml").write_text("all: { hosts: { localhost: { ansible_connection: local } } }\n")
        rules = [
            {
                "name": f"r{number}",
                "condition": f'event.type == "inference" and event.data.model == "{model_of(number)}" '
                f"and event.data.score > {THRESHOLD}",
                "action": {"none": {}},
            }
            for number in range(RULES)
        ]
        rules.append({"name": "end", "condition": 'event.type == "end"', "action": {"shutdown": {"delay": 0}}})
        source = {"plain_mqtt": {"port": port, "begun": str(folder / "begun")}}
        # JSON is YAML
        book = [{"name": "bench", "hosts": "all", "sources": [source], "rules": rules}]
        (folder / "book.yml").write_text(json.dumps(book))

    def rate(self, count: int) -> tuple[float, float]:
        """Events judged, from the first message to the end of the process: a second, a second of processor."""
        begun = self.folder / "begun"
        begun.unlink(missing_ok=True)
        command = [str(PROGRAM.absolute()), "--rulebook", "book.yml", "-i", "inventory.yml", "-S", "sources"]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # It looks for `ansible-galaxy` on the path.
                env={**os.environ, "PATH": f"{PROGRAM.parent.absolute()}{os.pathsep}{os.environ.get('PATH', '')}"},
            )
        put_first(process.pid)
        try:
            until = time.monotonic() + WAIT_S
            publish_all(self.port, [json.dumps({"type": "first", "data": {}}).encode()], _TOPIC)
            while not begun.exists():
                assert process.poll() is None, self._tail()
                assert time.monotonic() < until, self._tail()
                publish_all(self.port, [json.dumps({"type": "first", "data": {}}).encode()], _TOPIC)
                time.sleep(0.5)  # until Drools has its rules
            before = _cpu_s(process.pid)
            began = time.monotonic()
            publish_all(self.port, [*backlog(count), json.dumps({"type": "end"}).encode()], _TOPIC)
            spent = before
            while process.poll() is None:
                assert time.monotonic() < until, self._tail()
                spent = _cpu_s(process.pid) or spent
                time.sleep(0.05)
            return count / (time.monotonic() - began), count / max(0.01, spent - before)
        finally:
            process.kill()
            process.wait()

    def _tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-2_000:]


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
