"""A stand-in for Vault: no Vault is run here. It answers hvac on the paths and in the shapes that Vault's HTTP API has.

Sources: its pages on /sys/leases and on the database secrets engine.
"""

import http.server
import json
import threading
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness, silent

_TOKEN = "the-token-of-halon-at-vault"
_LEASE = "database/creds/trainer/27e1b9a1"


class Vault(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def answer(self, status, body=None):
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        vault = self.server
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.headers.get("X-Vault-Token") != _TOKEN:
            return self.answer(403, {"errors": ["permission denied"]})
        match self.command, self.path:
            case "GET", "/v1/auth/token/lookup-self":
                return self.answer(200, {"data": {"policies": ["halon"]}})
            case "PUT", "/v1/sys/leases/lookup":
                if body["lease_id"] not in vault.leases:
                    return self.answer(400, {"errors": ["invalid lease"]})
                return self.answer(200, {"data": {"id": body["lease_id"], "ttl": 3000, "renewable": True}})
            case "PUT", "/v1/sys/leases/revoke":
                assert body["sync"] is True
                vault.leases.discard(body["lease_id"])
                vault.writes += 1
                return self.answer(204)
            case "GET", "/v1/database/static-creds/trainer":
                data = {"username": "trainer", "password": f"password-{vault.rotations}-of-the-trainer",
                        "last_vault_rotation": f"2026-01-01T00:00:0{vault.rotations}.5Z", "ttl": 3600}  # fmt: skip
                return self.answer(200, {"data": data})
            case "POST", "/v1/database/rotate-role/trainer":
                vault.rotations += 1
                vault.writes += 1
                return self.answer(204)
        return self.answer(404, {"errors": []})

    do_GET = do_POST = do_PUT = handle_one  # noqa: N815  # names that http.server looks for


class RevokeLeaseHarness(Harness):
    action = "vault.revoke-lease"

    @contextmanager
    def serve(self):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vault) as self.server:
            self.server.daemon_threads = True
            thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
            thread.start()
            yield
            self.server.shutdown()
            thread.join()

    @contextmanager
    def fresh(self):
        self.server.leases, self.server.rotations, self.server.writes = {_LEASE, "another"}, 0, 0
        yield

    def params(self):
        return {"lease_id": _LEASE}

    def settings(self):
        return {"url": f"http://127.0.0.1:{self.server.server_port}", "token_secret": "vault"}

    def secrets(self):
        return {"vault": _TOKEN, "wrong": "a-wrong-token-at-vault"}

    def hidden(self):
        return [f"password-{number}-of-the-trainer" for number in range(4)]

    def state(self):
        return sorted(self.server.leases), self.server.rotations

    def contained(self):
        return self.server.leases == {"another"}

    def effects(self):
        return self.server.writes

    def failures(self):
        quiet = {"url": f"http://127.0.0.1:{silent(self)}", "timeout": "200ms"}
        return [
            Failure("nothing listens", "see whether it runs", settings={"url": "http://127.0.0.1:1"}),
            Failure("nothing answers", "see whether it runs", settings=quiet),
            Failure("a wrong token", "token_secret", settings={"token_secret": "wrong"}),
            Failure("a secret that is not there", "add it to the secrets", settings={"token_secret": "none"}),
            *self.own_failures(),
        ]

    def own_failures(self):
        return []


class RotateRoleHarness(RevokeLeaseHarness):
    action = "vault.rotate-role"

    def params(self):
        return {"role": "trainer"}

    def contained(self):
        return self.server.rotations == 1

    def own_failures(self):
        return [Failure("no such role", "check its name", params={"role": "nobody"})]
