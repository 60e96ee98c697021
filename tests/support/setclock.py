"""A clock that a test can set for a daemon's process: libfaketime, which leaves alone what measures passing time."""

from collections.abc import Mapping
from pathlib import Path

from tests.support.realparts import missing


class SetClock:
    """`environment` goes to the process; `set(seconds)` puts its wall clock so far ahead of the machine's."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        library = str(found[0]) if found else missing("libfaketime is not installed: apt-get install libfaketime")
        self._file = folder / "clock"
        self.set(0)
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """From now on, at once."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}s\n")
        beside.replace(self._file)
