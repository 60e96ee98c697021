"""A language server over its standard streams: what it offers at the cursor in a text, as an editor would show it."""

import json
import subprocess
from pathlib import Path


def completions(argv: list[str], folder: Path, text: str) -> list[str]:
    """The labels that the server offers at the `|` in `text`, a TOML file in `folder`."""
    before, _, after = text.partition("|")
    line, character = before.count("\n"), len(before) - before.rfind("\n") - 1
    path = folder / "edited.toml"
    path.write_text(before + after, encoding="utf-8")
    document = {"uri": path.as_uri()}
    root = {"uri": folder.as_uri(), "name": "rules"}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder
    ) as process:
        server = _Server(process, root)
        server.ask(
            "initialize",
            {"processId": None, "rootUri": root["uri"], "capabilities": {}, "workspaceFolders": [root]},
        )
        server.say("initialized", {})
        opened = {"languageId": "toml", "version": 1, "text": before + after}
        server.say("textDocument/didOpen", {"textDocument": document | opened})
        # Only then has it read the schema; before that it offers nothing.
        server.hear("textDocument/publishDiagnostics")
        place = {"line": line, "character": character}
        found = server.ask("textDocument/completion", {"textDocument": document, "position": place})
        server.ask("shutdown", None)
        server.say("exit", None)
    items = found["items"] if isinstance(found, dict) else found or []
    return [each["label"] for each in items]


class _Server:
    """JSON-RPC 2.0 with the headers of the Language Server Protocol, one request at a time."""

    def __init__(self, process, root):
        self._process = process
        self._root = root
        self._asked = 0

    def say(self, method, params):
        self._send({"method": method, "params": params})

    def ask(self, method, params):
        """The result of a request."""
        self._asked += 1
        name = f"test-{self._asked}"
        self._send({"id": name, "method": method, "params": params})
        message = self._until(lambda message: message.get("id") == name)
        assert "error" not in message, message
        return message["result"]

    def hear(self, method):
        """Wait until the server says this of itself."""
        self._until(lambda message: message.get("method") == method)

    def _until(self, wanted):
        """The first such message; what the server asks meanwhile gets an answer."""
        while not wanted(message := self._receive()):
            if "method" in message and "id" in message:
                answer = [self._root] if message["method"] == "workspace/workspaceFolders" else None
                self._send({"id": message["id"], "result": answer})
        return message

    def _send(self, message):
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _receive(self):
        length = None
        while line := self._process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length is not None, f"the server ended with exit code {self._process.wait()}"
        return json.loads(self._process.stdout.read(length))
