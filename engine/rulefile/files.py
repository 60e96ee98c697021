"""Folders and files to the rule files among them, read; `engine.rulefile.load` calls this.

Rule files are the `*.toml` below a folder but for `*.test.toml` and names that start with a dot (editors' copies,
.git). A file named outright is read whatever its name. The order is that of the paths, then of the names, so that it
is the same everywhere.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.diagnostics import Diagnostic, Level, error
from engine.tomlfile import TomlFile, read_toml

FILES_MAX = 10_000
FOLDER_DEPTH_MAX = 32
TOTAL_CHARS_MAX = 64 * 1_048_576
"""All files together: more than a daemon should hold as rules."""


def read_files(paths: Sequence[Path]) -> tuple[list[TomlFile], list[Diagnostic]]:
    """All rule files at `paths`, and what could not be read."""
    files: list[TomlFile] = []
    found: list[Diagnostic] = []
    total = 0
    for path in _each_once(paths, found):
        file = read_toml(path)
        if isinstance(file, Diagnostic):
            found.append(file)
            continue
        total += len(file.text)
        if len(files) >= FILES_MAX or total > TOTAL_CHARS_MAX:
            limit = f"more than {FILES_MAX:,} rule files, or {TOTAL_CHARS_MAX // 1_048_576} MiB of them"
            found.append(error("H003", limit, help="name the folders of the rules, not one above them"))
            break
        files.append(file)
    return files, found


def _each_once(paths: Sequence[Path], found: list[Diagnostic]) -> Iterator[Path]:
    """The rule files at `paths`; one that is reached twice (a file named beside its folder) comes once."""
    seen: set[tuple[int, int]] = set()
    for path in paths:
        files = 0
        for file in _below(path, found, 0):
            files += 1
            try:
                status = file.stat()
            except (OSError, ValueError):
                yield file  # reading it gives the diagnostic
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield file
        if not files and not any(each.title.startswith(f"can't read `{path}") for each in found):
            found.append(
                Diagnostic(
                    code="H001",
                    level=Level.WARNING,
                    title=f"no rule files below `{path}`",
                    help="rule files end in `.toml`, their tests in `.test.toml`; `halon init DIR` writes a first one",
                )
            )


def _below(path: Path, found: list[Diagnostic], depth: int) -> Iterator[Path]:
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            yield path
            return
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        found.append(error("H001", f"can't read `{path}`: {reason}", help="check the path and the permissions"))
        return
    if depth >= FOLDER_DEPTH_MAX:
        found.append(
            error("H003", f"`{path}` lies deeper than {FOLDER_DEPTH_MAX} folders", help="is it a loop of links?")
        )
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _below(path / entry.name, found, depth + 1)
        elif entry.name.endswith(".toml") and not entry.name.endswith(".test.toml"):
            yield path / entry.name
