"""Turns a command's question into the daemon's answer, or the database's where no daemon runs; acts need the daemon.

The same view functions answer in both cases (`engine.operate.views`); a line on standard error says which it was.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.cli.output import emit, note, say
from engine.cli.setup import Failure, Setup, read_places
from engine.diagnostics import render
from engine.model import Struct
from engine.operate.client import Client, ClientError, DaemonDown, NotThere
from engine.operate.contract import Done, NotDone, NotFound
from engine.operate.views import BadQuery
from engine.store.connection import Connection, open_readonly
from engine.store.errors import StoreError

T = TypeVar("T")


class Daemon:
    """What answers for one config: the daemon at its control socket, else its database."""

    def __init__(self, config_path: Path | None) -> None:
        self.setup: Setup = read_places(config_path)
        self._client = Client(self.setup.places.control_socket)

    def view(
        self,
        path: str,
        answer: type[T],
        offline: Callable[[Connection], T | None],
        *,
        what: str = "",
        **query: str | None,
    ) -> T:
        """A view; `what` names the one thing that is asked for. Raises Failure with what to do."""
        try:
            return self._client.get(path, answer, **query)
        except DaemonDown as down:
            return self._offline(down, offline, what)
        except NotThere as error:
            raise Failure(f"there is no {what}" if what else str(error)) from error
        except ClientError as error:
            raise Failure(str(error)) from error

    def act(self, path: str, body: Struct | None = None, *, as_json: bool) -> None:
        """A steering act; prints what became of it. Raises Failure where it was not done."""
        try:
            answer = self._client.act(path, body)
        except DaemonDown as down:
            raise Failure(f"{down}; {self._how_to_start()}") from down
        except (ClientError, NotThere) as error:
            raise Failure(str(error)) from error
        if as_json:
            emit(answer)
        match answer:
            case Done(detail=detail):
                if not as_json:
                    say(detail, "green")
            case NotDone(reason=reason, diagnostics=diagnostics):
                raise Failure(f"{reason}\n\n{render(diagnostics)}" if diagnostics and not as_json else reason)
            case NotFound(reason=reason):
                raise Failure(reason)

    def _offline(self, down: DaemonDown, offline: Callable[[Connection], T | None], what: str) -> T:
        database = self.setup.places.database
        if not _exists(database):
            raise Failure(f"{down}, and there is no database {database}; {self._how_to_start()}") from down
        try:
            connection = open_readonly(database)
            try:
                found = offline(connection)
            finally:
                connection.close()
        except BadQuery as error:
            raise Failure(str(error)) from error
        except StoreError as error:
            raise Failure(f"{down}, and the database can't be read: {error}") from error
        if found is None:
            raise Failure(f"there is no {what}\n(no daemon answers; this was looked up in {database})")
        note(f"note: {down}; this is what the database {database} holds", "yellow")
        return found

    def _how_to_start(self) -> str:
        return (
            f"start it with `halon run --config {self.setup.config_path}` or `systemctl start halond`, or name"
            " another config with --config"
        )


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError as error:
        raise Failure(f"{path} may not be read by you: use sudo, or start the daemon") from error
