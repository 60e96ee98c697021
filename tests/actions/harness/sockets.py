"""A small TCP server that answers each line with its name, and a client that says what became of a connection."""

import socket
import socketserver
import threading
from contextlib import contextmanager


class _Echo(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            for _ in self.rfile:
                self.wfile.write(self.server.word.encode() + b"\n")
        except OSError:
            pass


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


@contextmanager
def answering(word, host="127.0.0.1", port=0):
    """A server that answers `word` to each line; yields its port."""
    with _Server((host, port), _Echo) as server:
        server.word = word
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def connect(host, port, timeout_s=1.0):
    """A connection, or None where it is refused or not answered."""
    try:
        return socket.create_connection((host, port), timeout=timeout_s)
    except OSError:
        return None


def ask(connection):
    """What the other side answers now; empty where the connection is cut."""
    try:
        connection.sendall(b"who\n")
        return connection.recv(100).decode().strip()
    except OSError:
        return ""
