"""The client against sockets that misbehave."""

import socket
import threading
from contextlib import contextmanager

import pytest

from engine.operate import client
from engine.operate.client import Client, ClientError, segment
from engine.operate.shown import Status


@contextmanager
def answering(path, answer):
    """A socket on which one connection is answered with `answer`, or never when it is None."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve():
        taken, _ = listener.accept()
        if answer is not None:
            taken.recv(65_536)
            taken.sendall(answer)
            taken.close()
        else:
            held.append(taken)

    held = []
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        for each in (*held, listener):
            each.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\n{}", "speaks another version of Halon"),
        (b"", "broke off"),
        (b"garbage\r\n\r\n", "broke off"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno", "answered with status 503"),
        (b'HTTP/1.1 400 No\r\nContent-Length: 23\r\n\r\n{"error": "state is a"}', "state is a"),
    ],
)
def test_a_strange_answer_is_an_error_in_words(tmp_path, answer, says):
    """Whatever comes back, people read a sentence and no traceback."""
    with answering(tmp_path / "s", answer), pytest.raises(ClientError, match=says):
        Client(tmp_path / "s").get("/v1/status", Status)


def test_a_daemon_that_hangs_is_given_up_on(tmp_path, monkeypatch):
    """A daemon that takes the connection and never answers costs a bounded time."""
    monkeypatch.setattr(client, "ANSWER_S_MAX", 0.1)
    with answering(tmp_path / "s", None), pytest.raises(ClientError, match="does not answer"):
        Client(tmp_path / "s").get("/v1/status", Status)


@pytest.mark.parametrize(("text", "quoted"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("", "-"), ("é", "%C3%A9"), ("..", "..")])
def test_an_argument_stays_one_part_of_the_path(text, quoted):
    """What a person types can't name another path."""
    assert segment(text) == quoted
