"""An installed plug-in with ill-behaved actions: a folder to put on PYTHONPATH, found by entry points like any other.

`test.stubborn` swallows its cancellation for ever; `test.thread` hangs in a thread of the event loop's pool;
`test.quick` takes effect by making a file with the time in it (nanoseconds). All take `path`.
"""

from pathlib import Path

_SOURCE = """
import asyncio
import threading
import time
from pathlib import Path

from engine.action import Action, Params
from engine.model import Applied, InForce, NotInForce, Plan, Target


class PathParams(Params, frozen=True):
    path: str


class _OnFile(Action[PathParams]):
    params = PathParams
    target_kind = "training"
    reversible = False
    privileges = "none"
    example = '{ do = "test.quick", path = "/tmp/x" }'

    async def check(self, params, context):
        return Plan(target=Target("training", params.path), would=f"make {params.path}")

    async def apply(self, params, plan, context):
        Path(params.path).write_text(str(time.time_ns()))
        return Applied({})

    async def verify(self, params, receipt, context):
        return InForce() if Path(params.path).exists() else NotInForce()


class Quick(_OnFile):
    name = "test.quick"


class Stubborn(_OnFile):
    name = "test.stubborn"

    async def apply(self, params, plan, context):
        Path(params.path).touch()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass


class Thread(_OnFile):
    name = "test.thread"

    async def apply(self, params, plan, context):
        Path(params.path).touch()
        await asyncio.to_thread(threading.Event().wait)
"""


def install(folder: Path) -> dict[str, str]:
    """Lay the plug-in out in `folder`; the environment in which it is installed."""
    information = folder / "halon_test_actions-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: halon-test-actions\nVersion: 1.0\n")
    names = {"quick": "Quick", "stubborn": "Stubborn", "thread": "Thread"}
    lines = [f"test.{name} = halon_test_actions:{kind}" for name, kind in names.items()]
    (information / "entry_points.txt").write_text("[halon.actions]\n" + "\n".join(lines) + "\n")
    (folder / "halon_test_actions.py").write_text(_SOURCE)
    return {"PYTHONPATH": str(folder)}
