"""Who is at the other end of a real socket pair."""

import os
import socket

from engine.operate.peers import group_id, identify


def test_the_kernel_says_who_is_connected():
    """Our own process is known by uid and pid, and may act."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = identify(ours, group="no-such-group")
    assert (peer.uid, peer.pid, peer.may_act) == (os.geteuid(), os.getpid(), True)
    assert f"(uid {os.geteuid()}, pid {os.getpid()})" in peer.name


def test_a_group_that_does_not_exist_has_no_id():
    """Then nobody is a member of it."""
    assert group_id("no-such-group") is None
