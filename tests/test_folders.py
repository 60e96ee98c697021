"""engine.folders: that the folder itself is synced, and let go of."""

import os

import pytest

from engine.folders import sync_folder


def test_it_is_the_folder_that_is_synced_and_nothing_stays_open(tmp_path, monkeypatch):
    """A power cut can't be made here: that the call reaches the kernel with the folder is what there is to see."""
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    before = len(os.listdir("/proc/self/fd"))
    sync_folder(tmp_path)
    assert synced == [str(tmp_path)]
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_folder_is_refused(tmp_path):
    """Rather than that a file is synced in its place."""
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")
