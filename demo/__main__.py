"""`make demo`: a training run is poisoned; Halon sees it from the run's own events and stops it; each claim is checked.

    python -m demo [--keep]

Starts what it needs in a private folder (daemon with embedded broker, data server, training run), ends all of it, and
exits 0 only when everything that Halon claims was read back from the targets. On a failure it names what was not seen.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from demo import site
from demo.children import Children, DemoFailed, interrupt_on_signals
from demo.screen import Screen
from demo.story import Story

ROOT = Path(__file__).resolve().parent.parent
LOGS_SHOWN = ("halon", "training", "data-server")


def main() -> int:
    """Play the story; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="keep the private folder, and say where it is")
    keep = parser.parse_args().keep
    halon = Path(sys.executable).with_name("halon")
    screen = Screen()
    if not halon.exists():
        screen.say(f"there is no {halon}: run `make setup` first", style="red")
        return 2
    interrupt_on_signals()
    # Short, since a Unix socket in it may have a path of no more than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="halon-demo-"))
    try:
        return _play(folder, halon, screen)
    finally:
        if keep:
            screen.say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _play(folder: Path, halon: Path, screen: Screen) -> int:
    stage = site.prepare(folder)
    with Children(folder) as children:
        story = Story(stage, children, screen, rules=ROOT / "rules", halon=halon)
        try:
            story.play()
        except KeyboardInterrupt as stop:
            screen.say(f"interrupted{f' by {stop}' if str(stop) else ''}; ending what was started", style="red")
            return 130
        except Exception as error:  # noqa: BLE001  # whatever went wrong, the demonstration failed and says so
            screen.title("The demonstration failed")
            screen.say(str(error) if isinstance(error, DemoFailed) else f"{type(error).__name__}: {error}", style="red")
            for name in LOGS_SHOWN:
                if (folder / f"{name}.log").exists():
                    screen.block(f"--- the end of {name}.log\n{children.log_tail(name)}")
            return 1
    screen.title("All of it was verified")
    screen.say("detected from the run's own events, frozen, locked out, evidenced, released", style="bold green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
