"""`python -m engine.cli`: how an installation below DESTDIR runs before its scripts stand where they belong."""

import subprocess
import sys


def test_it_is_halon():
    """The same commands under the same name."""
    done = subprocess.run([sys.executable, "-m", "engine.cli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("halon, version ")
