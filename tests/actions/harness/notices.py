"""A real HTTP server that takes notices as Apprise posts them to `json://` addresses."""

import http.server
import json
import threading
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness, silent

_TOKEN = "the-token-in-the-address"


class Board(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        notice = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        good = self.path == f"/{_TOKEN}"
        if good:
            self.server.notices.append((notice["title"], notice["message"], notice["type"]))
        self.send_response(200 if good else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()


class NotifyHarness(Harness):
    action = "notify"
    counts_effects = False  # killed between the sending and its record, it is sent once more, as its docstring says

    @contextmanager
    def serve(self):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Board) as self.server:
            self.server.daemon_threads = True
            thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
            thread.start()
            yield
            self.server.shutdown()
            thread.join()

    @contextmanager
    def fresh(self):
        self.server.notices = []
        yield

    def params(self):
        return {"channel": "on-call", "title": "gpu-3 is drained", "body": "model-extraction by client-7"}

    def settings(self):
        channels = {name: name for name in ("on-call", "elsewhere", "nothing", "nobody", "quiet", "strange", "empty")}
        return {"channels": channels, "timeout": "300ms"}

    def secrets(self):
        here = f"json://127.0.0.1:{self.server.server_port}"
        return {
            "on-call": f"{here}/{_TOKEN}",
            "elsewhere": f"{here}/another-token",
            "nobody": "json://127.0.0.1:1/the-token",
            "quiet": f"json://127.0.0.1:{silent(self)}/the-token",
            "strange": "no-such-scheme://secret-host/",
            "empty": "",
        }

    def hidden(self):
        return [_TOKEN]

    def state(self):
        return list(self.server.notices)

    def contained(self):
        return ("gpu-3 is drained", "model-extraction by client-7", "warning") in self.server.notices

    def failures(self):
        return [
            Failure("no such channel", "add it to `channels`", params={"channel": "pager"}),
            Failure("a secret that is not there", "add it to the secrets", params={"channel": "nothing"}),
            Failure("nothing listens", "see whether its address", params={"channel": "nobody"}),
            Failure("nothing answers", "see whether its address", params={"channel": "quiet"}),
            Failure("the service refuses", "see whether its address", params={"channel": "elsewhere"}),
            Failure("an address of no service", "no address that Apprise knows", params={"channel": "strange"}),
            Failure("an empty secret", "is empty", params={"channel": "empty"}),
        ]
