"""A real HTTP server: a gateway that blocks keys, checks signatures, and honours idempotency keys."""

import hashlib
import hmac
import http.server
import threading
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness, silent

_KEY = "the-signing-key-of-halon"


class Gateway(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def signed(self, body):
        times, _, digest = self.headers.get("X-Halon-Signature", "t=,v1=").partition(",v1=")
        wanted = hmac.new(_KEY.encode(), times[2:].encode() + b"." + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, digest)

    def do_GET(self):
        if self.path == "/moved":
            return self.answer(302, [("Location", "/blocked/always")])
        if self.path == "/broken":
            return self.answer(500)
        return self.answer(200 if self.path in self.server.blocked or self.path == "/blocked/always" else 404)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.signed(body):
            return self.answer(401)
        if self.headers["Idempotency-Key"] not in self.server.keys:
            self.server.keys.add(self.headers["Idempotency-Key"])
            self.server.blocked.append(self.path)
        return self.answer(204)


class RequestHarness(Harness):
    action = "http.request"

    @contextmanager
    def serve(self):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as self.server:
            self.server.daemon_threads = True
            thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
            thread.start()
            yield
            self.server.shutdown()
            thread.join()

    @contextmanager
    def fresh(self):
        self.server.blocked, self.server.keys = [], set()
        yield

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def params(self):
        url = f"{self.base}/blocked/client-7"
        return {"url": url, "method": "PUT", "body": {"reason": "model-extraction"}, "verify_url": url}

    def settings(self):
        return {"origins": [self.base], "hmac_secret": "gateway"}

    def secrets(self):
        return {"gateway": _KEY, "wrong": "another-signing-key"}

    def state(self):
        return list(self.server.blocked)

    def contained(self):
        return "/blocked/client-7" in self.server.blocked

    def effects(self):
        return len(self.server.blocked)

    def someone_undoes(self):
        self.server.blocked.clear()
        self.server.keys.clear()
        return True

    def failures(self):
        quiet = f"http://127.0.0.1:{silent(self)}"
        one = f"{self.base}/blocked/client-7"
        return [
            Failure("an origin that is not allowed", "config.toml", params={"url": "https://example.org/"}),
            Failure("a look-alike origin", "config.toml", params={"url": f"{self.base}@example.org/x"}),
            Failure(
                "nothing listens",
                "see whether it runs",
                params={"url": "http://127.0.0.1:1/", "verify_url": ""},
                settings={"origins": ["http://127.0.0.1:1"]},
            ),
            Failure(
                "nothing answers",
                "see whether it runs",
                params={"url": quiet, "verify_url": ""},
                settings={"origins": [quiet], "timeout": "200ms"},
            ),
            Failure("a wrong signing key", "answered 401", settings={"hmac_secret": "wrong"}),
            Failure("a secret that is not there", "add it to the secrets", settings={"hmac_secret": "none"}),
            Failure("a redirect", "answered 302", params={"url": one, "verify_url": f"{self.base}/moved"}),
            Failure("a broken service", "answered 500", params={"url": one, "verify_url": f"{self.base}/broken"}),
        ]
