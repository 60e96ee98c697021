"""The secret in a file, or in a credential of the service manager. `engine.app` reads them before the doors open."""

import os
from pathlib import Path

SECRET_BYTES_MAX = 16_384


def secret_path(written: str) -> Path:
    """A path, or `credential:NAME` for one of systemd's `LoadCredential=`, to the file. Raises ValueError."""
    if not written.startswith("credential:"):
        return Path(written)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ValueError(f"`{written}`: the service manager passed no credentials; see `LoadCredential=` in the unit")
    return Path(folder) / Path(written.removeprefix("credential:")).name


def read_secret(written: str) -> str:
    """A path, or `credential:NAME` for one of systemd's `LoadCredential=`, to its text without the last newline.

    Raises OSError with the path where it can't be read, ValueError where it is empty, too long or no text.
    """
    path = secret_path(written)
    with path.open("rb") as file:
        raw = file.read(SECRET_BYTES_MAX + 1)
    if len(raw) > SECRET_BYTES_MAX:
        raise ValueError(f"`{path}` is longer than {SECRET_BYTES_MAX} bytes: no secret")
    try:
        secret = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"`{path}` is not UTF-8 text") from None
    if not secret:
        raise ValueError(f"`{path}` is empty")
    return secret
