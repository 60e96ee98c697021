"""Files read again to a daemon that runs by them: rules and config, all built first and then swapped. `engine.app`.

A mistake anywhere leaves everything as it was. What takes a restart is left as it runs, and is named.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from engine import logs
from engine.clock import Clock
from engine.config import Config
from engine.core import Core
from engine.diagnostics import Diagnostic
from engine.intake.doorkeeper import DoorError, DoorKeeper, Plan
from engine.intake.formats import Formats
from engine.intake.http import Page
from engine.intake.proof import ProvenFormats
from engine.model import Json, Struct
from engine.observer import Observer
from engine.operate.contract import Act, Done, NotDone
from engine.pipeline import Pipeline, PipelineConfig
from engine.rulefile.rules import RuleSet
from engine.running import Running
from engine.store import audit
from engine.store.database import Store
from engine.store.errors import StoreError
from engine.store.seen import SeenIds

_log = structlog.get_logger("halon.reload")


class Reading(Struct, frozen=True):
    """Files read again: rules and config to swap in, or None for what has mistakes, and these."""

    rules: RuleSet | None
    diagnostics: tuple[Diagnostic, ...]
    config: Config | None


class Parts(Struct, frozen=True):
    """The parts of a running daemon that a reload changes."""

    store: Store
    core: Core
    seen: SeenIds
    pipeline: Pipeline
    keeper: DoorKeeper
    observer: Observer


class Built(Struct, frozen=True):
    """All that is made anew before anything is swapped."""

    config: Config
    rules: RuleSet
    plan: Plan
    formats: ProvenFormats


class Reload:
    """`reload` reads, builds and swaps; one at a time."""

    def __init__(
        self,
        parts: Parts,
        running: Running,
        *,
        read: Callable[[], Awaitable[Reading]],
        reconfigure: Callable[[Config], None],
        pipeline_config: Callable[[Config], PipelineConfig],
        pages: Callable[[Config], Mapping[str, Page]],
        announce: Callable[[str], None],
        clock: Clock,
    ) -> None:
        """`read` reads the files, `reconfigure` hands a config to containment, `announce` hears a line on what runs."""
        self._parts = parts
        self._running = running
        self._read = read
        self._reconfigure = reconfigure
        self._pipeline_config = pipeline_config
        self._pages = pages
        self._announce = announce
        self._clock = clock
        self._lock = asyncio.Lock()
        self.loaded_us = clock.now_us()
        self.error = ""
        """Why the last reload was refused; empty where it took."""

    async def reload(self, *, who: str) -> Act:
        """Take the files over, or leave everything as it was and say why."""
        async with self._lock:
            try:
                answer = await self._reload(who)
            except StoreError as error:  # of the record in the audit log; a signal has nobody to raise it to
                self.error = f"not on record: {error}"
                answer = NotDone(f"the store does not take the record of it: {error}; `halon status` says what runs")
                _log.error("a reload is not on record", who=who, reason=str(error))
        rules = self._parts.core.rules
        self._parts.observer.reloaded(rules, taken=isinstance(answer, Done), doors=self._parts.keeper.names)
        refused = f"; a reload was {self.error}" if self.error else ""
        self._announce(f"{len(rules.rules)} rules, mode {self._running.mode.value}{refused}")
        return answer

    async def _reload(self, who: str) -> Act:
        if self._parts.pipeline.commit_failing:
            # Its doors would stay closed until the store takes the swap.
            reason = f"the store takes nothing at present ({self._parts.pipeline.commit_failing}); reload when it does"
            self.error = f"refused: {reason}"
            return NotDone(reason)
        try:
            reading = await self._read()
        except OSError as error:
            return await self._refused(who, f"the files can't be read: {error}; the old ones go on")
        if reading.rules is None or reading.config is None:
            found = reading.diagnostics
            what = "the config has" if reading.config is None else "the new rules have"
            self.error = f"refused with {len(found)} findings; `halon check` shows them"
            await self._note("rules.refused", who, {"findings": len(found)})
            _log.error("a reload is refused; the old files go on", who=who, findings=len(found))
            return NotDone(f"{what} errors; the old ones go on", found)
        try:
            built = self._build(reading.config, reading.rules)
        except (DoorError, ValueError, OSError) as error:
            return await self._refused(who, f"{error}; the old config and rules go on")
        return await self._swap(built, who)

    def _build(self, config: Config, rules: RuleSet) -> Built:
        """Everything that can fail, before anything is touched; the doors last, since they take addresses."""
        formats = ProvenFormats(Formats(config), config)
        plan = self._parts.keeper.plan(config, pages=self._pages(config))
        return Built(config=config, rules=rules, plan=plan, formats=formats)

    async def _swap(self, built: Built, who: str) -> Done:
        parts, rules = self._parts, built.rules
        # Doors that go are emptied first, so that what they brought is read by the formats that it came under.
        await parts.keeper.retire(built.plan)
        changed = self._running.take(built.config)
        config = self._running.config

        def swap(core: Core) -> None:
            core.swap_rules(rules)
            core.reconfigure(config.limits, config.intake, config.guards.mode)
            parts.pipeline.reconfigure(built.formats, self._pipeline_config(config))
            parts.seen.reconfigure(horizon_us=config.intake.dedup_horizon)

        await parts.pipeline.change_core(swap)
        self._reconfigure(config)
        daemon = config.daemon
        logs.setup(daemon.log_level, daemon.log_format, clock=self._clock, levels=daemon.log_levels)
        parts.keeper.open(built.plan)
        return await self._took(who, changed, built)

    async def _took(self, who: str, changed: tuple[str, ...], built: Built) -> Done:
        rules, waiting = built.rules, self._running.restart_needed
        self.loaded_us, self.error = self._clock.now_us(), ""
        body: dict[str, Json] = {
            "digest": rules.digest,
            "rules": len(rules.rules),
            "changed": list(changed),
            "restart_needed": list(waiting),
            "doors": list(built.plan.touched),
        }
        await self._note("rules.loaded", who, body)
        _log.info("rules and config reloaded", who=who, **{**body, "signals": len(rules.signals)})
        counts = ((len(rules.rules), "rule"), (len(rules.signals), "signal"), (len(rules.files), "file"))
        said = ["{} and {} from {}".format(*(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts))]
        if taken := [key for key in changed if key not in waiting]:
            said.append(f"changed: {', '.join(taken)}")
        if built.plan.touched:
            said.append(f"doors opened anew or closed: {', '.join(built.plan.touched)}")
        if waiting:
            said.append(f"not changed, since it takes a restart: {', '.join(waiting)}")
        return Done("\n".join(said))

    async def _refused(self, who: str, reason: str) -> NotDone:
        self.error = f"refused: {reason}"
        await self._note("rules.refused", who, {"reason": reason})
        _log.error("a reload is refused; the old files go on", who=who, reason=reason)
        return NotDone(reason)

    async def _note(self, kind: str, who: str, body: dict[str, Json]) -> None:
        at_us = self._clock.now_us()
        await self._parts.store.write(lambda connection: audit.append(connection, kind, at_us, {"who": who, **body}))
