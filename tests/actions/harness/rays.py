"""A real Ray, one node on loopback, with jobs of its own: a driver that sleeps, a neighbour, and one that has ended."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import free_port, need_part
from tests.support.wait import until

_TOKEN = "the-token-of-the-dashboard"
_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": _TOKEN,
    # Else Ray binds to the machine's outer address even where it is told 127.0.0.1.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
_MARK = "HALON_TEST_RAY"
_START_WITHIN_S = 120.0
_JOB_WITHIN_S = 60.0


class StopJobHarness(Harness):
    action = "ray.stop-job"
    stride = 4
    counts_effects = False  # Ray takes a second `stop` of a job that is stopping, to no effect

    @contextmanager
    def serve(self):
        ray, port, redis_port = need_part("ray"), free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        argv = [ray, "start", "--head", "--block", "--disable-usage-stats", "--num-cpus", "4",
                "--port", str(redis_port), "--ray-client-server-port", str(free_port()),
                "--dashboard-host", "127.0.0.1", "--dashboard-port", str(port),
                "--dashboard-agent-listen-port", str(free_port()),
                "--object-store-memory", "80000000", "--temp-dir", str(self.tmp / "r")]  # fmt: skip
        log = self.tmp / "ray.log"
        with log.open("wb") as output:
            node = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=os.environ | _ENVIRONMENT | {_MARK: str(self.tmp)}, start_new_session=True,
            )  # fmt: skip
        try:
            until(self._answers, within_s=_START_WITHIN_S, what=f"Ray runs: {log.read_text(errors='replace')[-2_000:]}")
            self._submit("run-6", "true")
            self._submit("run-8", "sleep 1000")
            self._submit("next-1", "sleep 1000")
            self._reaches("run-6", "SUCCEEDED")
            self._reaches("run-8", "RUNNING")
            yield
        finally:
            _kill_all_of(str(self.tmp))
            node.wait()

    @contextmanager
    def fresh(self):
        # The driver of the next test starts while this one runs.
        number = next(self.numbers)
        self.job = f"next-{number}" if number == 1 else self.waiting
        self.waiting = f"next-{number + 1_000}"
        self._submit(self.waiting, "sleep 1000")
        self._reaches(self.job, "RUNNING")
        yield
        self._ask("POST", f"/{self.job}/stop")

    def params(self):
        return {"job": self.job}

    def settings(self):
        return {"url": self.url, "bearer_secret": "ray"}

    def secrets(self):
        return {"ray": _TOKEN, "wrong": "a-wrong-token-of-the-dashboard"}

    def state(self):
        return self._status(self.job), self._status("run-8"), self._status("run-6")

    def contained(self):
        return self._status(self.job) == "STOPPED" and self._status("run-8") == "RUNNING"

    def failures(self):
        quiet = {"url": f"http://127.0.0.1:{silent(self)}", "timeout": "200ms"}
        return [
            Failure("nothing listens", "see whether it runs", settings={"url": "http://127.0.0.1:1"}),
            Failure("nothing answers", "see whether it runs", settings=quiet),
            Failure("a wrong token", "bearer_secret", settings={"bearer_secret": "wrong"}),
            Failure("a secret that is not there", "add it to the secrets", settings={"bearer_secret": "none"}),
            Failure("no such job", "ray job list", params={"job": "run-9"}),
            Failure("a job that has ended", "has ended: SUCCEEDED", params={"job": "run-6"}),
        ]

    def _ask(self, method, path="/", body=None):
        """The answer of the job API to a request of the test's own."""
        headers = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/jobs{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def _answers(self):
        try:
            self._ask("GET")
        except (OSError, urllib.error.URLError):
            return False
        return True

    def _submit(self, job, command):
        self._ask("POST", "/", {"entrypoint": command, "submission_id": job, "entrypoint_num_cpus": 0})

    def _status(self, job):
        return self._ask("GET", f"/{job}")["status"]

    def _reaches(self, job, status):
        until(lambda: self._status(job) == status, within_s=_JOB_WITHIN_S, what=f"{job} is {status}")


def _kill_all_of(mark: str) -> None:
    """Ends every process of this Ray: they leave the group that they were started in, but not their environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{_MARK}={mark}\0".encode() in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue  # it has ended, or is nobody's of ours
