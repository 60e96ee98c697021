"""A stand-in for gateways: no LiteLLM is run here. It keeps keys as LiteLLM's management API is documented to, and as
the generic API of the action is; a client's requests are let in or refused by it.
"""

import http.client
import http.server
import json
import threading
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from tests.actions.harness.base import Failure, Harness, silent

_ADMIN = "the-admin-key-of-the-gateway"
_HASH = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"


class Keys(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, status, body=None):
        data = json.dumps(body if body is not None else {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        keys, url = self.server.keys, urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if url.path == "/v1/models":
            # What a client's request meets; its key is told apart by its hash.
            return self.answer(401 if keys.get(self.headers["X-Key-Hash"]) else 200)
        if self.headers.get("Authorization") != f"Bearer {_ADMIN}":
            return self.answer(401, {"error": {"message": "Authentication Error"}})
        if url.path.startswith("/blocked-keys/"):
            key = url.path.rpartition("/")[2]
            if self.command == "GET":
                return self.answer(200 if keys.get(key) else 404)
            self.server.writes += 1
            keys[key] = self.command == "PUT" or None
            return self.answer(200)
        key = parse_qs(url.query).get("key", [body.get("key")])[0]
        if key not in keys:
            return self.answer(404, {"error": {"message": "Key not found in database", "code": "404"}})
        if url.path in {"/key/block", "/key/unblock"} and self.command == "POST":
            self.server.writes += 1
            keys[key] = url.path == "/key/block"
            return self.answer(200, {"token": key, "blocked": keys[key]})
        return self.answer(200, {"key": key, "info": {"key_alias": "client-7", "blocked": keys[key]}})

    do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815  # names that http.server looks for


class LitellmHarness(Harness):
    action = "gateway.block-key"
    kind = "litellm"

    @contextmanager
    def serve(self):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys) as self.server:
            self.server.daemon_threads = True
            thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
            thread.start()
            yield
            self.server.shutdown()
            thread.join()

    @contextmanager
    def fresh(self):
        self.server.keys, self.server.writes = {_HASH: None, "another": None}, 0
        yield

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def params(self):
        return {"key_id": _HASH}

    def settings(self):
        return {"kind": self.kind, "url": self.url, "bearer_secret": "admin"}

    def secrets(self):
        return {"admin": _ADMIN, "wrong": "a-wrong-admin-key"}

    def state(self):
        return {key: bool(blocked) for key, blocked in self.server.keys.items()}

    def let_in(self, key):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=5)
        connection.request("GET", "/v1/models", headers={"X-Key-Hash": key})
        status = connection.getresponse().status
        connection.close()
        return status == 200

    def contained(self):
        return not self.let_in(_HASH) and self.let_in("another")

    def effects(self):
        return self.server.writes

    def someone_undoes(self):
        self.server.keys[_HASH] = False
        return True

    def failures(self):
        quiet = {"url": f"http://127.0.0.1:{silent(self)}", "timeout": "200ms"}
        return [
            Failure("nothing listens", "see whether it runs", settings={"url": "http://127.0.0.1:1"}),
            Failure("nothing answers", "see whether it runs", settings=quiet),
            Failure("a wrong admin key", "bearer_secret", settings={"bearer_secret": "wrong"}),
            Failure("a secret that is not there", "add it to the secrets", settings={"bearer_secret": "none"}),
            *self.own_failures(),
        ]

    def own_failures(self):
        return [Failure("no such key", "give its hash", params={"key_id": "none"})]


class GenericHarness(LitellmHarness):
    kind = "generic"

    def own_failures(self):
        return [Failure("a certificate that is not there", "ca_file", settings={"ca_file": "/nonexistent/ca.pem"})]
