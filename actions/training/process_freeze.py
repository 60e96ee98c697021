"""`process.freeze`: a training process, with all that hangs on it, to one that is stopped where it stands.

SIGSTOP through a pidfd, or the freezer of its version 2 cgroup. Memory and files stay as they are for the forensics,
and undo lets exactly those go on that this action stopped.
"""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from actions.support import describe, text_of
from actions.training.processes import (
    PROCESSES_MAX,
    Process,
    ProcessParams,
    cgroup_of,
    counted,
    members,
    read_process,
    resolve,
    send,
    stop_all,
    stopped,
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
    Undoing,
    Undone,
    Unknown,
    Verification,
)

_SETTLE_STEP_S = 0.002
_SETTLE_STEPS_MAX = 1_000  # 2 s: a thread in a long system call stops when it returns from it


class ProcessFreeze(Action[ProcessParams]):
    """Stops a process, its tree or its cgroup (SIGSTOP, or the cgroup freezer); undo lets it go on."""

    name = "process.freeze"
    params = ProcessParams
    target_kind = "training"
    reversible = True
    privileges = "the user of the process or CAP_KILL; for cgroups write access to cgroup.freeze"
    example = '{ do = "process.freeze", pid = 4242, started = 918273, hold = "24h" }'

    async def check(self, params: ProcessParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            root = resolve(params)
            if not isinstance(root, Process):
                return root
            found = members(params, root)
            running = [each for each in found if not stopped(each)]
            frozen = params.scope == "cgroup" and _frozen(_folder(root))
        except OSError as error:
            return Failed(f"can't read the process: {describe(error)}")
        if len(found) > PROCESSES_MAX:
            return Failed(f"the {params.scope} of pid {params.pid} has more than {PROCESSES_MAX} processes")
        what = f"{root.command} (pid {root.pid}), {counted(len(found))}"
        receipt: Receipt = {
            "root": root.identity,
            "stopped_before": [each.identity for each in found if each not in running],
            "cgroup": str(_folder(root)) if params.scope == "cgroup" else "",
            "frozen_before": frozen,
        }
        return Plan(
            target=Target("training", f"pid {root.pid} started {root.started}", {"command": root.command}),
            would=f"{what} are stopped already" if frozen or not running else f"stop {what}",
            receipt=receipt,
            in_place=frozen or not running,
        )

    async def apply(
        self, params: ProcessParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        root = resolve(params)
        if not isinstance(root, Process):
            return root
        if root.identity != plan.receipt.get("root"):
            return Failed(f"pid {params.pid} is another process than the one that was checked; that one has ended")
        sent: list[Process] = []
        try:
            if params.scope == "cgroup":
                if _frozen(_folder(root)):
                    return AlreadyInPlace(plan.receipt, "frozen already")
                (_folder(root) / "cgroup.freeze").write_text("1")
            elif not stop_all(params, root, sent):
                return AlreadyInPlace(plan.receipt, "stopped already")
        except OSError as error:
            for each in sent:  # half a frozen tree under no lease would be forgotten: a failure leaves nothing behind
                send(each, signal.SIGCONT)
            return Failed(
                f"can't stop pid {params.pid}: {describe(error)}; nothing was left stopped."
                " Run halond as the user of the process or with CAP_KILL",
                retryable=True,
            )
        await _settle(lambda: self._in_force(params, root))
        receipt: Receipt = {**plan.receipt, "stopped": [each.identity for each in sent]}
        return Applied(receipt, f"stopped {root.command} (pid {root.pid})")

    async def verify(self, params: ProcessParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            root = read_process(params.pid)
            if root is None or root.ended or root.identity != receipt.get("root"):
                return NotInForce(f"pid {params.pid} has ended; if a supervisor started it again, it has another pid")
            if self._in_force(params, root):
                return InForce(f"all of {len(members(params, root))} processes are stopped")
        except OSError as error:
            return Unknown(f"can't read pid {params.pid}: {describe(error)}")
        running = [each.pid for each in members(params, root) if not stopped(each)]
        return NotInForce(f"still running: pid {', '.join(map(str, running[:10]))}")

    async def undo(self, params: ProcessParams, receipt: Receipt, context: ActionContext) -> Undoing:
        try:
            if params.scope == "cgroup":
                return await self._undo_cgroup(receipt)
            before, named = _identities(receipt, "stopped_before"), _identities(receipt, "stopped")
            root = read_process(params.pid)
            known = members(params, root) if root and root.identity == receipt.get("root") else []
            # Children outlive a root that was killed while it stood still.
            known += [each for pid, _ in named if (each := read_process(pid)) and each not in known]
            ours = [
                each for each in known if each.identity in named or (each.identity not in before and not each.ended)
            ]
            for each in ours:
                send(each, signal.SIGCONT)
            await _settle(lambda: not any(map(_held, ours)))
        except OSError as error:
            return Failed(f"can't let pid {params.pid} go on: {describe(error)}; send it SIGCONT by hand")
        if any(map(_held, ours)):
            return Failed(f"SIGCONT was sent to pid {params.pid}, but it is still stopped; see who stops it")
        return Undone(f"{counted(len(ours))} let go on" if ours else "nothing was left to let go on")

    async def _undo_cgroup(self, receipt: Receipt) -> Undoing:
        folder = Path(text_of(receipt, "cgroup"))
        if receipt.get("frozen_before"):
            return Undone("the cgroup was frozen before; it still is")
        if not folder.exists():
            return Undone("the cgroup is gone; there is nothing to let go on")
        (folder / "cgroup.freeze").write_text("0")
        await _settle(lambda: not _frozen(folder))
        return Failed(f"{folder} stays frozen; see who freezes it") if _frozen(folder) else Undone("the cgroup goes on")

    def _in_force(self, params: ProcessParams, root: Process) -> bool:
        if params.scope == "cgroup":
            return _frozen(_folder(root))
        return all(map(stopped, members(params, root)))


async def _settle(done: Callable[[], bool]) -> None:
    """Lets the kernel carry out what was sent; verify is what judges the result."""
    for _ in range(_SETTLE_STEPS_MAX):
        if done():
            return
        await asyncio.sleep(_SETTLE_STEP_S)


def _held(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.started == process.started and now.state == "T"


def _identities(receipt: Receipt, field: str) -> list[list[int]]:
    return msgspec.convert(receipt.get(field, []), list[list[int]])


def _folder(root: Process) -> Path:
    return cgroup_of(root.pid) or Path("/nonexistent")


def _frozen(folder: Path) -> bool:
    """What the kernel says of the cgroup; the request alone (cgroup.freeze) is not yet the effect."""
    return "frozen 1" in (folder / "cgroup.events").read_text().splitlines()
