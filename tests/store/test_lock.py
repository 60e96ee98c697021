"""The lock beside a database: one holder at a time, named to whoever comes second."""

import os

import pytest

from engine.store.errors import StoreBusyOrFull, StoreLocked
from engine.store.lock import hand_over, is_read_only, take_lock


def test_the_lock_is_held_until_its_descriptor_is_closed(tmp_path):
    """The second is told which process has it."""
    lock = take_lock(tmp_path / "halon.db")
    with pytest.raises(StoreLocked, match=rf"process {os.getpid()}\b.*stop it first"):
        take_lock(tmp_path / "halon.db")
    os.close(lock)
    os.close(take_lock(tmp_path / "halon.db"))


def test_a_folder_that_can_not_be_made_is_said(tmp_path):
    """A file stands in its way."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreBusyOrFull, match="cannot be opened"):
        take_lock(tmp_path / "file" / "halon.db")


def test_a_file_system_that_can_be_written_is_not_read_only(tmp_path):
    """Asking leaves the name of the holder as it is; tests/faults shows a read-only one."""
    lock = take_lock(tmp_path / "halon.db")
    assert not is_read_only(lock)
    with pytest.raises(StoreLocked, match=rf"process {os.getpid()}\b"):
        take_lock(tmp_path / "halon.db")
    os.close(lock)


def test_what_root_puts_into_a_folder_belongs_to_the_folders_owner(tmp_path):
    """Or the daemon could not open its own store."""
    (tmp_path / "x").touch()
    hand_over(tmp_path / "x")
    found, folder = (tmp_path / "x").stat(), tmp_path.stat()
    assert (found.st_uid, found.st_gid) == (folder.st_uid, folder.st_gid)
    if os.geteuid() == 0:
        os.chown(tmp_path, 12_345, 54_321)
        hand_over(tmp_path / "x")
        found = (tmp_path / "x").stat()
        assert (found.st_uid, found.st_gid) == (12_345, 54_321)
