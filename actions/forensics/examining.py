"""Runs one forensic technique as a step, and keeps its report in the evidence of the incident. For `forensics.*`.

The report goes to STATE_DIR/evidence/INCIDENT/INTENT/report.json, written beside its place and renamed when it is
whole, with `leave-out.json` beside it where samples of a training set are suspect. A finding is a result like any
other: the step succeeds when the report is there. Evidence that can't be read fails it.
"""

import asyncio
import os
import threading
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from actions.support import describe, locked, move, sha256, text_of, write_new
from engine.action import Action, ActionContext, Settings
from engine.forensics.report import EvidenceError, Judgement, Report
from engine.forensics.samples import LeaveOut
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

ParamsT = TypeVar("ParamsT", bound=msgspec.Struct)

LEAVE_OUT = "leave-out.json"
"""Beside the report: the samples that a training job should leave out."""

EvidencePath = Annotated[str, Meta(pattern=r"^/[^\x00]+\Z", max_length=4096)]
"""An absolute path of what is examined."""


Examined = Report | tuple[Report, LeaveOut]
"""A report, and what to leave out when training anew where the technique says that."""


class ForensicsSettings(Settings, frozen=True):
    """`folders`: if any are given, files outside of them are refused."""

    folders: tuple[str, ...] = ()


class Examination(Action[ParamsT]):
    """A step that only reads, and writes a report. Irreversible: evidence that was kept is never deleted by Halon."""

    settings = ForensicsSettings
    target_kind = "evidence"
    reversible = False
    privileges = "read the files"
    gate: ClassVar[bool] = False
    """Whether a finding fails the step, so that what follows in the phase does not happen."""

    @abstractmethod
    def paths(self, params: ParamsT) -> tuple[str, ...]:
        """What is examined."""

    @abstractmethod
    def examine(self, params: ParamsT, stopped: Callable[[], bool]) -> Examined:
        """The report. Raises EvidenceError. Runs in a thread; `stopped` says that nobody waits for it any more."""

    async def check(self, params: ParamsT, context: ActionContext) -> Plan | Refused | Failed:
        assert isinstance(self._settings, ForensicsSettings)
        folders = [Path(each).resolve() for each in self._settings.folders]
        for each in self.paths(params):
            path = Path(each)
            if folders and not any(path.resolve().is_relative_to(folder) for folder in folders):
                return Refused(f'{each} is outside the folders of [actions."{self.name}"] in config.toml')
            if not os.access(path, os.R_OK):
                return Failed(f"there is no {each} that halond may read; check the path and its permissions")
        return Plan(
            target=Target(self.target_kind, ", ".join(self.paths(params))[:512]),
            would=f"examine {', '.join(self.paths(params))} and keep the report",
            receipt={"report": str(_place(context))},
        )

    async def apply(
        self, params: ParamsT, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        stop = threading.Event()
        try:
            new, data = await asyncio.to_thread(self._keep, params, _place(context), stop.is_set)
            report = msgspec.json.decode(data, type=Report)
        except EvidenceError as error:
            return Failed(f"it can't be examined: {error}")
        except OSError as error:
            return Failed(f"the report can't be kept: {describe(error)}; make room or correct that, and run it again")
        except msgspec.DecodeError as error:
            return Failed(f"{_place(context)} is no report: {error}; move it away, and run it again")
        finally:
            stop.set()
        receipt: Receipt = {**plan.receipt, "report_sha256": sha256(data), "judgement": str(report.judgement)}
        detail = f"{report.judgement}: {report.summary}"
        if self.gate and report.judgement is not Judgement.CLEAN:
            return Failed(f"not passed: {report.summary}; the report is {_place(context)}")
        return Applied(receipt, detail) if new else AlreadyInPlace(receipt, detail)

    async def verify(self, params: ParamsT, receipt: Receipt, context: ActionContext) -> Verification:
        path, digest = Path(text_of(receipt, "report")), text_of(receipt, "report_sha256")
        try:
            data = await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError:
            return NotInForce(f"there is no {path}")
        except OSError as error:
            return Unknown(f"can't read the report back: {describe(error)}")
        if digest and sha256(data) != digest:
            return NotInForce(f"{path} was changed")
        try:
            report = msgspec.json.decode(data, type=Report)
        except msgspec.DecodeError as error:
            return NotInForce(f"{path} is no report: {error}")
        if self.gate and report.judgement is not Judgement.CLEAN:
            return NotInForce(f"not passed: {report.summary}")
        return InForce(f"{report.judgement}, {path}")

    def _keep(self, params: ParamsT, place: Path, stopped: Callable[[], bool]) -> tuple[bool, bytes]:
        """Whether the report is new, and its bytes; two runs of one intent take turns."""
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(place.parent):
            if place.exists():
                return False, place.read_bytes()
            examined = self.examine(params, stopped)
            if stopped():
                raise EvidenceError("the step was stopped")
            report = examined if isinstance(examined, Report) else examined[0]
            if not isinstance(examined, Report):
                _put(place.with_name(LEAVE_OUT), examined[1])
            # The report comes last: where it stands, all stands.
            return True, _put(place, report)


def _put(place: Path, value: Report | LeaveOut) -> bytes:
    """Write a file beside its place and rename it once it is whole; the bytes."""
    data = msgspec.json.format(msgspec.json.encode(value)) + b"\n"
    part = place.with_name(f".{place.name}.part")
    part.unlink(missing_ok=True)
    write_new(part, data, mode=0o400)
    move(part, place)
    return data


def _place(context: ActionContext) -> Path:
    return context.state_dir / "evidence" / context.incident / context.intent / "report.json"
