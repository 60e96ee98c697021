"""Real connections between network namespaces: client ─ gateway ─ server, the action acts on the gateway."""

import ctypes
import json
import os
import socket
import subprocess
import threading
from contextlib import ExitStack, contextmanager

from tests.actions.harness.base import Failure, Harness
from tests.actions.harness.sockets import answering, ask, connect
from tests.support.realparts import missing, need, need_root

_CLONE_NEWNET = 0x40000000
_CLIENT, _SERVER, _FORENSICS = "198.51.100.2", "192.0.2.2", "198.51.100.3"


def inside(netns, function):
    """Runs a function in a network namespace; the sockets that it makes stay there."""
    answer = []

    def enter():
        handle = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(handle)
        answer.append(function())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return answer[0]


class IsolateHarness(Harness):
    action = "nftables.isolate"
    port = None

    @contextmanager
    def serve(self):
        need_root("network namespaces can't be made")
        need("nft")
        need("ip")
        tag = f"hal{os.getpid() % 100_000}"
        self.client, self.gateway, self.server = (f"{tag}{part}" for part in "cgs")
        with ExitStack() as stack:
            for netns in (self.client, self.gateway, self.server):
                if subprocess.run(["ip", "netns", "add", netns], capture_output=True).returncode:
                    missing("network namespaces can't be made here")
                stack.callback(self.ip, "netns", "del", netns)
            for netns, ours, theirs in (
                (self.client, ["198.51.100.2/24", "198.51.100.3/24"], "198.51.100.1"),
                (self.server, ["192.0.2.2/24"], "192.0.2.1"),
            ):
                far = "west" if netns == self.client else "east"
                self.ip("-n", netns, "link", "add", "eth0", "type", "veth", "peer", "name", far, "netns", self.gateway)
                self.ip("-n", self.gateway, "addr", "add", f"{theirs}/24", "dev", far)
                self.ip("-n", self.gateway, "link", "set", far, "up")
                for address in ours:
                    self.ip("-n", netns, "addr", "add", address, "dev", "eth0")
                self.ip("-n", netns, "link", "set", "eth0", "up")
                self.ip("-n", netns, "link", "set", "lo", "up")
                self.ip("-n", netns, "route", "add", "default", "via", theirs)
            self.ip("netns", "exec", self.gateway, "sysctl", "-qw", "net.ipv4.ip_forward=1")
            self.good = inside(self.server, lambda: stack.enter_context(answering("server", _SERVER)))
            self.other = inside(self.server, lambda: stack.enter_context(answering("other", _SERVER)))
            self.back = inside(self.client, lambda: stack.enter_context(answering("client", _CLIENT)))
            yield

    def ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def nft(self, *arguments):
        argv = ["ip", "netns", "exec", self.gateway, "nft", *arguments]
        return subprocess.run(argv, capture_output=True, text=True).stdout

    @contextmanager
    def fresh(self):
        self.nft("delete", "table", "inet", "halon")
        self.established = inside(self.client, lambda: connect(_SERVER, self.good))
        assert ask(self.established) == "server"
        yield
        self.established.close()

    def params(self):
        return {"address": _SERVER} | ({"port": self.good} if self.port else {})

    def settings(self):
        return {
            "netns": self.gateway,
            "allow": [_FORENSICS],
            "pools": {"inference": [_SERVER, "192.0.2.3", "192.0.2.4", "192.0.2.5"]},
        }

    def elements(self):
        listed = json.loads(self.nft("-j", "list", "table", "inet", "halon") or '{"nftables": []}')["nftables"]
        return [
            (each["set"]["name"], str(element))
            for each in listed
            if "set" in each and not each["set"]["name"].startswith("allow")
            for element in each["set"].get("elem", [])
        ]

    def state(self):
        return self.elements()

    def effects(self):
        return len(self.elements())

    def reaches(self, source, port):
        def attempt():
            try:
                with socket.create_connection((_SERVER, port), timeout=0.5, source_address=(source, 0)) as connection:
                    return ask(connection)
            except OSError:
                return ""

        return inside(self.client, attempt)

    def contained(self):
        if ask(self.established) or self.reaches(_CLIENT, self.good):
            return False
        assert self.reaches(_FORENSICS, self.good) == "server", "forensics keep their way in"
        other = self.reaches(_CLIENT, self.other)
        outward = inside(self.server, lambda: connect(_CLIENT, self.back, 0.5))
        if outward is not None:
            outward.close()
        # The whole host is cut off both ways; with a port, only that port.
        return (other == "other" and outward is not None) if self.port else (not other and outward is None)

    def someone_undoes(self):
        self.nft("flush", "chain", "inet", "halon", "forward")
        self.established.close()
        self.established = inside(self.client, lambda: connect(_SERVER, self.good))
        return True

    def someone_changes(self):
        name, element = self.elements()[0]
        member = element.split("'val': ")[1].split(",")[0].strip("'") if not self.port else None
        member = member or f"{_SERVER} . tcp . {self.good}"
        self.nft("delete", "element", "inet", "halon", name, f"{{ {member} }}")
        self.nft("add", "element", "inet", "halon", name, f'{{ {member} comment "by hand" }}')
        return True

    def failures(self):
        return [
            Failure("no address", "names are not resolved", params={"address": "server.example.org"}),
            Failure("loopback", "is no endpoint", params={"address": "127.0.0.1"}),
            Failure("no such namespace", "nft", settings={"netns": "nowhere"}),
        ]


class IsolatePortHarness(IsolateHarness):
    """One port of the host."""

    port = True
