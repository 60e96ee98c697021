"""A folder of models on disk, its quarantine and its backups. Used by the `model.*` actions.

FOLDER/MODEL/…                 what is served
QUARANTINE/MODEL.INTENT/…      what was moved aside; on the same file system, so that a move is one rename
BACKUPS/MODEL/VERSION/…        checkpoints, see engine/forensics/checkpoints.py
"""

import ctypes
import errno
import os
import shutil
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.support import sync_folder
from engine.action import ActionContext, Params, Settings

_RENAME_EXCHANGE = 2  # renameat2(2)
_AT_FDCWD = -100
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z"


class ModelParams(Params, frozen=True):
    """Which model."""

    model: Annotated[str, Meta(pattern=_NAME, description="name of the model: its folder below `folder`")]


class ModelSettings(Settings, frozen=True):
    """`folder` has one folder per model, `quarantine` takes what is moved aside, `backups` MODEL/VERSION/SHA256SUMS."""

    folder: str = "/srv/models"
    quarantine: str = "/srv/models-quarantine"
    backups: str = "/srv/models-backups"


class Registry:
    """The three places of one model in one step."""

    def __init__(self, settings: ModelSettings, model: str, context: ActionContext) -> None:
        self.model = Path(settings.folder) / model
        self.aside = Path(settings.quarantine) / f"{model}.{context.intent}"
        self.backups = Path(settings.backups) / model

    def refuse(self) -> str:
        """Why a move is impossible; empty where it is possible."""
        for folder in (self.model.parent, self.aside.parent):
            if not folder.is_dir():
                return f"there is no folder {folder}; make it, or set it for this action in config.toml"
            if not os.access(folder, os.W_OK | os.X_OK):
                return f"{folder} can't be written; let halond write it"
        if self.model.is_symlink():
            return f"{self.model} is a symbolic link; keep models as plain folders"
        if self.model.parent.stat().st_dev != self.aside.parent.stat().st_dev:
            return f"{self.aside.parent} is on another file system than {self.model.parent}; a move would not be atomic"
        return ""


def identity(path: Path) -> str:
    """What a folder is, wherever it is moved: its device and inode; empty where there is none."""
    try:
        info = path.lstat()
    except FileNotFoundError:
        return ""
    return f"{info.st_dev}:{info.st_ino}"


def exchange(first: Path, second: Path) -> None:
    """Swaps two folders in one step: readers see one or the other, never none. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    if libc.renameat2(*arguments):
        code = ctypes.get_errno() or errno.EIO
        raise OSError(code, os.strerror(code), str(first))
    sync_folder(first.parent)
    sync_folder(second.parent)


def copy_tree(source: Path, target: Path) -> None:
    """Copies a checkpoint, flushed to the disk. Raises OSError."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    for folder, _, files in os.walk(target, topdown=False):
        for name in files:
            with (Path(folder) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))
