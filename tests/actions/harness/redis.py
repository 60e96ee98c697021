"""A real Redis with a user who is logged in while its account is contained."""

import hashlib
import secrets
import stat
from contextlib import contextmanager

import redis

from actions.credentials import redis as acl
from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import free_port, listening, need, server

_ADMIN = "the-admin-password-of-redis"


class DisableUserHarness(Harness):
    action = "redis.disable-user"
    counts_effects = False  # an account that is off can't be turned off once more

    @contextmanager
    def serve(self):
        self.port = free_port()
        (self.tmp / "users.acl").write_text(
            f"user default off\nuser root on >{_ADMIN} ~* &* +@all\nuser weak on >weak-password-here ~* +ping\n"
        )
        argv = [need("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.tmp)]
        argv += ["--aclfile", str(self.tmp / "users.acl"), "--save", ""]
        with server(argv, log=self.tmp / "redis.log", ready=lambda: listening(self.port)):
            self.root = self.login("root", _ADMIN)
            yield
            self.root.close()

    def login(self, user, password):
        return redis.Redis(port=self.port, username=user, password=password, decode_responses=True, retry=None)

    @contextmanager
    def fresh(self):
        self.password = secrets.token_urlsafe(16)
        self.root.acl_deluser("trainer")
        self.root.execute_command("ACL", "SETUSER", "trainer", "on", f">{self.password}", "~*", "+@all")
        self.file = self.tmp / f"password-{next(self.numbers)}"
        self.file.write_text(self.password + "\n")
        self.file.chmod(0o600)
        self.session = self.login("trainer", self.password)
        assert self.session.set("step", 1)
        yield
        self.session.close()

    def params(self):
        return {"user": "trainer"}

    def settings(self):
        return {"port": self.port, "user": "root", "password_secret": "redis-root"}

    def secrets(self):
        return {"redis-root": _ADMIN, "weak": "weak-password-here", "wrong": "a-wrong-password"}

    def hidden(self):
        return [self.password, self.file.read_text().strip()]

    def state(self):
        user = self.root.acl_getuser("trainer")
        return user["flags"], user["passwords"], user["commands"], self.file.read_text()

    def works(self, password):
        """Whether the user gets in with that password, on a new connection."""
        client = self.login("trainer", password)
        try:
            return client.ping()
        except redis.AuthenticationError:
            return False
        finally:
            client.close()

    def alive(self):
        """Whether the connection from before still works."""
        return any(each["user"] == "trainer" for each in self.root.client_list())

    def contained(self):
        return not self.alive() and not self.works(self.password)

    def someone_undoes(self):
        self.root.execute_command("ACL", "SETUSER", "trainer", "on", f">{self.password}")
        return True

    def failures(self):
        @contextmanager
        def impatient():
            before, acl._TIMEOUT_S = acl._TIMEOUT_S, 0.3
            yield
            acl._TIMEOUT_S = before

        return [
            Failure("nothing listens", "see whether it runs", settings={"port": 1}),
            Failure("nothing answers", "see whether it runs", settings={"port": silent(self)}, during=impatient),
            Failure("a wrong password", "password_secret", settings={"password_secret": "wrong"}),
            Failure("a secret that is not there", "add it to the secrets", settings={"password_secret": "none"}),
            Failure("too few rights", "Redis refused ACL", settings={"user": "weak", "password_secret": "weak"}),
            Failure("no such account", "ACL LIST", params={"user": "nobody"}, settings=self.also("nobody")),
            Failure("Halon's own account", "Halon itself uses", params={"user": "root"}),
        ]

    def also(self, account):
        return {}


class RotatePasswordHarness(DisableUserHarness):
    action = "redis.rotate-password"
    counts_effects = True

    def settings(self):
        return super().settings() | {"files": {"trainer": str(self.file)}}

    def also(self, account):
        return {"files": {account: str(self.file)}}

    def effects(self):
        return len(self.root.acl_getuser("trainer")["passwords"]) + len(list(self.tmp.glob(".password-*")))

    def contained(self):
        new = self.file.read_text().strip()
        return (
            not self.alive()
            and not self.works(self.password)
            and new != self.password
            and self.works(new)
            and stat.S_IMODE(self.file.stat().st_mode) == 0o600
            and self.root.acl_getuser("trainer")["passwords"] == [hashlib.sha256(new.encode()).hexdigest()]
        )

    def failures(self):
        @contextmanager
        def folder_gone():
            self.file.unlink()
            self.file.mkdir()
            yield
            self.file.rmdir()
            self.file.write_text("")

        return [
            *super().failures(),
            Failure("no file for the account", "add it to `files`", settings={"files": {}}),
            Failure("no such folder", "existing folder", settings={"files": {"trainer": "/nonexistent/x"}}),
            Failure("the file can't be replaced", "let halond read it", during=folder_gone, at_apply=True),
        ]
