"""A real PostgreSQL with a role whose session is open while it is contained."""

import os
import pwd
import secrets
import shutil
import stat
import subprocess
from contextlib import contextmanager

import psycopg

from actions.credentials import postgres
from tests.actions.harness.base import Failure, Harness, silent
from tests.support.realparts import free_port, missing, need, server

_ADMIN = "the-admin-password-of-postgres"


def _as_postgres():
    """PostgreSQL does not run as root: the words that go before its commands."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        missing("no user `postgres`: apt-get install postgresql")
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]


class DisableLoginHarness(Harness):
    action = "postgres.disable-login"
    counts_effects = False  # a role that can't log in can't be kept from it once more

    @contextmanager
    def serve(self):
        self.port = free_port()
        data, secret = self.tmp / "data", self.tmp / "pw"
        self.tmp.chmod(0o755)
        data.mkdir()
        secret.write_text(_ADMIN)
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            shutil.chown(secret, "postgres", "postgres")
        argv = [*_as_postgres(), need("initdb"), "-D", str(data), "-U", "root", "-A", "scram-sha-256", "--no-sync"]
        subprocess.run([*argv, f"--pwfile={secret}", "--locale=C", "-E", "UTF8"], check=True, capture_output=True)
        argv = [*_as_postgres(), need("postgres"), "-D", str(data), "-p", str(self.port), "-k", "", "-h", "127.0.0.1"]
        with server([*argv, "-F", "-c", "log_statement=all"], log=self.tmp / "log", ready=self.up):
            self.root = self.login("root", _ADMIN)
            self.root.execute("CREATE ROLE weak LOGIN PASSWORD 'weak-password-here'")
            yield
            self.root.close()

    def up(self):
        try:
            self.login("root", _ADMIN).close()
        except psycopg.OperationalError:
            return False
        return True

    def login(self, user, password):
        dsn = f"host=127.0.0.1 port={self.port} dbname=postgres user={user} connect_timeout=5"
        return psycopg.connect(dsn, password=password, autocommit=True)

    @contextmanager
    def fresh(self):
        self.password = secrets.token_urlsafe(16)
        self.root.execute("DROP ROLE IF EXISTS trainer")
        self.root.execute(f"CREATE ROLE trainer LOGIN PASSWORD '{self.password}'")
        self.file = self.tmp / f"password-{next(self.numbers)}"
        self.file.write_text(self.password + "\n")
        self.file.chmod(0o600)
        self.session = self.login("trainer", self.password)
        yield
        self.session.close()
        self.root.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'trainer'")

    def params(self):
        return {"role": "trainer"}

    def settings(self):
        return {"port": self.port, "user": "root", "password_secret": "pg-root"}

    def secrets(self):
        return {"pg-root": _ADMIN, "weak": "weak-password-here", "wrong": "a-wrong-password"}

    def hidden(self):
        return [self.password, self.file.read_text().strip()]

    def state(self):
        select = "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'trainer'"
        return self.root.execute(select).fetchone(), self.file.read_text()

    def works(self, password):
        """Whether the user gets in with that password, on a new connection."""
        try:
            self.login("trainer", password).close()
        except psycopg.OperationalError:
            return False
        return True

    def alive(self):
        """Whether the session from before still works."""
        try:
            self.session.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def contained(self):
        return not self.alive() and not self.works(self.password)

    def someone_undoes(self):
        self.root.execute(f"ALTER ROLE trainer LOGIN PASSWORD '{self.password}'")
        return True

    def failures(self):
        @contextmanager
        def impatient():
            before, postgres._TIMEOUT_S = postgres._TIMEOUT_S, 2
            yield
            postgres._TIMEOUT_S = before

        return [
            Failure("nothing listens", "see whether it runs", settings={"port": 1}),
            Failure("nothing answers", "see whether it runs", settings={"port": silent(self)}, during=impatient),
            Failure("a wrong password", "password_secret", settings={"password_secret": "wrong"}),
            Failure("a secret that is not there", "add it to the secrets", settings={"password_secret": "none"}),
            Failure("too few rights", "privileges", settings={"user": "weak", "password_secret": "weak"}),
            Failure("no such role", "psql", params={"role": "nobody"}, settings=self.also("nobody")),
            Failure("Halon's own role", "Halon itself uses", params={"role": "root"}),
        ]

    def also(self, account):
        return {}


class RotatePasswordHarness(DisableLoginHarness):
    action = "postgres.rotate-password"

    def settings(self):
        return super().settings() | {"files": {"trainer": str(self.file)}}

    def also(self, account):
        return {"files": {account: str(self.file)}}

    def contained(self):
        new = self.file.read_text().strip()
        return (
            not self.alive()
            and not self.works(self.password)
            and new != self.password
            and self.works(new)
            and stat.S_IMODE(self.file.stat().st_mode) == 0o600
            and new not in (self.tmp / "log").read_text()
            and not list(self.tmp.glob(".password-*"))
        )

    def failures(self):
        return [
            *super().failures(),
            Failure("no file for the role", "add it to `files`", settings={"files": {}}),
            Failure("no such folder", "existing folder", settings={"files": {"trainer": "/nonexistent/x"}}),
        ]
