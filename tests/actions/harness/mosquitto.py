"""A real mosquitto with its dynamic security plug-in, and a client that is connected while it is contained."""

import json
import secrets
import socket
import stat
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

from actions.credentials import mosquitto
from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import free_port, listening, missing, need, server

_ADMIN = "the-admin-password-of-mosquitto"


def connect(port, user, password):
    """A connection by MQTT 3.1.1 with nothing in between, or None where the broker refuses it."""

    def text(value):
        return struct.pack("!H", len(value)) + value.encode()

    body = text("MQTT") + bytes([4, 0xC2, 0, 60]) + text(f"test-{secrets.token_hex(4)}") + text(user) + text(password)
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sendall(bytes([0x10, len(body)]) + body)
    if connection.recv(4)[3:] == b"\0":
        return connection
    connection.close()
    return None


def alive(connection):
    """Whether the broker still answers a PING on it."""
    try:
        connection.sendall(b"\xc0\0")
        return connection.recv(2) == b"\xd0\0"
    except OSError:
        return False


class DisableClientHarness(Harness):
    action = "mosquitto.disable-client"
    counts_effects = False  # a client that is kept out can't be kept out once more
    stride = 2

    @contextmanager
    def serve(self):
        binary, control, self.port = need("mosquitto"), need("mosquitto_ctrl"), free_port()
        plugins = sorted(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"))
        plugin = plugins[0] if plugins else missing("mosquitto's dynamic security plug-in: apt-get install mosquitto")
        rules = self.tmp / "dynsec.json"
        subprocess.run([control, "dynsec", "init", str(rules), "admin", _ADMIN], check=True, capture_output=True)
        config = self.tmp / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\nuser root\n"
            f"plugin {plugin}\nplugin_opt_config_file {rules}\n"
        )
        log = self.tmp / "log"
        with server([binary, "-c", str(config)], log=log, ready=lambda: listening(self.port)):
            self.rules = rules
            self.tell("createClient", "weak", "-p", "weak-password-here")
            yield

    def tell(self, *command):
        argv = [need("mosquitto_ctrl"), "-p", str(self.port), "-u", "admin", "-P", _ADMIN, "dynsec", *command]
        return subprocess.run(argv, capture_output=True, text=True).stdout

    @contextmanager
    def fresh(self):
        self.password = secrets.token_urlsafe(16)
        self.tell("deleteClient", "trainer")
        self.tell("createClient", "trainer", "-p", self.password)
        self.file = self.tmp / f"password-{next(self.numbers)}"
        self.file.write_text(self.password + "\n")
        self.file.chmod(0o600)
        self.session = connect(self.port, "trainer", self.password)
        assert alive(self.session)
        yield
        self.session.close()

    def params(self):
        return {"client": "trainer"}

    def settings(self):
        return {"port": self.port, "password_secret": "broker"}

    def secrets(self):
        return {"broker": _ADMIN, "weak": "weak-password-here", "wrong": "a-wrong-password"}

    def hidden(self):
        return [self.password, self.file.read_text().strip()]

    def state(self):
        clients = json.loads(self.rules.read_text())["clients"]
        return next(each for each in clients if each["username"] == "trainer"), self.file.read_text()

    def works(self, password):
        connection = connect(self.port, "trainer", password)
        if connection is not None:
            connection.close()
        return connection is not None

    def contained(self):
        return not alive(self.session) and not self.works(self.password)

    def someone_undoes(self):
        self.tell("enableClient", "trainer")
        return True

    def failures(self):
        @contextmanager
        def impatient():
            before, mosquitto._TIMEOUT_S = mosquitto._TIMEOUT_S, 0.3
            yield
            mosquitto._TIMEOUT_S = before

        weak = {"user": "weak", "password_secret": "weak"}
        return [
            Failure("nothing listens", "see whether it runs", settings={"port": 1}),
            Failure("nothing answers", "see whether it runs", settings={"port": silent(self)}, during=impatient),
            Failure("a wrong password", "password_secret", settings={"password_secret": "wrong"}),
            Failure("a secret that is not there", "add it to the secrets", settings={"password_secret": "none"}),
            Failure("too few rights", "let halond's client use", settings=weak, during=impatient),
            Failure("no such client", "listClients", params={"client": "nobody"}, settings=self.also("nobody")),
            Failure("Halon's own client", "Halon itself uses", params={"client": "admin"}),
        ]

    def also(self, client):
        return {}


class RotatePasswordHarness(DisableClientHarness):
    action = "mosquitto.rotate-password"

    def settings(self):
        return super().settings() | {"files": {"trainer": str(self.file)}}

    def also(self, client):
        return {"files": {client: str(self.file)}}

    def contained(self):
        new = self.file.read_text().strip()
        return (
            not alive(self.session)
            and not self.works(self.password)
            and new != self.password
            and self.works(new)
            and stat.S_IMODE(self.file.stat().st_mode) == 0o600
            and not list(self.tmp.glob(".password-*"))
        )

    def someone_undoes(self):
        self.tell("setClientPassword", "trainer", self.password)
        return True

    def failures(self):
        return [
            *super().failures(),
            Failure("no file for the client", "add it to `files`", settings={"files": {}}),
            Failure("no such folder", "existing folder", settings={"files": {"trainer": "/nonexistent/x"}}),
        ]
