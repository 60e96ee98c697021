"""engine.intake.secretfile: secrets from files and from credentials of the service manager."""

import pytest

from engine.intake.secretfile import SECRET_BYTES_MAX, read_secret


def test_a_secret_comes_from_a_file_or_a_credential_without_its_last_newline(tmp_path, monkeypatch):
    """Spaces within stay; a credential is looked up where the service manager put it, and nowhere else."""
    (tmp_path / "token").write_text("se cret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret(str(tmp_path / "token")) == "se cret"
    assert read_secret("credential:token") == "se cret"
    assert read_secret("credential:../x/token") == "se cret"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"\n", "is empty"), (b"\xff", "is not UTF-8 text"), (b"x" * (SECRET_BYTES_MAX + 1), "is longer than 16384")],
)
def test_what_is_no_secret_is_said_with_its_path(tmp_path, content, reason):
    """An empty, binary or huge file is refused, never taken for a secret."""
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ValueError, match=f"token` {reason}"):
        read_secret(str(tmp_path / "token"))


def test_a_missing_secret_stops_the_start(tmp_path, monkeypatch):
    """A missing file is an OSError with its path; without a service manager there are no credentials."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(FileNotFoundError):
        read_secret(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="passed no credentials"):
        read_secret("credential:token")
