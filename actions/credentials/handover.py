"""The hand-over of a new password: staged in a file of mode 0600, then put in one step where its user reads it.

Rotating actions use it around the change at their server: stage, set at the server, deliver, end the old one, finish.
The staged name is that of the intent, so a run that was interrupted takes up the password it had made: one intent, one
password. While it is staged, the rotation is not whole, and verify says so.
"""

import hashlib
import secrets
from pathlib import Path

from actions.support import TargetError, describe, replace, sync_folder, write_new
from engine.action import ActionContext, Settings

_PASSWORD_BYTES = 32
_PASSWORD_LENGTH = 43  # of token_urlsafe(32)


ACCOUNT = r"^[A-Za-z0-9_.@-]{1,63}\Z"
"""What names of accounts may look like."""


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
        """Puts the staged password where its user reads it; it stays staged until `finish`. Raises TargetError."""
        try:
            data, like = self._staged.read_bytes(), self.path.stat() if self.path.exists() else None
            replace(self.path, data, mode=0o600, like=like, staged=self._staged.with_suffix(".part"))
        except OSError as error:
            raise TargetError(
                f"the server has the new password, but it can't be put into {self.path}: {describe(error)};"
                " correct that and run the step again"
            ) from error

    def finish(self) -> None:
        """The old password is ended, and what was done with it: the rotation is whole."""
        self._staged.unlink(missing_ok=True)
        sync_folder(self.path.parent)

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
