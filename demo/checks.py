"""The end state of the demonstration, read from the targets themselves: facts to (what, whether it holds).

Nothing here asks Halon whether it did something: the process is looked up in /proc, the tokens are shown to the data
server, the evidence is hashed again. Called by `demo.story`.
"""

import hashlib
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import msgspec

from demo.children import cpu_ticks, thread_states


class Check(NamedTuple):
    """One thing that was looked at."""

    what: str
    holds: bool


def process_stopped(pid: int, ticks_before: int) -> Check:
    """Every thread is in state T, and no processor time was used since `ticks_before` was read."""
    states = thread_states(pid)
    used = cpu_ticks(pid) - ticks_before if states else 0
    listed = " ".join(sorted(states.values())) or "gone"
    what = f"process {pid} is stopped: /proc shows {listed} for its threads, and it used {used} ticks of processor time"
    return Check(what, bool(states) and set(states.values()) == {"T"} and used == 0)


def process_runs(pid: int, *, steps_before: int, steps_now: int) -> Check:
    """No thread is stopped, and training has gone on."""
    states = thread_states(pid)
    listed = " ".join(sorted(states.values())) or "gone"
    what = (
        f"process {pid} runs again: /proc shows {listed} for its threads, {steps_now - steps_before} steps were taken"
    )
    return Check(what, bool(states) and "T" not in states.values() and steps_now > steps_before)


def token_ended(data_url: str, old: str, token_file: Path) -> list[Check]:
    """The data server refuses the old token and takes the new one, which lies in its file with mode 0600."""
    new = token_file.read_text().strip()
    mode = stat.S_IMODE(token_file.stat().st_mode)
    refused, taken = _status(data_url, old), _status(data_url, new)
    return [
        Check(f"the old token is refused: the data server answers {refused}", refused == 401),
        Check(f"the new token in its file works: the data server answers {taken}", new != old and taken == 200),
        Check(f"the token file has mode {mode:04o}", mode == 0o600),
    ]


def evidence_kept(folder: Path, wanted: list[Path]) -> list[Check]:
    """Each wanted file is in a manifest below `folder`; the copy has the SHA-256 of the manifest and the original."""
    kept: dict[str, tuple[Path, str]] = {}
    for path in folder.rglob("manifest.json"):
        manifest = msgspec.json.decode(path.read_bytes())
        for each in manifest["files"]:
            kept[each["source"]] = (path.parent / each["copy"], each["sha256"])
    checks = []
    for original in wanted:
        copy, named = kept.get(str(original), (Path(), ""))
        found = _sha256(copy) if named and copy.is_file() else "nothing"
        same = found == named == _sha256(original)
        checks.append(
            Check(f"evidence: {original.name}, SHA-256 {found[:16]}… as in the manifest and the original", same)
        )
    return checks


def _status(data_url: str, token: str) -> int:
    """What the data server answers to a request with that token."""
    request = urllib.request.Request(f"{data_url}/batch?step=0&size=1", headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever the environment says
    try:
        with opener.open(request, timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
