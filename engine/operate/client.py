"""Turns a command's question into a request on the control socket and its answer back into structs; synchronous.

`engine.cli` calls it. Whatever goes wrong is a `ClientError` whose text says what was tried and what to do.
"""

import http.client
import socket
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from engine.model import Struct
from engine.operate.contract import Act, Handed, Handing

CONNECT_S_MAX = 5.0
ANSWER_S_MAX = 130.0
ANSWER_BYTES_MAX = 64 * 1_048_576

T = TypeVar("T")


class ClientError(Exception):
    """The daemon did not do or answer it."""


class DaemonDown(ClientError):  # noqa: N818  # the state of affairs, which some commands can live with
    """Nobody answers on the socket."""


class NotThere(ClientError):  # noqa: N818  # as above
    """The daemon knows no such thing."""


class Client:
    """Speaks to the daemon whose control socket is `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, path: str, answer: type[T], **query: str | None) -> T:
        """A view. Raises DaemonDown, NotThere, ClientError."""
        given = {name: value for name, value in query.items() if value is not None}
        status, body = self._request("GET", f"{path}?{urlencode(given)}" if given else path)
        if status != 200:
            raise (NotThere if status == 404 else ClientError)(_error_text(body, status))
        return _decode(body, answer)

    def act(self, path: str, body: Struct | None = None) -> Act:
        """A steering act. Raises DaemonDown, ClientError."""
        return self._post(path, body, Act)  # type: ignore[arg-type]  # a union is a type to msgspec

    def hand_in(self, handed: Handed) -> Handing:
        """A part of a recording, taken in by the daemon or not. Raises DaemonDown, ClientError."""
        return self._post("/v1/events", handed, Handing)  # type: ignore[arg-type]  # as above

    def _post(self, path: str, body: Struct | None, answer: type[T]) -> T:
        status, text = self._request("POST", path, msgspec.json.encode(body) if body is not None else b"{}")
        if status in {200, 404, 409} and b'"error"' not in text[:9]:
            return _decode(text, answer)
        raise ClientError(_error_text(text, status))

    def _request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body=body)
            response = connection.getresponse()
            text = response.read(ANSWER_BYTES_MAX + 1)
        except TimeoutError as error:
            raise ClientError(f"the daemon on {self._path} does not answer: look at its log, or at `ps`") from error
        except (OSError, http.client.HTTPException) as error:
            raise ClientError(f"the daemon on {self._path} broke off: {error}; try again") from error
        finally:
            connection.close()
        if len(text) > ANSWER_BYTES_MAX:
            raise ClientError(f"the answer is longer than {ANSWER_BYTES_MAX} bytes: ask for less with --limit")
        return response.status, text


def segment(text: str) -> str:
    """A part of a path, with everything quoted that would end it."""
    return quote(text, safe="") or "-"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("halon", timeout=ANSWER_S_MAX)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(CONNECT_S_MAX)
        try:
            sock.connect(str(self._path))
        except PermissionError as error:
            sock.close()
            raise ClientError(
                f"you may not speak to the daemon on {self._path}: join the group `halon`, or use sudo"
            ) from error
        except OSError as error:
            sock.close()
            raise DaemonDown(f"no daemon answers on {self._path} ({error.strerror or error})") from error
        sock.settimeout(self.timeout)
        self.sock = sock


def _decode(body: bytes, answer: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=answer)
    except msgspec.DecodeError as error:
        raise ClientError(f"the daemon speaks another version of Halon than this command: {error}") from error


def _error_text(body: bytes, status: int) -> str:
    try:
        decoded: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        decoded = None
    text = decoded.get("error") if isinstance(decoded, dict) else None
    return str(text or f"the daemon answered with status {status}")
