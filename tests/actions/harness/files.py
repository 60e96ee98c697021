"""Real files: a token with the list of hashes that its server takes, and evidence to keep."""

import hashlib
import os
import secrets
import stat
from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class RotateTokenHarness(Harness):
    action = "file.rotate-token"

    @contextmanager
    def fresh(self):
        self.folder = self.tmp / f"token-{next(self.numbers)}"
        self.folder.mkdir()
        self.token, self.accepted = self.folder / "token", self.folder / "accepted"
        self.old, self.neighbour = secrets.token_hex(16), _digest("another client's token")
        self.token.write_text(self.old + "\n")
        self.token.chmod(0o600)
        self.accepted.write_text(f"# clients\n{self.neighbour}\n{_digest(self.old)}\n")
        yield

    def params(self):
        return {"path": str(self.token), "accepted": str(self.accepted)}

    def hidden(self):
        return [self.old, self.token.read_text().strip()] if self.token.exists() else [self.old]

    def state(self):
        return {path.name: (path.read_text(), stat.S_IMODE(path.stat().st_mode)) for path in self.folder.iterdir()}

    def takes(self, token):
        """What the server does: hash the token it is shown and look it up."""
        return _digest(token) in self.accepted.read_text().split()

    def contained(self):
        new = self.token.read_text().strip()
        return (
            not self.takes(self.old)
            and self.takes(new)
            and new != self.old
            and self.neighbour in self.accepted.read_text()
            and stat.S_IMODE(self.token.stat().st_mode) == 0o600
            and sorted(os.listdir(self.folder)) == ["accepted", "token"]
        )

    def effects(self):
        # Each token ever made known to the server is an effect: the old one, the neighbour's and one new one.
        return len([line for line in self.accepted.read_text().splitlines() if not line.startswith("#")]) - 1

    def someone_undoes(self):
        self.accepted.write_text(self.accepted.read_text() + _digest(self.old) + "\n")
        return True

    def failures(self):
        @contextmanager
        def read_only():
            self.accepted.unlink()
            self.accepted.mkdir()
            yield

        link = self.folder / "link"
        link.symlink_to(self.token)
        return [
            Failure("no such file", "No such file", params={"path": str(self.folder / "nothing")}),
            Failure("a file that is no token of this server", "belong together", params={"path": str(self.accepted)}),
            Failure("a symbolic link", "name the file itself", params={"path": str(link)}),
            Failure("outside the allowed folders", "config.toml", settings={"folders": ["/nonexistent"]}),
            Failure("the list can't be written", "run it again", during=read_only, at_apply=True),
        ]


class CaptureHarness(Harness):
    action = "evidence.capture"

    @contextmanager
    def fresh(self):
        self.folder = self.tmp / f"run-{next(self.numbers)}"
        (self.folder / "sub").mkdir(parents=True)
        (self.folder / "config.json").write_text('{"lr": 0.1}')
        (self.folder / "weights.npz").write_bytes(os.urandom(3 << 20))
        (self.folder / "sub" / "log.txt").write_text("step 1\n")
        os.environ["HALON_TEST_SECRET"] = "a-secret-of-the-environment"
        yield

    def params(self):
        return {"paths": [str(self.folder / "config.json"), str(self.folder / "*.npz"), str(self.folder / "sub")],
                "pid": os.getpid(), "commands": ["kernel"]}  # fmt: skip

    def settings(self):
        programs = {
            "kernel": ["/bin/uname", "-s"],
            "fails": ["/bin/false"],
            "hangs": ["/usr/bin/tail", "-f", "/dev/null"],
        }
        return {"commands": programs | {"relative": ["uname"]}, "command_timeout": "300ms"}

    def hidden(self):
        return ["a-secret-of-the-environment"]

    def state(self):
        files = sorted(path for path in self.tmp.glob("state/*/evidence/**/*") if path.is_file())
        return [(str(path), path.stat().st_mtime_ns) for path in files], [
            (path.read_bytes(), path.stat().st_mtime_ns) for path in self.folder.rglob("*") if path.is_file()
        ]

    def kept(self):
        return [path for path in self.tmp.glob(f"state/*/evidence/*/*/files{self.folder}/**/*") if path.is_file()]

    def contained(self):
        copies = {str(path).partition("/files")[2]: path for path in self.kept()}
        originals = [path for path in self.folder.rglob("*") if path.is_file()]
        said = [path.read_text() for path in self.tmp.glob("state/*/evidence/*/*/commands/kernel")]
        return (
            "Linux\n" in said
            and len(copies) == len(originals) == 3
            and all(
                copies[str(path)].read_bytes() == path.read_bytes()
                and stat.S_IMODE(copies[str(path)].stat().st_mode) == 0o400
                for path in originals
            )
        )

    def effects(self):
        return len([path for path in self.tmp.glob("state/*/evidence/*/*") if (path / f"files{self.folder}").exists()])

    def someone_undoes(self):
        return False  # write-once: a changed copy is seen, see the twin test, but not written again

    def failures(self):
        link = self.folder / "passwd"
        link.symlink_to("/etc/hostname")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        one = str(self.folder / "config.json")
        return [
            Failure(
                "nothing is there",
                "nothing to capture",
                params={"paths": ["/nonexistent/x"], "pid": None, "commands": []},
            ),
            Failure("a command that is not allowed", "config.toml", params={"commands": ["rm"]}),
            Failure("no absolute path", "absolute path", params={"commands": ["relative"]}),
            Failure("a command that fails", "exit code 1", params={"commands": ["fails"]}),
            Failure("a command that does not end", "did not end within", params={"commands": ["hangs"]}),
            Failure("one of two is missing", "/nonexistent/x", params={"paths": [one, "/nonexistent/x"]}),
            Failure("a link out of its folder", "leads out", params={"paths": [one, str(link)]}),
            Failure("no plain file", "not a plain file", params={"paths": [one, str(fifo)]}),
            Failure("too large", "file_bytes_max", settings={"file_bytes_max": 1000}),
            Failure("too large together", "total_bytes_max", settings={"total_bytes_max": 1000}),
            Failure("outside the allowed folders", "config.toml", settings={"folders": ["/nonexistent"]}),
        ]
