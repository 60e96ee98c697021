"""`evidence.capture`: files and the state of a process, to a write-once copy with a SHA-256 manifest.

The copy goes to STATE_DIR/evidence/INCIDENT/INTENT: `files/` mirrors absolute paths, `process/` holds what /proc shows,
`commands/` what programs said, manifest.json names each file with its hash, and what could not be captured with the
reason. It is built beside its place and renamed when it is whole, so one that was cut off is never mistaken for one.
"""

import asyncio
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from actions.evidence.copying import (
    Captured,
    Manifest,
    copy_file,
    copy_outputs,
    copy_process,
    read_manifest,
    verify_folder,
)
from actions.support import TargetError, describe, locked, move, run, sha256, sync_folder, text_of, write_new
from engine.action import Action, ActionContext, Params, Settings
from engine.clock import SECOND_US, Duration
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    Plan,
    Receipt,
    Refused,
    Target,
    Unknown,
    Verification,
)

_MAGIC = set("*?[")
_FREE_BYTES_MIN = 64 << 20


class EvidenceCaptureParams(Params, frozen=True):
    """What to keep: at least one path or a process."""

    paths: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^/[^\x00]+\Z", max_length=4096)], ...],
        Meta(max_length=100, description="absolute paths of files and folders, or globs (`**` too)"),
    ] = ()
    pid: (
        Annotated[
            int, Meta(ge=1, le=4_194_304, description="process whose state in /proc is kept, its environment left out")
        ]
        | None
    ) = None
    commands: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}\Z")], ...],
        Meta(max_length=16, description="programs of `commands` in config.toml whose output is kept"),
    ] = ()


class EvidenceCaptureSettings(Settings, frozen=True):
    """Limits; `folders`: if any are given, files outside of them are refused; `commands`: by name, what may be run.

    A command is a list that begins with an absolute path; it runs without a shell, for `command_timeout` at most.
    """

    file_bytes_max: Annotated[int, Meta(ge=1)] = 10 << 30
    total_bytes_max: Annotated[int, Meta(ge=1)] = 50 << 30
    files_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    folders: tuple[str, ...] = ()
    commands: dict[str, Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]] = {}
    command_timeout: Duration = Duration(10 * SECOND_US)


class EvidenceCapture(Action[EvidenceCaptureParams]):
    """Copies files, the state of a process and the output of commands into the incident's evidence, hashed, read-only.

    Irreversible: evidence that was kept is never deleted by Halon.
    """

    name = "evidence.capture"
    params = EvidenceCaptureParams
    settings = EvidenceCaptureSettings
    target_kind = "evidence"
    reversible = False
    privileges = "read the files; CAP_SYS_PTRACE or the same user for the state of a process"
    example = '{ do = "evidence.capture", paths = ["/srv/runs/7/config.json", "/srv/runs/7/*.npz"], pid = 4242 }'

    async def check(self, params: EvidenceCaptureParams, context: ActionContext) -> Plan | Refused | Failed:
        if not params.paths and params.pid is None and not params.commands:
            return Refused("nothing to capture: give `paths`, `pid`, or `commands`")
        if why := self._refuse_commands(params):
            return Refused(why)
        files, missing = await asyncio.to_thread(self._find, params)
        found = len(files) + (1 if params.pid is not None and Path(f"/proc/{params.pid}").exists() else 0)
        found += len(params.commands)
        if not found:
            return Failed("there is nothing to capture: " + "; ".join(f"{k}: {v}" for k, v in missing.items()))
        names = [*params.paths, *([f"pid {params.pid}"] if params.pid is not None else []), *params.commands]
        lost = f"; not found: {', '.join(missing)}" if missing else ""
        return Plan(
            target=Target("evidence", ", ".join(names)[:512]),
            would=f"keep {len(files)} files ({sum(info.st_size for _, info in files)} bytes){lost}",
            receipt={"folder": str(_folder(context))},
        )

    async def apply(
        self, params: EvidenceCaptureParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        if why := self._refuse_commands(params):
            return Refused(why)
        stop = threading.Event()
        try:
            outputs = {} if _folder(context).exists() else await self._run_commands(params)
            new, manifest = await asyncio.to_thread(self._capture, params, context, outputs, stop.is_set)
            receipt: Receipt = {
                "folder": str(_folder(context)),
                "manifest_sha256": sha256((_folder(context) / "manifest.json").read_bytes()),
                "files": len(manifest.files),
                "bytes": sum(each.bytes for each in manifest.files),
            }
        except OSError as error:
            return Failed(f"nothing was captured: {describe(error)}; make room or correct that, and run it again")
        finally:
            stop.set()  # a cancelled copy stops at its next chunk
        if manifest.missing:
            missing = "; ".join(f"{name}: {why}" for name, why in list(manifest.missing.items())[:10])
            return Failed(f"{len(manifest.files)} files were kept in {_folder(context)}, but not all: {missing}")
        detail = f"{len(manifest.files)} files in {_folder(context)}"
        return Applied(receipt, detail) if new else AlreadyInPlace(receipt, detail)

    async def verify(self, params: EvidenceCaptureParams, receipt: Receipt, context: ActionContext) -> Verification:
        folder = Path(text_of(receipt, "folder"))
        try:
            return await asyncio.to_thread(verify_folder, folder, text_of(receipt, "manifest_sha256"))
        except (OSError, msgspec.DecodeError) as error:
            return Unknown(f"can't read the evidence back: {describe(error) if isinstance(error, OSError) else error}")

    def _refuse_commands(self, params: EvidenceCaptureParams) -> str:
        """Why a command may not be run; empty where all may."""
        assert isinstance(self._settings, EvidenceCaptureSettings)
        for each in params.commands:
            argv = self._settings.commands.get(each)
            if argv is None:
                return f'`{each}` is not allowed; add it to [actions."evidence.capture".commands] in config.toml'
            if not argv[0].startswith("/"):
                return f"`{argv[0]}` of `{each}` must be an absolute path in config.toml"
        return ""

    async def _run_commands(self, params: EvidenceCaptureParams) -> dict[str, bytes | str]:
        """The output of each command, or why there is none."""
        assert isinstance(self._settings, EvidenceCaptureSettings)
        outputs: dict[str, bytes | str] = {}
        for each in params.commands:
            try:
                code, out, err = await run(
                    self._settings.commands[each], timeout_s=self._settings.command_timeout / SECOND_US
                )
            except TargetError as error:
                outputs[each] = str(error)
                continue
            text = out + (b"\n--- errors ---\n" + err if err else b"")
            if code:
                outputs[each] = f"it ended with exit code {code}; run it by hand to see why"
            elif len(text) > self._settings.file_bytes_max:
                outputs[each] = f"{len(text)} bytes are more than file_bytes_max = {self._settings.file_bytes_max}"
            else:
                outputs[each] = text
        return outputs

    def _find(self, params: EvidenceCaptureParams) -> tuple[list[tuple[Path, os.stat_result]], dict[str, str]]:
        """The plain files that the paths name now, and why each of the others can't be captured."""
        found: dict[Path, os.stat_result] = {}
        missing: dict[str, str] = {}
        assert isinstance(self._settings, EvidenceCaptureSettings)
        for named in params.paths:
            matches = [named]
            if _MAGIC & set(named):
                found_here = islice(Path("/").glob(named.lstrip("/")), self._settings.files_max + 1)
                matches = sorted(map(str, found_here))
            if not matches:
                missing[named] = "nothing matches"
            for each in _files_below(matches):
                why = self._judge(each, found)
                if why:
                    missing[str(each)] = why
                if len(found) >= self._settings.files_max:
                    missing[named] = f"more than files_max = {self._settings.files_max} files"
                    break
        return list(found.items()), missing

    def _judge(self, path: Path, found: dict[Path, os.stat_result]) -> str:
        """Takes the file up in `found`, or says why not."""
        assert isinstance(self._settings, EvidenceCaptureSettings)
        try:
            real = path.resolve(strict=True)
            info = real.stat()
        except OSError as error:
            return error.strerror or "can't be read"
        folders = [Path(each).resolve() for each in self._settings.folders]
        if path.is_symlink() and not real.is_relative_to(path.parent.resolve()):
            return "a symbolic link that leads out of its folder"
        if folders and not any(real.is_relative_to(folder) for folder in folders):
            return 'outside the folders of [actions."evidence.capture"] in config.toml'
        if not stat.S_ISREG(info.st_mode):
            return "not a plain file"
        if info.st_size > self._settings.file_bytes_max:
            return f"{info.st_size} bytes are more than file_bytes_max = {self._settings.file_bytes_max}"
        if sum(each.st_size for each in found.values()) + info.st_size > self._settings.total_bytes_max:
            return f"with it, all files are more than total_bytes_max = {self._settings.total_bytes_max}"
        found[real] = info
        return ""

    def _capture(
        self,
        params: EvidenceCaptureParams,
        context: ActionContext,
        outputs: dict[str, bytes | str],
        stopped: Callable[[], bool],
    ) -> tuple[bool, Manifest]:
        """Whether the copy is new, and its manifest. Runs in a thread; two runs of one intent take turns."""
        final = _folder(context)
        final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(final.parent):
            if final.exists():
                return False, read_manifest(final)[0]
            part = final.with_name(f".{final.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(mode=0o700)
            files, missing = self._find(params)
            if sum(info.st_size for _, info in files) + _FREE_BYTES_MIN > shutil.disk_usage(part).free:
                raise OSError(28, "there is not enough room on the disk for the evidence", str(final.parent))
            kept: list[Captured] = []
            for path, _ in files:
                try:
                    kept.append(copy_file(path, part, Path("files") / str(path).lstrip("/"), stopped))
                except OSError as error:
                    (part / "files" / str(path).lstrip("/")).unlink(missing_ok=True)
                    missing[str(path)] = error.strerror or "can't be read"
            if params.pid is not None:
                kept += copy_process(params.pid, part, missing, stopped)
            kept += copy_outputs(outputs, part, missing)
            manifest = Manifest(context.incident, context.intent, context.now_us(), tuple(kept), missing)
            write_new(part / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest)) + b"\n", mode=0o400)
            for folder, _, _ in os.walk(part, topdown=False):
                sync_folder(Path(folder))
                if Path(folder) != part:
                    Path(folder).chmod(0o500)
            move(part, final)
            final.chmod(0o500)
            return True, manifest


def _folder(context: ActionContext) -> Path:
    return context.state_dir / "evidence" / context.incident / context.intent


def _files_below(names: list[str]) -> Iterator[Path]:
    for name in names:
        path = Path(name)
        if path.is_dir() and not path.is_symlink():
            yield from (each for each in sorted(path.rglob("*")) if not each.is_dir() or each.is_symlink())
        else:
            yield path
