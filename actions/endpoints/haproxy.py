"""HAProxy's runtime API over its admin socket: the state of servers, read and set.

Used by `haproxy.drain`, `haproxy.disable` and `ratelimit.client`. Source: HAProxy management guide, section 9.3.
"""

import asyncio
import re
from typing import Annotated

from msgspec import Meta

from actions.support import TargetError, describe
from engine.action import Params, Settings
from engine.model import Struct

_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 16 << 20
_MAINT, _DRAIN = 0x01, 0x08  # SRV_ADMF_FMAINT, SRV_ADMF_FDRAIN
NAME = r"^[A-Za-z0-9_.:-]{1,128}\Z"


class ServerParams(Params, frozen=True):
    """One server of one backend."""

    backend: Annotated[str, Meta(pattern=NAME, description="name of the backend")]
    server: Annotated[str, Meta(pattern=NAME, description="name of the server in it")]


class HaproxySettings(Settings, frozen=True):
    """`socket`: HAProxy's `stats socket`, which must have `level admin`."""

    socket: str = "/run/haproxy/admin.sock"


class Server(Struct, frozen=True):
    """One server: what it was set to (`ready`, `drain`, `maint`), and whether it serves."""

    name: str
    state: str
    up: bool

    @property
    def serves(self) -> bool:
        """Whether new connections go to it."""
        return self.up and self.state == "ready"


async def command(socket: str, text: str) -> str:
    """The answer to one command. Raises TargetError."""
    assert re.fullmatch(r"[^\n;]+", text), "one command a time"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(text.encode() + b"\n")
                await writer.drain()
                answer = await reader.read(_ANSWER_BYTES_MAX)
                while chunk := await reader.read(_ANSWER_BYTES_MAX):
                    answer += chunk
            finally:
                writer.close()
    except TimeoutError as error:
        raise TargetError(f"HAProxy did not answer on {socket} within {_TIMEOUT_S:g} s; see whether it runs") from error
    except OSError as error:
        text = f"can't reach HAProxy's admin socket {socket}: {describe(error)}"
        raise TargetError(f"{text}; start HAProxy, and set `socket` and its permissions", retryable=True) from error
    return answer.decode(errors="replace").strip()


async def servers(socket: str, backend: str) -> dict[str, Server]:
    """The servers of a backend by name. Raises TargetError."""
    answer = await command(socket, f"show servers state {backend}")
    lines = answer.splitlines()
    if len(lines) < 2 or not lines[1].startswith("# "):
        raise TargetError(f"HAProxy: {answer[:200] or 'no answer'}; check the name of the backend, `{backend}`")
    head = lines[1][2:].split()
    rows = (dict(zip(head, line.split(), strict=False)) for line in lines[2:] if line)
    return {each["srv_name"]: _server(each) for each in rows}


def _server(row: dict[str, str]) -> Server:
    admin = int(row["srv_admin_state"])
    state = "maint" if admin & _MAINT else "drain" if admin & _DRAIN else "ready"
    return Server(row["srv_name"], state, up=row["srv_op_state"] in {"1", "2"})


async def set_state(socket: str, params: ServerParams, state: str) -> None:
    """Sets a server to `ready`, `drain` or `maint`. Raises TargetError."""
    answer = await command(socket, f"set server {params.backend}/{params.server} state {state}")
    if answer:
        raise TargetError(f"HAProxy refused: {answer[:200]}; its `stats socket` must have `level admin`")


async def cut_sessions(socket: str, params: ServerParams) -> None:
    """Ends the established sessions of a server. Raises TargetError."""
    answer = await command(socket, f"shutdown sessions server {params.backend}/{params.server}")
    if answer:
        raise TargetError(f"HAProxy refused to end the sessions: {answer[:200]}")


async def sessions(socket: str, params: ServerParams) -> int:
    """How many sessions a server has. Raises TargetError."""
    answer = await command(socket, "show stat")
    lines = answer.splitlines()
    head = lines[0].lstrip("# ").split(",") if lines else []
    for line in lines[1:]:
        row = dict(zip(head, line.split(","), strict=False))
        if (row.get("pxname"), row.get("svname")) == (params.backend, params.server):
            return int(row["scur"])
    raise TargetError(f"HAProxy knows no {params.backend}/{params.server} any more; was it removed from its config?")
