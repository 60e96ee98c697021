"""Jobs of a Slurm cluster through its own commands. Used by the `slurm.*` actions.

They are read by `squeue` with fields that no user can choose, since a job may be named `JobState=SUSPENDED`.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from actions.support import TargetError, run
from engine.action import Params, Settings
from engine.model import Struct

_FORMAT = "%A|%T|%Q|%u|%V"
_ENDED = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
})  # fmt: skip


class JobParams(Params, frozen=True):
    """Which job."""

    job: Annotated[
        str,
        Meta(pattern=r"^[0-9]{1,10}(_[0-9]{1,7})?\Z", description="job id; of an array all its tasks, or one: 17_3"),
    ]


class SlurmSettings(Settings, frozen=True):
    """`conf`: slurm.conf, where it is not in its usual place; `bin_folder`: where squeue and scontrol are."""

    conf: str = ""
    bin_folder: str = ""


class Job(Struct, frozen=True):
    """One job or array task."""

    id: str
    state: str
    priority: int
    user: str
    submitted: str

    @property
    def ended(self) -> bool:
        """Whether it runs no more, and never will."""
        return self.state in _ENDED

    @property
    def halted(self) -> bool:
        """Whether it does not run now and will not by itself: suspended, or waiting and held."""
        return self.state == "SUSPENDED" or (self.state == "PENDING" and self.priority == 0)


async def jobs(settings: SlurmSettings, *, job: str = "", user: str = "") -> list[Job]:
    """The jobs of an id or a user, ended ones too while Slurm remembers them. Raises TargetError."""
    which = ["-j", job] if job else ["-u", user]
    code, out, err = await _run(settings, "squeue", "-h", "-r", "-t", "all", "-o", _FORMAT, *which)
    if code and b"Invalid job id" in err:
        return []
    if b"Invalid user" in err:
        raise TargetError(f"Slurm knows no user `{user}`; check the name on the controller")
    if code:
        raise TargetError(
            f"squeue failed: {_first_line(err)}; see whether slurmctld answers, and `conf`", retryable=True
        )
    rows = (line.split("|") for line in out.decode(errors="replace").splitlines() if line)
    return [Job(row[0], row[1], int(row[2]), row[3], row[4]) for row in rows]


async def ping(settings: SlurmSettings) -> None:
    """Whether the controller answers. Raises TargetError."""
    code, out, err = await _run(settings, "scontrol", "ping")
    if code or b"UP" not in out:
        raise TargetError(f"slurmctld does not answer: {_first_line(out or err)}; see whether it runs, and `conf`")


async def control(settings: SlurmSettings, verb: str, ids: list[str]) -> None:
    """`scontrol VERB` on jobs. Raises TargetError."""
    if ids:
        code, _, err = await _run(settings, "scontrol", verb, ",".join(ids))
        if code:
            raise TargetError(
                f"scontrol {verb} failed: {_first_line(err)}; halond must run as a Slurm operator or root"
            )


async def cancel(settings: SlurmSettings, job: str) -> None:
    """Ends a job. Raises TargetError."""
    code, _, err = await _run(settings, "scancel", job)
    if code:
        raise TargetError(f"scancel failed: {_first_line(err)}; halond must run as a Slurm operator or root")


async def _run(settings: SlurmSettings, program: str, *arguments: str) -> tuple[int, bytes, bytes]:
    if settings.conf and not Path(settings.conf).is_file():
        # Its programs would look for a configuration in the network, and wait for it.
        raise TargetError(f"there is no {settings.conf}; set `conf` to the cluster's slurm.conf", retryable=True)
    path = f"{settings.bin_folder}/{program}" if settings.bin_folder else program
    return await run([path, *arguments], env={"SLURM_CONF": settings.conf} if settings.conf else None)


def _first_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().partition("\n")[0][:200]
