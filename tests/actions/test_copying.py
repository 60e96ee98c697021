"""actions/evidence/copying.py: what a copy is, and when it stops."""

import os

import pytest

from actions.evidence import copying


def test_a_copy_that_nobody_waits_for_stops(tmp_path):
    """A cancelled step's thread ends at the next chunk."""
    (tmp_path / "big").write_bytes(b"x" * (3 << 20))
    asked = iter([False, True])
    with pytest.raises(copying.CancelledCopyError):
        copying.copy_file(tmp_path / "big", tmp_path / "part", copying.Path("big"), lambda: next(asked))


def test_a_symbolic_link_put_in_place_of_the_file_is_not_followed(tmp_path):
    """What is opened is the file that was judged, or nothing."""
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="symbolic links"):
        copying.copy_file(tmp_path / "link", tmp_path / "part", copying.Path("link"), lambda: False)


def test_the_environment_of_a_process_is_never_copied(tmp_path):
    """It holds secrets."""
    missing = {}
    kept = list(copying.copy_process(os.getpid(), tmp_path, missing, lambda: False))
    assert kept
    assert not any("environ" in each.source for each in kept)
