"""A real HAProxy in front of two real servers, with connections that were established before."""

import socket
from contextlib import ExitStack, contextmanager

from tests.actions.harness.base import Failure, Harness
from tests.actions.harness.sockets import answering, ask, connect
from tests.support.realparts import free_port, listening, need, server
from tests.support.wait import until

_CONFIG = """
global
  stats socket {admin} level admin mode 600
  stats socket {user} level user mode 600
  maxconn 100
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen pool
  bind 127.0.0.1:{port}
  server a 127.0.0.1:{a}
  server b 127.0.0.1:{b}
"""


class DrainHarness(Harness):
    action = "haproxy.drain"
    counts_effects = False  # setting a state that is set has no effect at all
    other = "maint"

    @contextmanager
    def serve(self):
        binary = need("haproxy")
        with ExitStack() as stack:
            ports = {name: stack.enter_context(answering(name)) for name in "ab"}
            self.port, self.admin, self.user = free_port(), self.tmp / "admin.sock", self.tmp / "user.sock"
            config = self.tmp / "haproxy.cfg"
            config.write_text(_CONFIG.format(admin=self.admin, user=self.user, port=self.port, **ports))
            stack.enter_context(
                server(
                    [binary, "-db", "-f", str(config)],
                    log=self.tmp / "haproxy.log",
                    ready=lambda: self.admin.exists() and listening(self.port),
                )
            )
            yield

    @contextmanager
    def fresh(self):
        with ExitStack() as stack:
            self.tell("set server pool/a state ready")
            connections = [stack.enter_context(connect("127.0.0.1", self.port)) for _ in range(4)]
            self.established = [each for each in connections if ask(each) == "a"]
            assert self.established
            yield
            self.tell("set server pool/a state ready")

    def tell(self, command):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.admin))
            admin.sendall(command.encode() + b"\n")
            return admin.makefile().read()

    def params(self):
        return {"backend": "pool", "server": "a"}

    def settings(self):
        return {"socket": str(self.admin)}

    def state(self):
        rows = [line.split() for line in self.tell("show servers state pool").splitlines()[2:] if line]
        return {row[3]: row[6] for row in rows}

    def new_connections(self):
        """Who answers new connections."""
        answers = set()
        for _ in range(6):
            with connect("127.0.0.1", self.port) as connection:
                answers.add(ask(connection))
        return answers

    def contained(self):
        return self.new_connections() == {"b"} and ask(self.established[0]) == "a"

    def someone_undoes(self):
        self.tell("set server pool/a state ready")
        return True

    def someone_changes(self):
        self.tell(f"set server pool/a state {self.other}")
        return True

    def failures(self):
        return [
            Failure("HAProxy does not run", "start HAProxy", settings={"socket": str(self.tmp / "none.sock")}),
            Failure("no such backend", "check the name", params={"backend": "nowhere"}),
            Failure("no such server", "it has a, b", params={"server": "nobody"}),
            Failure("a socket that may not change anything", "level admin", settings={"socket": str(self.user)}),
        ]


class DisableHarness(DrainHarness):
    action = "haproxy.disable"
    other = "drain"

    def contained(self):
        if self.new_connections() != {"b"}:
            return False
        until(lambda: not ask(self.established[0]), within_s=5, what="the established connection is cut")
        return True
