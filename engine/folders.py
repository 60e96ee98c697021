"""A folder's entries to the disk; `engine.store` and `engine.forensics` call it after they made or renamed files."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make new names and renames in it outlast a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
