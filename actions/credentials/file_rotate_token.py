"""`file.rotate-token`: a token in a file that may have leaked, to a new one; the old one is refused from then on.

Two phases: make the new token, let its server take it, put it where its reader looks (one atomic rename, mode 0600),
tell the reader; then end the old one. The server is one that reads the SHA-256 hashes of the tokens it takes from a
file, one a line. Every step finds out by itself whether it was done, so a crash anywhere is gone over again safely.
"""

import asyncio
import os
import re
import secrets
import signal
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from actions.support import describe, locked, move, replace, sha256, text_of, write_new
from engine.action import Action, ActionContext, Params, Settings
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Target,
    Unknown,
    Verification,
)

_TOKEN_BYTES = 32
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}\n?")  # what token_urlsafe(32) gives
_FILE_BYTES_MAX = 1_048_576
_AbsolutePath = Annotated[str, Meta(pattern=r"^/[^\x00]+\Z", max_length=4096)]


class FileRotateTokenParams(Params, frozen=True):
    """Where the token lies, who takes it, and who is to be told."""

    path: Annotated[_AbsolutePath, Meta(description="file that its reader takes the token from")]
    accepted: Annotated[
        _AbsolutePath, Meta(description="file with the SHA-256 hashes of the tokens that the server takes, one a line")
    ]
    pid: Annotated[int, Meta(ge=2, le=4_194_304, description="process to signal afterwards")] | None = None
    pid_file: Annotated[str, Meta(pattern=r"^(/[^\x00]+)?\Z", description="file with the pid to signal afterwards")] = (
        ""
    )
    signal: Annotated[
        Literal["HUP", "USR1", "USR2"], Meta(description="signal that makes the reader read the token again")
    ] = "HUP"


class FileRotateTokenSettings(Settings, frozen=True):
    """`folders`: if any are given, tokens and hashes outside of them are refused."""

    folders: tuple[str, ...] = ()


class FileRotateToken(Action[FileRotateTokenParams]):
    """Makes a new token, hands it to its reader, and ends the old one.

    Irreversible: a token that may be in strange hands is never made valid again, and it is not kept.
    """

    name = "file.rotate-token"
    params = FileRotateTokenParams
    settings = FileRotateTokenSettings
    target_kind = "credential"
    reversible = False
    privileges = "read and write in the folders of both files; the owner of the token file or CAP_CHOWN"
    example = '{ do = "file.rotate-token", path = "/run/train/token", accepted = "/etc/data-server/accepted" }'

    async def check(self, params: FileRotateTokenParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            refusal = self._refuse(params)
            token = _read_token(Path(params.path))
            accepted = _read_hashes(Path(params.accepted))
            owner = Path(params.path).stat().st_uid
        except OSError as error:
            return Failed(f"can't read the token: {describe(error)}; name existing files, and let halond read them")
        if refusal is not None:
            return refusal
        # Nothing but a live token is ever replaced, whatever path an event may name.
        if token not in accepted:
            return Refused(
                f"{params.accepted} does not hold the hash of {params.path}; check that both belong together"
            )
        if os.geteuid() not in {0, owner}:
            return Failed(f"{params.path} belongs to uid {owner}; run halond as that user or with CAP_CHOWN")
        return Plan(
            target=Target("credential", params.path),
            would=f"replace the token in {params.path} and end the old one ({token[:12]})",
            receipt={"path": params.path, "accepted": params.accepted, "old_sha256": token},
        )

    async def apply(
        self, params: FileRotateTokenParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        old = text_of(plan.receipt, "old_sha256")
        staged = Path(params.path).with_name(f".{Path(params.path).name}.{context.intent}.new")
        try:
            changed, new = await asyncio.to_thread(_rotate, Path(params.path), Path(params.accepted), old, staged)
        except OSError as error:
            return Failed(
                f"the rotation is not complete: {describe(error)}; correct that and run it again, to go on where it was"
            )
        receipt: Receipt = {**plan.receipt, "new_sha256": new}
        if not changed:
            return AlreadyInPlace(receipt, "the old token was ended already")
        return Applied(receipt, f"new token {new[:12]} in place, old {old[:12]} ended; {_tell(params)}")

    async def verify(self, params: FileRotateTokenParams, receipt: Receipt, context: ActionContext) -> Verification:
        old = text_of(receipt, "old_sha256")
        try:
            accepted, mode = _read_hashes(Path(params.accepted)), stat.S_IMODE(Path(params.path).stat().st_mode)
            token = _read_token(Path(params.path))
        except OSError as error:
            return Unknown(f"can't read the token back: {describe(error)}")
        if not old or old in accepted:
            return NotInForce(f"the server still takes the old token ({old[:12]})")
        if token == old or token not in accepted:
            return NotInForce(f"{params.path} does not hold a token that the server takes")
        if mode != 0o600:
            return NotInForce(f"{params.path} has mode {mode:o}, not 600")
        return InForce(f"the server takes {token[:12]}, and no longer {old[:12]}")

    def _refuse(self, params: FileRotateTokenParams) -> Refused | None:
        assert isinstance(self._settings, FileRotateTokenSettings)
        folders = [Path(each).resolve() for each in self._settings.folders]
        for each in (params.path, params.accepted):
            path = Path(each)
            if path.is_symlink() or not stat.S_ISREG(path.stat().st_mode):
                return Refused(f"{each} is not a plain file; name the file itself")
            if folders and not any(path.resolve().is_relative_to(folder) for folder in folders):
                return Refused(f'{each} is outside the folders of [actions."file.rotate-token"] in config.toml')
        return None


def _rotate(path: Path, accepted: Path, old: str, staged: Path) -> tuple[bool, str]:
    """Goes through all steps, leaving out what was done before; whether anything changed, and the new token's hash.

    Runs to its end in its thread even when the step was cancelled; the lock lets a second run wait for it.
    """
    with ExitStack() as locks:
        for folder in sorted({path.resolve().parent, accepted.resolve().parent}):
            locks.enter_context(locked(folder))
        current = _read_token(path)
        changed = False
        if current == old:
            token = _stage(staged, path.stat())
            _edit_hashes(accepted, add=token, remove="")
            move(staged, path)
            current, changed = token, True
        staged.unlink(missing_ok=True)
        if current not in _read_hashes(accepted):
            raise OSError(0, f"someone else replaced the token, and {accepted} does not hold the new one's hash")
        if path.stat().st_mode & 0o777 != 0o600:
            path.chmod(0o600)
            changed = True
        return _edit_hashes(accepted, add="", remove=old) or changed, current


def _stage(staged: Path, like: os.stat_result) -> str:
    """The new token's hash; what an interrupted run has staged is taken up, so that one token is made."""
    if staged.exists() and not _TOKEN.fullmatch(staged.read_bytes()):
        staged.unlink()
    if not staged.exists():
        write_new(staged, secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n", mode=0o600, like=like)
    return _read_token(staged)


def _edit_hashes(accepted: Path, *, add: str, remove: str) -> bool:
    """Whether the file had to be changed; other lines, comments too, stay as they are."""
    before = accepted.read_text(errors="surrogateescape").splitlines()
    lines = [line for line in before if not remove or line.split("#")[0].strip() != remove]
    if add and add not in _hashes(before):
        lines.append(add)
    if lines == before:
        return False
    info = accepted.stat()
    text = "".join(f"{line}\n" for line in lines)
    staged = accepted.with_name(f".{accepted.name}.halon")
    replace(accepted, text.encode(errors="surrogateescape"), mode=stat.S_IMODE(info.st_mode), like=info, staged=staged)
    return True


def _hashes(lines: list[str]) -> set[str]:
    return {line.split("#")[0].strip() for line in lines} - {""}


def _read_hashes(path: Path) -> set[str]:
    return _hashes(path.read_text(errors="surrogateescape").splitlines())


def _read_token(path: Path) -> str:
    """The SHA-256 of the token in a file, without the line end: what the server compares."""
    with path.open("rb") as file:
        return sha256(file.read(_FILE_BYTES_MAX).rstrip(b"\r\n"))


def _tell(params: FileRotateTokenParams) -> str:
    """Signals the reader; what came of it, in words: the old token is ended whether the reader hears of it or not."""
    if params.pid is None and not params.pid_file:
        return "its reader was not told (no pid or pid_file)"
    try:
        handle = os.pidfd_open(params.pid or int(Path(params.pid_file).read_text()))
        try:
            signal.pidfd_send_signal(handle, signal.Signals[f"SIG{params.signal}"])
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        return f"its reader could not be told: {error}"
    return f"its reader was sent SIG{params.signal}"
