"""Turns a connected Unix socket into who stands at its other end, as the kernel tells it, and what they may do.

`control` asks once per connection. Root, the daemon's own user and members of the group may act; anyone else that the
socket's permissions let in may read.
"""

import grp
import os
import pwd
import socket
import struct

from engine.model import Struct

GROUP = "halon"
_SO_PEERGROUPS = getattr(socket, "SO_PEERGROUPS", 59)
_CREDENTIALS = struct.Struct("3i")
_GROUPS_BYTES_MAX = 1_024  # what Python's getsockopt can fetch: 256 groups


class Peer(Struct, frozen=True):
    """Who is connected. `name` is for the audit log: `alice (uid 1000, pid 4711)`."""

    uid: int
    pid: int
    name: str
    may_act: bool


def identify(connection: socket.socket, *, group: str = GROUP) -> Peer:
    """The peer of a connected Unix socket. Raises OSError where the kernel does not say."""
    pid, uid, gid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "unknown"
    return Peer(
        uid=uid,
        pid=pid,
        name=f"{name} (uid {uid}, pid {pid})",
        may_act=uid in {0, os.geteuid()} or group_id(group) in {gid, *_groups(connection, name, gid)},
    )


def group_id(group: str) -> int | None:
    """The id of a group, or None where this machine has none of that name."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None


def _groups(connection: socket.socket, name: str, gid: int) -> list[int]:
    """The groups of the peer at the time it connected; from the user database where the kernel can't list them."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES_MAX)
    except OSError:
        return os.getgrouplist(name, gid) if name != "unknown" else []
    return [each[0] for each in struct.iter_unpack("I", raw)]
