"""actions/support.py: files are replaced whole."""

import asyncio
import os
import stat
from pathlib import Path

import pytest

from actions import support


def test_replace_is_atomic_and_keeps_mode_and_owner(tmp_path):
    """Who holds the old file open still reads the old content; a staged file left behind is overwritten."""
    path, staged = tmp_path / "file", tmp_path / ".file.new"
    path.write_text("old")
    staged.write_text("half")
    with path.open() as reader:
        support.replace(path, b"new", mode=0o640, like=path.stat(), staged=staged)
        assert reader.read() == "old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_write_new_never_overwrites_or_follows(tmp_path):
    """An existing file or a symbolic link in its place is an error."""
    (tmp_path / "there").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            support.write_new(tmp_path / name, b"y", mode=0o600)
    assert not (tmp_path / "elsewhere").exists()


def test_an_error_is_described_with_its_file():
    """`Permission denied: /etc/x`, and never an errno alone."""
    assert support.describe(PermissionError(13, "Permission denied", "/etc/x")) == "Permission denied: /etc/x"
    assert support.describe(OSError(28, "No space left on device")) == "No space left on device"


def test_a_missing_client_library_says_what_to_install():
    """The message names the extra, so that the check of a step can hand it on."""
    with pytest.raises(support.TargetError, match=r"pip install 'halon\[nothing\]'"):
        support.library("no_such_library.client", extra="nothing")


def test_a_program_that_does_not_end_is_killed():
    """A time-out leaves no process behind."""

    async def hang():
        with pytest.raises(support.TargetError, match="did not end within"):
            await support.run(["tail", "-f", str(path)], timeout_s=0.1)

    path = __file__
    asyncio.run(hang())
    left = [each for each in Path("/proc").glob("[0-9]*/cmdline") if reads(each) == f"tail\0-f\0{path}\0"]
    assert not left


def reads(path):
    try:
        return path.read_text()
    except OSError:
        return ""
