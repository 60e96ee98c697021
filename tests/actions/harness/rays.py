"""A stand-in for Ray's job API: no Ray is run here, which takes 380 MB and half a minute to start.

Its answers were recorded from Ray 2.60: a job that is told to stop says RUNNING for a moment before it says STOPPED.
"""

import http.server
import json
import threading
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness, silent

_TOKEN = "the-token-of-the-dashboard"
_RECORDED = {
    "type": "SUBMISSION", "job_id": None, "driver_info": None, "entrypoint": "sleep 100", "error_type": None,
    "start_time": 1795477470522, "end_time": None, "metadata": None, "runtime_env": None, "driver_exit_code": None,
}  # fmt: skip


class Dashboard(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, status, body):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        ray, parts = self.server, self.path.split("/")
        if self.headers.get("Authorization") != f"Bearer {_TOKEN}":
            return self.answer(401, "Unauthorized")
        job = parts[3]
        if job not in ray.jobs:
            return self.answer(404, f"Job {job} does not exist")
        if self.command == "POST":
            stopped = ray.jobs[job] == "RUNNING"
            if stopped:
                ray.stops += 1
                ray.jobs[job] = "stopping"
            return self.answer(200, {"stopped": stopped})
        status = ray.jobs[job]
        if status == "stopping":
            ray.jobs[job] = "STOPPED"  # the next one to ask finds it so
        return self.answer(
            200, _RECORDED | {"submission_id": job, "status": "RUNNING" if status == "stopping" else status}
        )

    do_GET = do_POST = handle_one  # noqa: N815  # names that http.server looks for


class StopJobHarness(Harness):
    action = "ray.stop-job"
    stride = 3
    counts_effects = False  # Ray takes a second `stop` of a job that is stopping, to no effect

    @contextmanager
    def serve(self):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dashboard) as self.server:
            self.server.daemon_threads = True
            thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
            thread.start()
            yield
            self.server.shutdown()
            thread.join()

    @contextmanager
    def fresh(self):
        self.server.jobs, self.server.stops = {"run-7": "RUNNING", "run-8": "RUNNING", "run-6": "SUCCEEDED"}, 0
        yield

    def params(self):
        return {"job": "run-7"}

    def settings(self):
        return {"url": f"http://127.0.0.1:{self.server.server_port}", "bearer_secret": "ray"}

    def secrets(self):
        return {"ray": _TOKEN, "wrong": "a-wrong-token-of-the-dashboard"}

    def state(self):
        return dict(self.server.jobs)

    def contained(self):
        return self.server.jobs["run-7"] == "STOPPED" and self.server.jobs["run-8"] == "RUNNING"

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
