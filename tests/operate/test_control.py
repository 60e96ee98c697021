"""The control socket: a real Unix socket with real peers, over a real database; only the daemon behind it is a fake."""

import contextlib
import grp
import http.client
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from engine.model import IncidentState, Resolution, Struct
from engine.operate import control
from engine.operate.client import Client, DaemonDown, _UnixConnection
from engine.operate.contract import Advance, Close, Reason, WatchKey
from engine.operate.control import ControlError
from engine.operate.shown import IncidentRow
from tests.support.realparts import need_root
from tests.support.steered import serving
from tests.support.stored import INCIDENT, LEASE, RESTORE, make_database
from tests.support.wait import until

STRANGER_UID = 65_534


@pytest.fixture
def place(tmp_path):
    """A socket path and a filled database."""
    return tmp_path / "control.sock", make_database(tmp_path / "halon.db")


def request(path, method, url, body=None, headers=None):
    """A raw request: status and decoded body."""
    connection = _UnixConnection(path)
    connection.request(method, url, body=body, headers=headers or {})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text) if response.headers["Content-Type"].startswith(
        "application/json"
    ) else text


def as_user(uid, gid, groups, function):
    """What `function` returns in a child process of another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            try:
                answer = function()
            except BaseException as error:  # noqa: BLE001
                answer = [type(error).__name__, str(error)]
            os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer)


@pytest.mark.parametrize(
    ("url", "shows"),
    [
        ("/v1/status", lambda body: body["stored"]["incidents"] == {"contained": 1} and body["live"]["pid"] == 4711),
        ("/v1/incidents", lambda body: [row["id"] for row in body] == [INCIDENT.id]),
        ("/v1/incidents?state=closed", lambda body: body == []),
        (f"/v1/incidents/{INCIDENT.id}", lambda body: body["steps"][0]["place"] == "contain.0"),
        ("/v1/leases", lambda body: [row["id"] for row in body] == [LEASE.id]),
        ("/v1/deadletters", lambda body: body[0]["reason"] == "not JSON"),
        ("/v1/deadletters/1", lambda body: body["encoding"] == "hex"),
        ("/metrics", lambda body: b"halon_outcomes_total" in body or b"# TYPE halon_outcomes counter" in body),
    ],
)
def test_views_are_read_from_the_real_database(place, url, shows):
    """Each view answers with what the store holds."""
    with serving(*place):
        status, body = request(place[0], "GET", url)
    assert status == 200
    assert shows(body), body


def test_every_act_reaches_the_daemon_with_who_did_it(place):
    """Acts are handed over with their details and the name, uid and pid that the kernel gave."""
    step = f"/v1/incidents/{INCIDENT.id}/steps/recover.0"
    who = f"root (uid 0, pid {os.getpid()})" if os.geteuid() == 0 else None
    with serving(*place) as steering:
        client = Client(place[0])
        client.act(f"/v1/leases/{LEASE.id}/release", Reason(reason="over"))
        client.act(f"{step}/approve")
        client.act(f"{step}/deny", Reason(reason="no"))
        client.act(f"/v1/incidents/{INCIDENT.id}/ack")
        client.act(f"/v1/incidents/{INCIDENT.id}/close", Close(resolution=Resolution.RESOLVED, reason="done"))
        client.act(f"/v1/incidents/{INCIDENT.id}/advance", Advance(to=IncidentState.RECOVERING, reason="go"))
        client.act(f"/v1/incidents/{INCIDENT.id}/reopen", Reason(reason="oops"))
        client.act("/v1/watch", WatchKey(key={"model": "m"}, for_us=5))
        client.act("/v1/unwatch", WatchKey(key={"model": "m"}, reason="over"))
        client.act("/v1/pause", Reason())
        client.act("/v1/resume")
        client.act("/v1/reload")
        client.act("/v1/deadletters/1/drop")
        client.act("/v1/deadletters/1/retry")
    assert [(act, *details) for act, _, *details in steering.acts] == [
        ("release", LEASE.id, "over"),
        ("approve", RESTORE.id),
        ("deny", RESTORE.id, "no"),
        ("ack", INCIDENT.id, ""),
        ("close", INCIDENT.id, "resolved", "done"),
        ("advance", INCIDENT.id, IncidentState.RECOVERING, "go"),
        ("reopen", INCIDENT.id, "oops"),
        ("watch", {"model": "m"}, 5, ""),
        ("unwatch", {"model": "m"}, "over"),
        ("pause", ""),
        ("resume",),
        ("reload",),
        ("drop", 1),
        ("retry", 1),
    ]
    assert {act[1] for act in steering.acts} == {who or steering.acts[0][1]}
    assert f"pid {os.getpid()})" in steering.acts[0][1]


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "says"),
    [
        ("GET", "/v1/nothing", None, 404, "Not Found"),
        ("GET", "/v1/incidents/inc-none", None, 404, "there is no incident `inc-none`"),
        ("GET", "/v1/incidents?limit=0", None, 400, "limit must be"),
        ("GET", "/v1/incidents?limit=1e3", None, 400, "limit must be"),
        ("GET", "/v1/incidents?state=%1b", None, 400, "is no state"),
        ("GET", "/v1/deadletters/x", None, 404, "Not Found"),
        ("POST", "/v1/incidents", b"{}", 405, "Method Not Allowed"),
        ("POST", "/v1/pause", b"{", 400, "the body is not what is asked for"),
        ("POST", "/v1/pause", b'{"raison": ""}', 400, "unknown field `raison`"),
        ("POST", "/v1/resume", b'{"reason": ""}', 400, "unknown field `reason`"),
        ("POST", "/v1/pause", b'{"reason": "%s"}' % (b"x" * 70_000), 413, "Maximum request body size"),
        ("POST", f"/v1/incidents/{INCIDENT.id}/steps/recover.7/approve", b"{}", 404, "has no step `recover.7`"),
        ("POST", "/v1/incidents/inc-none/steps/recover.7/deny", b"{}", 404, "there is no incident `inc-none`"),
        ("POST", "/v1/leases/lease-none/release", b"{}", 404, "there is no lease `lease-none`"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(place, method, url, body, status, says):
    """What makes no sense gets a 4xx that says why, and nothing is done."""
    with serving(*place) as steering:
        got, answer = request(place[0], method, url, body)
    assert got == status
    assert says in (answer.get("error") or answer["reason"])
    assert all(act[0] == "release" for act in steering.acts)


def test_the_socket_is_for_its_owner_and_group_alone(place):
    """The socket file has mode 0660 from the moment it can be connected to, and goes when the server stops."""
    with serving(*place):
        assert stat.S_IMODE(place[0].stat().st_mode) == 0o660
    assert not place[0].exists()


def test_a_stranger_is_kept_out_by_the_kernel(place):
    """Without the socket's group not even reading is possible."""
    need_root("another user is impersonated")
    place[0].parent.chmod(0o755)
    with serving(*place) as steering:
        answer = as_user(STRANGER_UID, STRANGER_UID, [], lambda: request(place[0], "GET", "/v1/status"))
    assert answer[0] == "ClientError"
    assert "join the group `halon`" in answer[1]
    assert steering.acts == []


@pytest.mark.parametrize(
    ("groups_of_peer", "may_act"),
    [("none", False), ("primary", True), ("supplementary", True)],
)
def test_only_the_group_may_act_and_others_may_read(tmp_path, monkeypatch, groups_of_peer, may_act):
    """A peer that the socket's permissions let in reads; it acts only as a member of the group, primary or not."""
    need_root("another user is impersonated")
    socket_path, database = tmp_path / "control.sock", make_database(tmp_path / "halon.db")
    # However deep the test's folder lies: with several workers it is one deeper.
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    group = next(each for each in grp.getgrall() if each.gr_gid not in {0, STRANGER_UID})
    gid = group.gr_gid if groups_of_peer == "primary" else STRANGER_UID
    groups = [group.gr_gid] if groups_of_peer == "supplementary" else []
    with serving(socket_path, database, group=group.gr_name) as steering:
        assert socket_path.stat().st_gid == group.gr_gid
        socket_path.chmod(0o666)  # a machine whose administrator lets everyone look
        seen = as_user(STRANGER_UID, gid, groups, lambda: request(socket_path, "GET", "/v1/status")[0])
        acted, body = as_user(STRANGER_UID, gid, groups, lambda: request(socket_path, "POST", "/v1/pause", b"{}"))
    assert seen == 200
    assert acted == (200 if may_act else 403)
    assert len(steering.acts) == int(may_act)
    if may_act:
        assert f"uid {STRANGER_UID}" in steering.acts[0][1]
    else:
        assert f"members of the group `{group.gr_name}` may act" in body["error"]


def test_a_silent_connection_is_dropped(place, monkeypatch):
    """Who connects and says nothing, or half a request, is hung up on; others are served meanwhile."""
    monkeypatch.setattr(control, "ARRIVE_S_MAX", 0.2)
    with serving(*place):
        silent, halfway = (socket.socket(socket.AF_UNIX) for _ in range(2))
        for each in (silent, halfway):
            each.settimeout(10)
            each.connect(str(place[0]))
        halfway.send(b"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert request(place[0], "GET", "/v1/status")[0] == 200
        assert b"408" in halfway.recv(1_000)
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        silent.close()
        halfway.close()


def test_connections_are_bounded(place, monkeypatch):
    """Past the limit a new connection is closed at once; room comes back when an old one ends."""
    monkeypatch.setattr(control, "CONNECTIONS_MAX", 2)
    with serving(*place):
        held = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for each in held:
            each.connect(str(place[0]))

        def answered():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return request(place[0], "GET", "/v1/status")[0] == 200
            return False

        assert not answered()
        for each in held:
            each.close()
        until(answered, what="a place is free again")


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(place, tmp_path):
    """What a killed daemon left behind is no obstacle; a running daemon, or another kind of file, is."""
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(place[0]))
    left_behind.close()
    with serving(*place):
        with pytest.raises(ControlError, match="another daemon answers"):
            control.bind(place[0])
        assert request(place[0], "GET", "/v1/status")[0] == 200
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ControlError, match="is no socket"):
        control.bind(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(ControlError, match="longer than the 107 bytes"):
        control.bind(Path("/" + "x" * 200))
    with pytest.raises(ControlError, match="can't be made: No such file"):
        control.bind(tmp_path / "missing" / "control.sock")


def test_a_missing_daemon_is_told_apart_from_a_refusal(tmp_path):
    """No socket, and a socket on which nobody listens, both say that no daemon answers there."""
    with pytest.raises(DaemonDown, match=r"no daemon answers on .*none\.sock \(No such file"):
        Client(tmp_path / "none.sock").get("/v1/incidents", tuple[IncidentRow, ...])
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(tmp_path / "old.sock"))
    left_behind.close()
    with pytest.raises(DaemonDown, match="Connection refused"):
        Client(tmp_path / "old.sock").act("/v1/pause", Struct())
