"""The hand-over of a new password: staged in a file of mode 0600, then moved in one step to where its user reads it.

Rotating actions use it around the change at their server, in the order stage, set at the server, deliver. The staged
name is that of the intent, so a run that was interrupted takes up the password it had made: one intent, one password.
"""

import hashlib
import secrets
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.support import TargetError, describe, move, sync_folder, write_new
from engine.action import ActionContext, Params, Settings

_PASSWORD_BYTES = 32
_PASSWORD_LENGTH = 43  # of token_urlsafe(32)


class AccountParams(Params, frozen=True):
    """The account at the server."""

    account: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.@-]{1,63}\Z", description="name of the account at the server")]


class HandoverSettings(Settings, frozen=True):
    """Base: `files` says for each account in which file its user reads its password; no other can be rotated."""

    files: dict[str, str] = {}


class Handover:
    """The file of one account, and the new password on its way into it."""

    def __init__(self, settings: HandoverSettings, account: str, context: ActionContext) -> None:
        """Raises TargetError where the settings name no usable file for the account."""
        path = settings.files.get(account)
        if path is None:
            raise TargetError(f"no file is named for `{account}`; add it to `files` of this action in config.toml")
        self.path = Path(path)
        if not self.path.is_absolute() or self.path.is_symlink() or not self.path.parent.is_dir():
            raise TargetError(f"{path} must be an absolute path in an existing folder, and no symbolic link")
        self._staged = self.path.with_name(f".{self.path.name}.{context.intent}.new")

    def current(self) -> str | None:
        """What the user reads now; None where there is no file yet. Raises TargetError."""
        return _read(self.path)

    def staged(self) -> str | None:
        """The password that an interrupted run of this intent has made, or None. Raises TargetError."""
        found = _read(self._staged)
        return found if found and len(found) == _PASSWORD_LENGTH else None

    def stage(self) -> str:
        """The new password, made unless it was before. Raises TargetError."""
        found = self.staged()
        if found is not None:
            return found
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        try:
            self._staged.unlink(missing_ok=True)
            like = self.path.stat() if self.path.exists() else None
            write_new(self._staged, password.encode() + b"\n", mode=0o600, like=like)
        except OSError as error:
            raise TargetError(f"can't write the new password: {describe(error)}; nothing was changed") from error
        sync_folder(self.path.parent)
        return password

    def deliver(self) -> None:
        """Puts the staged password where its user reads it. Raises TargetError."""
        try:
            move(self._staged, self.path)
        except OSError as error:
            raise TargetError(
                f"the server has the new password, but it can't be moved to {self.path}: {describe(error)};"
                " correct that and run the step again"
            ) from error

    def private(self) -> bool:
        """Whether only its owner can read the file."""
        try:
            return not self.path.stat().st_mode & 0o077
        except OSError:
            return False


def fingerprint(salt: str, text: str) -> str:
    """A salted, short hash: tells in a receipt whether a verifier is still the same one, and nothing about it."""
    return hashlib.sha256(f"{salt}\0{text}".encode()).hexdigest()[:16]


def _read(path: Path) -> str | None:
    try:
        return path.read_text().rstrip("\r\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        text = describe(error) if isinstance(error, OSError) else f"no text: {path}"
        raise TargetError(f"can't read the password file: {text}; let halond read it") from error
