"""`process.kill`: a training process, with all that hangs on it, to one that has ended.

The tree is stopped first, so that it can't start anything more, then killed from the leaves to the root: as long as a
member lives, the root does, and an interrupted run finds the rest through it.
"""

import asyncio
import signal
from pathlib import Path

import msgspec

from actions.support import describe, text_of
from actions.training.processes import (
    Process,
    ProcessParams,
    cgroup_of,
    counted,
    members,
    read_process,
    resolve,
    send,
    stop_all,
)
from engine.action import Action, ActionContext
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Target,
    Unknown,
    Verification,
)

_SETTLE_STEP_S = 0.002
_SETTLE_STEPS_MAX = 1_000  # 2 s: a process in a long system call ends when it returns from it


class ProcessKill(Action[ProcessParams]):
    """Kills a process, its tree or its cgroup (SIGKILL through pidfds, or cgroup.kill).

    Irreversible: what a killed process had not written is lost. Prefer `process.freeze` where evidence matters.
    """

    name = "process.kill"
    params = ProcessParams
    target_kind = "training"
    reversible = False
    opposes = ("process.freeze",)  # frozen, it could go on; killed, what it held in memory is lost
    privileges = "the user of the process or CAP_KILL; for cgroups write access to cgroup.kill"
    example = '{ do = "process.kill", pid = 4242, started = 918273 }'

    async def check(self, params: ProcessParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            root = resolve(params)
            if not isinstance(root, Process):
                return root
            found = members(params, root)
        except OSError as error:
            return Failed(f"can't read the process: {describe(error)}")
        return Plan(
            target=Target("training", f"pid {root.pid} started {root.started}", {"command": root.command}),
            would=f"kill {root.command} (pid {root.pid}), {counted(len(found))}",
            receipt={
                "root": root.identity,
                "members": [each.identity for each in found],
                "cgroup": str(cgroup_of(root.pid)) if params.scope == "cgroup" else "",
            },
        )

    async def apply(
        self, params: ProcessParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        if not _living(plan.receipt):
            return AlreadyInPlace(plan.receipt, "ended already")
        root = resolve(params)
        if isinstance(root, Refused):
            return root
        killed = _living(plan.receipt)
        if isinstance(root, Process) and root.identity == plan.receipt.get("root"):
            sent: list[Process] = []
            try:
                if params.scope == "cgroup":
                    (Path(text_of(plan.receipt, "cgroup")) / "cgroup.kill").write_text("1")
                else:
                    stop_all(params, root, sent)
                    killed = members(params, root)
            except OSError as error:
                for each in sent:
                    send(each, signal.SIGCONT)
                text = f"can't kill pid {params.pid}: {describe(error)}; nothing was killed. {_ADVICE}"
                return Failed(text, retryable=True)
        try:
            for each in reversed(killed):
                send(each, signal.SIGKILL)
        except OSError as error:
            return Failed(f"not all of pid {params.pid} could be killed: {describe(error)}. {_ADVICE}")
        for _ in range(_SETTLE_STEPS_MAX):
            if not _living(plan.receipt):
                break
            await asyncio.sleep(_SETTLE_STEP_S)
        return Applied(plan.receipt, f"killed {counted(len(killed))}")

    async def verify(self, params: ProcessParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            living = _living(receipt)
        except OSError as error:
            return Unknown(f"can't read pid {params.pid}: {describe(error)}")
        if living:
            return NotInForce(f"still there: pid {', '.join(str(each.pid) for each in living[:10])}")
        return InForce(f"pid {params.pid} and all that hung on it have ended")


_ADVICE = "Run halond as the user of the process or with CAP_KILL"


def _living(receipt: Receipt) -> list[Process]:
    """Those of the receipt that have not ended, the root first, and what its cgroup holds."""
    named = msgspec.convert(receipt.get("members", []), list[tuple[int, int]])
    found = [(each, started) for pid, started in named if (each := read_process(pid)) is not None]
    return [each for each, started in found if each.started == started and not each.ended]
