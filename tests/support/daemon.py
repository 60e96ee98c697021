"""`halon run` as a process of its own: files in a folder to a daemon that tests feed, question, kill and start again.

Nothing here reaches into the process: it is fed over a broker, asked over its control socket and by `halon …`
commands, and its database is read by a connection that cannot write.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.operate.client import Client, ClientError
from engine.operate.shown import Status
from tests.support.wait import until

START_S = 60.0
"""How long a start may take where several tests share two processors."""
STOP_S = 20.0
_HALON = Path(sysconfig.get_path("scripts")) / "halon"


class Daemon:
    """`with Daemon(tmp_path, port=broker.port, rules="…") as halon:` runs until the block ends.

    `rules` is the text of one rule file, or texts by file name. `config` is TOML that is put at the end of config.toml;
    `daemon`, `mqtt` and `intake` are lines for these tables. `broker.port` of None leaves `[[mqtt]]` to `config`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None,
        rules: str | Mapping[str, str],
        config: str = "",
        daemon: str = "",
        mqtt: str = "",
        intake: str = "",
        state: Path | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.state = state or folder / "state"
        self.rules = folder / "rules"
        self.config = folder / "config.toml"
        self.log = folder / "halon.log"
        self.database = self.state / "halon.db"
        self.arguments = list(arguments)
        self.environment = {**os.environ, **(environment or {})}
        # The path of a Unix socket is 107 bytes at most, and pytest's folders are long.
        self._short = Path(tempfile.mkdtemp(prefix="halon-"))
        self.socket = self._short / "control.sock"
        self.client = Client(self.socket)
        self._process: subprocess.Popen[bytes] | None = None
        self.rules.mkdir(parents=True, exist_ok=True)
        self.write_rules(rules)
        door = f'[[mqtt]]\nname = "local"\nport = {port}\nreconnect_max = "1s"\n{mqtt}\n' if port else ""
        self.config.write_text(
            f"[daemon]\nstate_dir = {json.dumps(str(self.state))}\ncontrol_socket = {json.dumps(str(self.socket))}\n"
            f'log_format = "json"\n{daemon}\n[rules]\npaths = [{json.dumps(str(self.rules))}]\n'
            f"[intake]\n{intake}\n{door}{config}"
        )

    def __enter__(self) -> "Daemon":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def write_rules(self, rules: str | Mapping[str, str]) -> None:
        """Put these texts in the place of the rule files."""
        for each in self.rules.glob("*.toml"):
            each.unlink()
        for name, text in ({"rules.toml": rules} if isinstance(rules, str) else rules).items():
            (self.rules / name).write_text(text)

    # --- Its life ---------------------------------------------------------------------------------------------------

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start the process and do not wait for it to be ready."""
        assert self._process is None, "runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(_HALON), "run", "--config", str(self.config), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        return self._process

    def start(self, *, connected: bool = True) -> None:
        """Start it and wait until it answers; with `connected` also until all its doors are open."""
        process = self.launch()
        until(lambda: process.poll() is not None or self.answers(), within_s=START_S, what="the daemon answers")
        if connected:
            until(
                lambda: process.poll() is not None or self.connected(), within_s=START_S, what="the doors are connected"
            )
        assert process.poll() is None, f"the daemon ended with {process.returncode}:\n{self.tail()}"

    def kill(self) -> None:
        """kill -9: no clean-up of any kind."""
        process, self._process = self._process, None
        assert process is not None, "does not run"
        process.kill()
        process.wait()

    def restart(self) -> None:
        """kill -9, and a new start on the same state."""
        self.kill()
        self.start()

    def stop(self, *, within_s: float = STOP_S) -> int:
        """SIGTERM; the exit code."""
        process = self._process
        assert process is not None, "does not run"
        process.terminate()
        try:
            code = process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there {within_s:g} s after SIGTERM:\n{self.tail()}") from None
        self._process = None
        return code

    def wait(self, *, within_s: float = START_S) -> int:
        """Wait for the process to end by itself; its exit code."""
        process = self._process
        assert process is not None, "does not run"
        code = process.wait(within_s)
        self._process = None
        return code

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def close(self) -> None:
        """End it whatever state it is in, and remove what lies outside of the test's folder."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        shutil.rmtree(self._short, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def rss_mib(self) -> float:
        """Its resident memory."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1_024
        raise AssertionError("no VmRSS: the process is gone")

    # --- What it says -----------------------------------------------------------------------------------------------

    def answers(self) -> Status | None:
        """Its status, or None where nobody answers."""
        try:
            return self.client.get("/v1/status", Status)
        except ClientError:
            return None

    def status(self) -> Status:
        """Its status; it must answer."""
        found = self.answers()
        assert found is not None, f"nobody answers:\n{self.tail()}"
        assert found.live is not None
        return found

    def connected(self) -> bool:
        """Whether every door is open."""
        found = self.answers()
        return found is not None and found.live is not None and all(door.connected for door in found.live.doors)

    def halon(self, *arguments: str, code: int | None = 0) -> str:
        """The standard output of `halon ARGUMENTS --config …`, which must end with `code` (None: any)."""
        found = self.run_command(*arguments)
        assert code is None or found.returncode == code, f"{arguments}: exit {found.returncode}\n{found.stderr}"
        return found.stdout

    def run_command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`halon ARGUMENTS --config …` as a process."""
        return subprocess.run(
            [str(_HALON), *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=START_S,
            env=self.environment,
            check=False,
        )

    def ask(self, *arguments: str, code: int | None = 0) -> Any:
        """The decoded answer of `halon ARGUMENTS --json`."""
        return json.loads(self.halon(*arguments, "--json", code=code))

    def tail(self, lines: int = 25) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        """Its log lines as JSON, all of them or those of one event; a line that is no JSON fails."""
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in found if not event or line.get("event") == event]

    # --- What its database holds ------------------------------------------------------------------------------------

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Rows of its database, read while it runs; none where there is no database yet."""
        try:
            connection = sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True, timeout=10)
            try:
                return connection.execute(sql, values).fetchall()
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) or "unable to open" in str(error):
                return []
            raise

    def one(self, sql: str, *values: object) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(sql, *values)
        return found[0][0] if found else None

    def events_committed(self) -> int:
        """How many different events are durable."""
        return int(self.one("SELECT coalesce(sum(length(digests)), 0) / 16 FROM seen") or 0)

    def intents(self) -> list[tuple[str, str]]:
        """(id, state) of every intent."""
        return [tuple(row) for row in self.rows("SELECT id, state FROM intents ORDER BY id")]

    def unsettled(self) -> int:
        """How many intents still have a way to go by themselves."""
        return int(self.one("SELECT count(*) FROM intents WHERE state IN ('intended', 'applying', 'applied')") or 0)
