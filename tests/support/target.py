"""The outside target of `http.request`: an HTTP server that counts what was done to it, and can be told to misbehave.

`PUT /NAME` takes effect once per Idempotency-Key; `GET /NAME` answers 200 where it is in force and 404 where not. The
moments of a step are told to `watch` as they pass, so that a test can act (kill the daemon) at exactly one of them.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOMENTS = ("looked", "asked", "applied", "answered", "read-back", "told")
"""In the order of a step: `looked`, not in force, is about to be answered; `asked`: a request arrived, nothing done
yet; `applied`: done and not answered; `answered`: the answer is out; `read-back`: in force, about to be answered;
`told`: that answer is out."""


class Target:
    """`with Target() as target:` listens on `target.url`.

    `script[name]` holds what the next requests to act on NAME do: `fail` (500, nothing done), `hang` (nothing done, no
    answer until the end), `apply-hang` (done, no answer), `apply-fail` (done, 500), `lose` (200, nothing done).
    `watch(moment, name)` returning True cuts the connection there; at `asked` nothing is done then.
    """

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.keys: dict[str, set[str]] = defaultdict(set)
        self.repeats: Counter[str] = Counter()
        self.order: list[str] = []
        self.script: dict[str, deque[str]] = defaultdict(deque)
        self.watch: Callable[[str, str], bool | None] = lambda _moment, _name: None
        self.free = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="target", daemon=True)

    def __enter__(self) -> "Target":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.free.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def origin(self) -> str:
        """The config that allows it."""
        return f'\n[actions."http.request"]\norigins = ["{self.url}"]\ntimeout = "30s"\n'

    def count(self) -> int:
        """How many effects there were in all."""
        with self._lock:
            return sum(self.effects.values())

    def in_force(self, name: str) -> bool:
        """Whether NAME is in force."""
        with self._lock:
            return self.effects[name] > 0

    def apply(self, name: str, key: str) -> None:
        """Take effect, once for each key."""
        with self._lock:
            if key in self.keys[name]:
                self.repeats[name] += 1
                return
            self.keys[name].add(key)
            self.effects[name] += 1
            self.order.append(name)

    def next(self, name: str) -> str:
        """What the script says for this request."""
        with self._lock:
            return self.script[name].popleft() if self.script[name] else "ok"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A daemon that was killed leaves broken connections: that is what is tested."""


def _handler(target: Target) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            there = target.in_force(name)
            if target.watch("read-back" if there else "looked", name):
                self._cut()
                return
            self._answer(200 if there else 404)
            if there:
                target.watch("told", name)

        def do_PUT(self) -> None:
            name = self.path.lstrip("/")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if target.watch("asked", name):
                self._cut()
                return
            what = target.next(name)
            match what:
                case "fail":
                    self._answer(500)
                    return
                case "lose":
                    self._answer(200)
                    return
                case "hang":
                    target.free.wait(120)
                    self._cut()
                    return
            target.apply(name, self.headers.get("Idempotency-Key", ""))
            if target.watch("applied", name):
                self._cut()
                return
            if what == "apply-hang":
                target.free.wait(120)
                self._cut()
                return
            self._answer(500 if what == "apply-fail" else 200)
            target.watch("answered", name)

        def _answer(self, status: int) -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.wfile.flush()
            except OSError:
                self._cut()

        def _cut(self) -> None:
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in http.server
            """Quiet."""

    return Handler
