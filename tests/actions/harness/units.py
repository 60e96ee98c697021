"""A real systemd as process 1 of namespaces of its own, with a unit that runs a process tree."""

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from tests.actions.harness.base import Failure, Harness
from tests.support.realparts import missing, need, need_root
from tests.support.wait import until

_BARE = "[Unit]\nDefaultDependencies=no\n"
_SERVICE = _BARE + "[Service]\nExecStart=/bin/sh -c 'sleep 1000 & sleep 1000'\nRestart=always\n"
_BOOT = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
export SYSTEMD_UNIT_PATH={units} container=halon-test
exec {systemd} --system --unit=default.target --log-target=console --log-level=warning --show-status=no
"""


class StopUnitHarness(Harness):
    action = "systemd.stop-unit"
    counts_effects = False  # a unit that is stopped can't be stopped once more
    stride = 3

    @contextmanager
    def serve(self):
        need_root("a systemd of its own needs namespaces")
        control, unshare, self.nsenter = need("systemctl"), need("unshare"), need("nsenter")
        systemd = Path("/lib/systemd/systemd")
        if not systemd.exists():
            missing("systemd: apt-get install systemd")
        # Control groups are the machine's: the systemds of two test processes at once must not share one.
        self.unit = f"trainer-{os.getpid()}.service"
        units = self.tmp / "units"
        units.mkdir()
        (units / "default.target").write_text(_BARE)
        (units / self.unit).write_text(_SERVICE)
        (units / "stubborn.service").write_text(_BARE + "RefuseManualStop=yes\n[Service]\nExecStart=/bin/sleep 1000\n")
        (units / "halond.service").write_text(_SERVICE)
        (units / "slow.service").write_text(
            _BARE + "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1000; done'\n"
        )
        boot = self.tmp / "boot.sh"
        boot.write_text(_BOOT.format(units=units, systemd=systemd))
        with (self.tmp / "systemd.log").open("wb") as log:
            outer = subprocess.Popen(
                [unshare, "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "--ipc",
                 "--", "/bin/sh", str(boot)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
            self.first = until(lambda: children.read_text().split(), what="process 1 was started")[0]
            self.systemctl = [self.nsenter, "-t", self.first, "-m", "-p", control]
            until(lambda: self.tell("is-active", "default.target") == "active", what="systemd has booted")
            yield
        finally:
            outer.kill()
            outer.wait()

    def tell(self, *arguments):
        return subprocess.run([*self.systemctl, *arguments], capture_output=True, text=True).stdout.strip()

    @contextmanager
    def fresh(self):
        self.tell("reset-failed")
        self.tell("start", self.unit)
        self.tree = self.processes()
        yield
        self.tell("stop", self.unit)

    def processes(self):
        """The processes of the unit as /proc of its namespace shows them."""
        argv = [self.nsenter, "-t", self.first, "-m", "-p", "/bin/sh", "-c",
                f"for f in /proc/[0-9]*/cgroup; do grep -q {self.unit} $f 2>/dev/null && echo $f; done"]  # fmt: skip
        return subprocess.run(argv, capture_output=True, text=True).stdout.split()

    def params(self):
        return {"unit": self.unit}

    def settings(self):
        return {"systemctl": self.systemctl}

    def state(self):
        return self.tell("show", "--property", "ActiveState,SubState", self.unit)

    def contained(self):
        return bool(self.tree) and not self.processes()

    def someone_undoes(self):
        self.tell("start", self.unit)
        return True

    def failures(self):
        @contextmanager
        def slow():
            self.tell("start", "slow.service")
            yield
            self.tell("kill", "--signal=KILL", "slow.service")

        @contextmanager
        def ones(unit):
            self.tell("start", unit)
            yield
            self.tell("kill", "--signal=KILL", unit)

        return [
            Failure("no systemctl", "install it", settings={"systemctl": ["/nonexistent/systemctl"]}),
            Failure("no systemd", "privileges", settings={"systemctl": [*self.no_bus()]}),
            Failure("no such unit", "has no unit", params={"unit": "nothing.service"}),
            Failure(
                "a unit that refuses",
                "RefuseManualStop",
                params={"unit": "stubborn.service"},
                during=lambda: ones("stubborn.service"),
            ),
            Failure(
                "Halon's own unit",
                "Halon's own",
                params={"unit": "halond.service"},
                during=lambda: ones("halond.service"),
            ),
            Failure(
                "it does not end",
                "is still deactivating",
                params={"unit": "slow.service"},
                settings={"timeout": "600ms"},
                during=slow,
            ),
        ]

    def no_bus(self):
        return ["/usr/bin/env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent", self.nsenter,
                "-t", str(os.getpid()), "-m", self.systemctl[-1]]  # fmt: skip
