"""A real program of the operator: it blocks keys by files, and counts how often it did."""

from contextlib import contextmanager

from tests.actions.harness.base import Failure, Harness

_PROGRAM = """#!/bin/sh
case "$1" in
  block) grep -qsxF -e "$2" "$0.blocked" || echo "$2" >>"$0.blocked"; echo the-output-of-the-program ;;
  is-blocked) test -e "$0.blocked" && grep -qxF -e "$2" "$0.blocked" ;;
  hang) exec tail -f /dev/null ;;
  fail) echo a-password-in-the-errors >&2; exit 3 ;;
esac
"""


class RunHarness(Harness):
    action = "exec.run"

    @contextmanager
    def fresh(self):
        folder = self.tmp / f"site-{next(self.numbers)}"
        folder.mkdir()
        self.program = folder / "keys"
        self.program.write_text(_PROGRAM)
        self.program.chmod(0o755)
        self.blocked = folder / "keys.blocked"
        yield

    def params(self):
        return {"command": "block", "arguments": {"key": "sk-rm--rf-x"}}

    def settings(self):
        program = str(self.program)
        reads = [program, "is-blocked", "{key}"]
        return {
            "commands": {
                "block": {"argv": [program, "block", "{key}"], "verify": reads},
                "hang": {"argv": [program, "hang", "{key}"], "verify": reads, "timeout": "200ms"},
                "fail": {"argv": [program, "fail", "{key}"], "verify": reads},
                "blind": {"argv": [program, "block", "{key}"], "verify": [program + "-nothing"]},
                "path": {"argv": ["true", "{key}"]},
            }
        }

    def hidden(self):
        return ["a-password-in-the-errors", "the-output-of-the-program"]

    def state(self):
        return self.blocked.read_text() if self.blocked.exists() else ""

    def contained(self):
        return self.state() == "sk-rm--rf-x\n"

    def effects(self):
        return self.state().count("\n")

    def someone_undoes(self):
        self.blocked.unlink()
        return True

    def failures(self):
        return [
            Failure("a program that is not allowed", "config.toml", params={"command": "rm"}),
            Failure("too few arguments", "takes the arguments ['key']", params={"arguments": {}}),
            Failure("no absolute path", "absolute path", params={"command": "path"}),
            Failure("it does not end", "did not end within", params={"command": "hang"}),
            Failure("it fails", "exit code 3", params={"command": "fail"}),
            Failure("it can't be read back", "can't be told", params={"command": "blind"}),
        ]
