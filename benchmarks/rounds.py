"""One peer in a process of its own, and the rounds in which the peers take turns.

The parent starts all peers of a table, then lets one after the other work for a while, several times over: what else
the machine does hits all alike, and the spread of the rounds shows how much that was.
"""

import json
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOAD_WITHIN_S = 180
ROUND_WITHIN_S = 60
MARK = "@@"
"""Begins the lines that are for the parent: libraries print, too."""


@dataclass
class Result:
    """Of one peer: events per second of wall time by round, and what the rounds said beside it."""

    name: str
    rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)
    events: int = 0
    matches: int = 0
    rss_mb: list[float] = field(default_factory=list)
    load_s: float = 0.0
    missing: str = ""

    @property
    def rate(self) -> float:
        return statistics.median(self.rates) if self.rates else 0.0

    @property
    def spread(self) -> str:
        """How far the rounds lie apart, around their median."""
        return f"{min(self.rates) / self.rate:.2f}-{max(self.rates) / self.rate:.2f}" if self.rates else ""


class Child:
    """A peer's process."""

    def __init__(self, work: str, name: str, rules: int, python: str) -> None:
        self.result = Result(name)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the child
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.rounds", work, name, str(rules)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        said = self._answer(LOAD_WITHIN_S, "load")
        if said:
            self.result.load_s = said["load_s"]

    def round(self, seconds: float, events_max: int = 0) -> None:
        if self.result.missing:
            return
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds} {events_max}\n")
        self.process.stdin.flush()
        said = self._answer(ROUND_WITHIN_S + seconds, "answer")
        if said:
            self.result.rates.append(said["events"] / said["wall_s"])
            self.result.cpu_rates.append(said["events"] / said["cpu_s"])
            self.result.rss_mb.append(said["rss_mb"])
            self.result.events += said["events"]
            self.result.matches += said["matches"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.errors.close()

    def _answer(self, within_s: float, what: str) -> dict[str, float]:
        """The next line that is ours; libraries print, too. Without one the peer counts as missing, with the reason."""
        try:
            line = self.lines.get(timeout=within_s)
        except queue.Empty:
            self.result.missing = f"did not {what} within {within_s:.0f} s"
            self.close()
            return {}
        if line:
            return json.loads(line)  # type: ignore[no-any-return]
        code = self.process.wait()
        self.errors.seek(0)
        errors = self.errors.read().strip().splitlines()
        self.result.missing = f"ended with {code}: {errors[-1][:90] if errors else 'no word'}"
        return {}

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(MARK):
                self.lines.put(line[len(MARK) :])
        self.lines.put("")


def interleaved(
    work: str, names: list[str], rules: int, *, rounds: int, seconds: float, python: str = sys.executable
) -> list[Result]:
    """All peers of these names, `rounds` times in turn; a first turn, not counted, warms them up."""
    children = [Child(work, name, rules, python) for name in names]
    for number in range(rounds + 1):
        for child in children:
            child.round(seconds)
            if number == 0:
                child.result.rates.clear()
                child.result.cpu_rates.clear()
    for child in children:
        child.close()
    return [child.result for child in children]


def _rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096 / 1e6


def _serve() -> None:
    from benchmarks.peers import WORK_A, WORK_B

    work, name, rules = sys.argv[1:4]
    began = time.perf_counter()
    peer = {"a": WORK_A, "b": WORK_B}[work][name](int(rules))  # type: ignore[index]
    print(f"\n{MARK}" + json.dumps({"load_s": time.perf_counter() - began}), flush=True)
    for line in sys.stdin:
        seconds, events_max = float(line.split()[0]), int(line.split()[1])
        events = matches = 0
        wall_s = cpu_s = 0.0
        while (wall_s < seconds) if not events_max else events < events_max:
            chunk = peer.chunk()  # made outside of what is timed
            wall, cpu = time.perf_counter(), time.process_time()
            matches += peer.judge(chunk)
            wall_s, cpu_s = wall_s + time.perf_counter() - wall, cpu_s + time.process_time() - cpu
            events += len(chunk)
        said = {"events": events, "matches": matches, "wall_s": wall_s, "cpu_s": cpu_s, "rss_mb": _rss_mb()}
        print(f"\n{MARK}" + json.dumps(said), flush=True)


if __name__ == "__main__":
    _serve()
