"""A real HAProxy that limits clients by a map, and clients that ask it for pages."""

import http.client
import socket
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness
from tests.support.realparts import free_port, listening, need, server

_CONFIG = """
global
  stats socket {admin} level admin mode 600
  maxconn 100
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend web
  bind 127.0.0.1:{port}
  stick-table type string len 64 size 1k expire 1m store http_req_rate(10s)
  http-request track-sc0 req.hdr(x-client)
  http-request set-var(txn.limit) req.hdr(x-client),map({map})
  http-request deny deny_status 429 if {{ var(txn.limit) -m found }} {{ sc_http_req_rate(0),sub(txn.limit) gt 0 }}
  http-request return status 200
"""


class RatelimitHarness(Harness):
    action = "ratelimit.client"

    @contextmanager
    def serve(self):
        self.port, self.admin = free_port(), self.tmp / "admin.sock"
        self.map = self.tmp / "limits.map"
        self.map.touch()
        config = self.tmp / "haproxy.cfg"
        config.write_text(_CONFIG.format(admin=self.admin, port=self.port, map=self.map))
        with server(
            [need("haproxy"), "-db", "-f", str(config)],
            log=self.tmp / "haproxy.log",
            ready=lambda: self.admin.exists() and listening(self.port),
        ):
            yield

    @contextmanager
    def fresh(self):
        self.tell(f"clear map {self.map}")
        self.tell("clear table web")
        self.tell(f"add map {self.map} neighbour 1000000")
        yield

    def tell(self, command):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.admin))
            admin.sendall(command.encode() + b"\n")
            return admin.makefile().read()

    def params(self):
        return {"client": "client-7", "limit": 2}

    def settings(self):
        return {"socket": str(self.admin), "map": str(self.map)}

    def state(self):
        return sorted(line.split()[1:] for line in self.tell(f"show map {self.map}").splitlines() if line)

    def asked(self, client):
        """The statuses that five requests of a client get."""
        statuses = []
        for _ in range(5):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/", headers={"x-client": client})
            statuses.append(connection.getresponse().status)
            connection.close()
        return statuses

    def contained(self):
        self.tell("clear table web")
        return self.asked("client-7") == [200, 200, 429, 429, 429] and self.asked("neighbour") == [200] * 5

    def effects(self):
        return sum(key == "client-7" for key, _ in self.state())

    def someone_undoes(self):
        self.tell(f"del map {self.map} client-7")
        return True

    def someone_changes(self):
        self.tell(f"set map {self.map} client-7 50")
        return True

    def failures(self):
        self.gone = self.tmp / "gone.sock"
        self.gone.unlink(missing_ok=True)
        self.gone.symlink_to(self.admin)

        @contextmanager
        def leaves():
            self.gone.unlink()
            yield

        return [
            Failure("HAProxy does not run", "start HAProxy", settings={"socket": str(self.tmp / "none.sock")}),
            Failure("no such map", "must name a map", settings={"map": "/nowhere.map"}),
            Failure(
                "it stops in between",
                "start HAProxy",
                settings={"socket": str(self.gone)},
                at_apply=True,
                during=leaves,
            ),
        ]
