"""The composition root: a config file to a running daemon, and its end. `halon run` calls `main`.

Everything that can fail on bad files fails before anything starts. Start: store, audit chain, core state, leases and
holds, doors, control socket, READY. Stop: doors, pipeline, containment, control socket, store. What is contained stays
contained.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

import msgspec

from actions.table import load_catalogue
from engine import logs
from engine.action import Catalogue
from engine.anchoring import Anchoring
from engine.cel.contract import CelFault, Scope
from engine.cel.declare import ScopeKind
from engine.cel.environment import CelEnvironment
from engine.cel.runtime import Want
from engine.clock import SECOND_US, Clock, PositiveDuration, SystemClock
from engine.clockwatch import ClockWatch
from engine.collector import at_rest, calm
from engine.config import Config
from engine.configfile import load_config
from engine.contain.environment import Escalation, Protected
from engine.contain.secrets import Secrets
from engine.contain.service import Contain
from engine.core import Core
from engine.detectors.table import DETECTORS
from engine.diagnostics import render
from engine.intake.broker import BrokerError, EmbeddedBroker
from engine.intake.contract import Doors, Inbox
from engine.intake.doorkeeper import DoorError, DoorKeeper
from engine.intake.feed import Feed
from engine.intake.formats import Formats
from engine.intake.heartbeat import Heartbeat
from engine.intake.mqtt import MqttIntake
from engine.intake.proof import ProvenFormats
from engine.intake.secretfile import read_secret
from engine.model import Target
from engine.observer import Observer
from engine.opening import open_store, say_damaged
from engine.operate import views
from engine.operate.control import ControlError, ControlServer
from engine.operate.metrics import Metrics
from engine.operate.scrape import Scrape
from engine.operate.sdnotify import SdNotify
from engine.operate.shown import Stored
from engine.pages import Pages
from engine.pipeline import CORE_CLOCK, Pipeline, PipelineConfig
from engine.readiness import Readiness, beat_every_s
from engine.reload import Parts, Reading, Reload
from engine.retention import Retention
from engine.rulefile.load import load_rules
from engine.rulefile.rules import RuleSet
from engine.running import Overrides, Running
from engine.shipped import Places, anchor, find_places
from engine.steering import Steer
from engine.store import incidents, intents, state
from engine.store.archive import ARCHIVE
from engine.store.batch import BatchLimits
from engine.store.connection import Connection
from engine.store.database import Store
from engine.store.errors import StoreCorrupt, StoreError
from engine.store.recorder import RecorderLimits
from engine.store.seen import SeenIds, digest
from engine.tending import Tending

EXIT_OK, EXIT_FINDINGS, EXIT_USAGE, EXIT_DAMAGED = 0, 1, 2, 3
STEPS_SHARE = 0.7
"""Of `daemon.stop_within`, for running steps; the rest is for doors and store."""
SWITCH_S = 0.0005
"""How long a thread keeps the interpreter from the event loop; Python's own 5 ms are felt from event to action."""

_log = logs.get_logger("halon")


class StartError(Exception):
    """The daemon can't start or go on; the message says why and what to do."""


def main(config_path: Path, overrides: Overrides) -> int:
    """Run the daemon until SIGTERM or SIGINT; the exit code.

    0 in order, 1 findings or a failure, 2 bad config, 3 the store was found damaged while the daemon ran.
    """
    catalogue = load_catalogue()
    if not config_path.is_file():
        print(f"there is no config file {config_path}: name one with --config", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    config, found = load_config(config_path, catalogue=catalogue.catalogue)
    if config is None:
        print(render(found), file=sys.stderr, end="")  # noqa: T201
        return EXIT_USAGE
    config, places = overrides.on(anchor(config, config_path.parent)), find_places(config, config_path.parent)
    reading = read_rules(config, places, catalogue.catalogue)
    if reading.rules is None:
        print(render(reading.diagnostics), file=sys.stderr, end="")  # noqa: T201
        return EXIT_FINDINGS
    clock = SystemClock()
    logs.setup(config.daemon.log_level, config.daemon.log_format, clock=clock, levels=config.daemon.log_levels)
    for problem in catalogue.problems:
        _log.warning("an action plug-in is left out", problem=problem)

    def read() -> Reading:
        return read_files(config_path, overrides, catalogue.catalogue)

    daemon = Daemon(config, places, catalogue.catalogue, reading.rules, read=read, clock=clock)
    code = EXIT_OK
    calm()
    sys.setswitchinterval(SWITCH_S)
    try:
        asyncio.run(daemon.run())
    except* (StartError, StoreError, ControlError, BrokerError, OSError) as failures:
        code = EXIT_FINDINGS
        for failure in _leaves(failures):
            if isinstance(failure, StoreCorrupt):
                daemon.say_damaged(failure)
                code = EXIT_DAMAGED
            else:
                _log.error("the daemon stops", reason=str(failure) or type(failure).__name__)
    daemon.last_resort.cancel()
    return code


def read_rules(config: Config, places: Places, catalogue: Catalogue) -> Reading:
    """The rules that a config names, checked."""
    rules, found = load_rules(
        places.rules,
        catalogue=catalogue,
        detectors=DETECTORS,
        step_timeout_us=config.contain.step_timeout,
        step_retries=config.contain.retries,
    )
    return Reading(rules=rules, diagnostics=tuple(found), config=config)


def read_files(config_path: Path, overrides: Overrides, catalogue: Catalogue) -> Reading:
    """The config file and the rules that it names, as they are now."""
    config, found = load_config(config_path, catalogue=catalogue)
    if config is None:
        return Reading(rules=None, diagnostics=tuple(found), config=None)
    places = find_places(config, config_path.parent)
    return read_rules(overrides.on(anchor(config, config_path.parent)), places, catalogue)


class Daemon:
    """One run of the daemon."""

    def __init__(
        self,
        config: Config,
        places: Places,
        catalogue: Catalogue,
        rules: RuleSet,
        *,
        read: Callable[[], Reading],
        clock: Clock,
    ) -> None:
        """`read` reads the files again, for a reload."""
        self._config = config
        self._running = Running(config)
        self._places = places
        self._catalogue = catalogue
        self._rules = rules
        self._read = read
        self._clock = clock
        self._stop = asyncio.Event()
        self._damaged = False
        self.last_resort = threading.Timer(config.daemon.stop_within / SECOND_US, _end_now)
        """Ends the process at `daemon.stop_within` after it was told to stop, whatever still runs."""
        self.last_resort.daemon = True

    async def run(self) -> None:
        """From start to stop."""
        config, clock = self._config, self._clock
        self._places.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        notify = SdNotify.from_environment(clock)
        metrics = Metrics()
        readiness = Readiness(notify, f"{len(self._rules.rules)} rules, mode {self._running.mode.value}", clock)
        observer = Observer(clock, metrics, failed=readiness.commit_failed)
        async with AsyncExitStack() as teardown:
            store = await open_store(self._places.database, key=self._audit_key(), clock=clock)
            teardown.push_async_callback(store.close)
            core, seen = await self._restore(store)
            contain = Contain(
                store=store,
                catalogue=self._catalogue,
                settings=config.actions,
                clock=clock,
                config=_acting_config(config),
                secrets=Secrets.of_process(),
                notify=_escalate,
                moved=observer.moved,
                state_dir=self._places.state_dir,
                protected=_protected(config.guards.protected),
            )
            inbox = Inbox()
            heartbeat = Heartbeat(inbox, clock, every_s=beat_every_s(notify), beat=readiness.beat)
            pages = Pages(readiness)
            feed = Feed(inbox, clock, known=lambda event: digest(event.source, event.id) in seen)
            doors = Doors([heartbeat, feed], inbox)
            readiness.doors = doors
            keeper = DoorKeeper(doors, inbox, clock, known=lambda identity: identity in seen)
            try:
                decoder = ProvenFormats(Formats(config), config)
                plan = keeper.plan(config, pages=pages.by_path(config.http))
            except (DoorError, ValueError, OSError) as error:
                raise StartError(str(error)) from error
            teardown.callback(plan.discard)
            keeper.prepare(plan)
            metrics.expect(self._rules, (name for name in doors.doors if name != heartbeat.name))
            pipeline = Pipeline(
                doors=doors,
                decoder=decoder,
                seen=seen,
                core=core,
                store=store,
                submit=contain.submit,
                watcher=observer,
                clock=clock,
                config=_pipeline_config(config),
            )
            reload = Reload(
                Parts(
                    store=store,
                    core=core,
                    seen=seen,
                    pipeline=pipeline,
                    keeper=keeper,
                    observer=observer,
                ),
                self._running,
                read=self._read_again,
                reconfigure=lambda fresh: contain.reconfigure(
                    _acting_config(fresh), _protected(fresh.guards.protected)
                ),
                pipeline_config=_pipeline_config,
                pages=lambda fresh: pages.by_path(fresh.http),
                announce=readiness.reloaded,
                clock=clock,
            )
            tending = Tending(
                running=self._running, store=store, core=core, pipeline=pipeline, contain=contain, clock=clock
            )
            await tending.restore()
            contain.recovered = tending.close_recovered
            steering = Steer(
                version=version("halon"),
                pid=os.getpid(),
                running=self._running,
                reload=reload,
                store=store,
                core=core,
                pipeline=pipeline,
                contain=contain,
                tending=tending,
                doors=doors,
                feed=feed,
                clock=clock,
                observer=observer,
            )

            def stored(connection: Connection) -> Stored:
                return views.stored(connection, now_us=clock.now_us(), budgets=self._running.config.guards.budget)

            pages.scrape = scrape = Scrape(
                metrics,
                status=steering.status,
                read=store.read,
                stored=stored,
                evictions=core.evictions,
                paused=lambda: bool(contain.paused),
            )
            control = ControlServer(
                self._places.control_socket,
                steering=steering,
                read=store.read,
                apart=store.apart,
                stored=stored,
                metrics=scrape.render,
            )
            broker = EmbeddedBroker(config.broker, config.intake) if config.broker.enabled else None
            if broker is not None:
                await teardown.enter_async_context(broker)
            await control.start()
            teardown.push_async_callback(control.stop)
            async with asyncio.TaskGroup() as group:
                self._on_signals(group, steering, readiness)
                serving = [group.create_task(self._watch(store), name="store")]
                acting = group.create_task(contain.run(), name="contain")
                await contain.ready.wait()
                keeper.attach(group)
                keeper.open(plan)
                serving += [group.create_task(each.run(), name=f"door {each.name}") for each in (heartbeat, feed)]
                if broker is not None:
                    serving.append(group.create_task(broker.watch(), name="broker"))
                retention = Retention(
                    store, clock, self._places.state_dir / ARCHIVE, config=lambda: self._running.config
                )
                serving.append(group.create_task(retention.run(), name="retention"))
                watch = ClockWatch(clock, store, pipeline, seen)
                serving.append(group.create_task(watch.run(), name="clock"))
                anchoring = Anchoring(
                    store,
                    clock,
                    config=lambda: self._running.config,
                    publisher=lambda name: door if isinstance(door := doors.doors.get(name), MqttIntake) else None,
                )
                serving.append(group.create_task(anchoring.run(), name="audit anchor"))
                flowing = group.create_task(pipeline.run(), name="pipeline")
                _log.info(
                    "halon runs",
                    version=version("halon"),
                    mode=self._running.mode.value,
                    rules=len(self._rules.rules),
                    signals=len(self._rules.signals),
                    control=str(self._places.control_socket),
                )
                await self._stop.wait()
                stop_within_s = self._running.config.daemon.stop_within / SECOND_US
                self.last_resort.interval = stop_within_s
                self.last_resort.start()
                notify.stopping("finishing what runs")
                _log.info("stopping; what is contained stays contained")
                doors.pause()
                pipeline.stop()
                await contain.stop()
                await asyncio.wait([flowing, acting], timeout=STEPS_SHARE * stop_within_s)
                keeper.cancel()
                for task in [*serving, flowing, acting]:
                    task.cancel()
        _log.info("stopped")

    def say_damaged(self, error: StoreCorrupt) -> None:
        """The store is damaged under the daemon that runs: said once, however it became known."""
        if not self._damaged:
            self._damaged = True
            say_damaged(self._places.database, error, self._clock)
            SdNotify.from_environment(self._clock).status(f"ends: {error}; the next start keeps it aside")

    async def _watch(self, store: Store) -> None:
        """End the daemon where the store turns out damaged, in whatever read or write: others may only wait for it."""
        error = await store.damage()
        self.say_damaged(error)
        raise error

    def _audit_key(self) -> bytes | None:
        written = self._config.audit.key_file
        try:
            return read_secret(written).encode() if written else None
        except (OSError, ValueError) as error:
            raise StartError(f"the audit key: {error}") from error

    async def _restore(self, store: Store) -> tuple[Core, SeenIds]:
        core = Core(self._rules, self._config.limits, self._config.intake, self._running.mode)
        seen = SeenIds(horizon_us=self._config.intake.dedup_horizon)
        now_us = self._clock.now_us()

        def load(connection: Connection) -> list[str]:
            seen.load(connection, now_us)
            said = core.restore(state.load(connection), int(state.fact(connection, CORE_CLOCK) or b"0"))
            known = {each.id for each in core.open_incidents()}
            for each in incidents.load_not_closed(connection, but=known):
                if core.adopt(each, intents.steps_of(connection, each.id)):
                    said.append(f"incident {each.id} is open and its state was lost: it is taken over from its record")
            return said

        with at_rest(settle=True):
            notices = await store.read(load)
        for notice in notices:
            _log.warning("state rebuilt from nothing", reason=notice)
        return core, seen

    async def _read_again(self) -> Reading:
        return await asyncio.to_thread(self._read)

    def _on_signals(self, group: asyncio.TaskGroup, steering: Steer, readiness: Readiness) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

        def reload() -> None:
            readiness.reloading()
            group.create_task(steering.reload(who="SIGHUP"), name="reload")

        loop.add_signal_handler(signal.SIGHUP, reload)


def _acting_config(config: Config) -> Config:
    """The config as containment has it: with its share of the time to stop."""
    daemon = msgspec.structs.replace(
        config.daemon, stop_within=PositiveDuration(round(STEPS_SHARE * config.daemon.stop_within))
    )
    return msgspec.structs.replace(config, daemon=daemon)


def _end_now() -> None:
    """End the process with what does not end by itself: an action that swallows its cancellation, a hanging thread.

    Every move of a step is committed before its effect, so the next start takes it up as after a crash.
    """
    _log.critical("something does not end; it is left as it is, and taken up at the next start")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(EXIT_OK)


def _pipeline_config(config: Config) -> PipelineConfig:
    return PipelineConfig(
        batch_events_max=config.intake.batch_events_max,
        batch_age_us=config.intake.batch_age,
        commit_retry_us=config.store.commit_retry,
        limits=BatchLimits(
            dedup_horizon_us=config.intake.dedup_horizon,
            deadletters_max=config.intake.deadletters_max,
            contain_within_us=config.incidents.contain_within,
            investigate_within_us=config.incidents.investigate_within,
            recover_within_us=config.incidents.recover_within,
            recorder=RecorderLimits(
                events_max=config.recorder.events_max,
                bytes_max=config.recorder.bytes_max,
                age_us=config.recorder.age,
            ),
            pin_after_us=config.recorder.after,
        ),
    )


def _protected(source: str) -> Protected:
    """`guards.protected` as a function of the target; none are protected where it is empty."""
    if not source:
        return lambda _: False
    made = CelEnvironment({}).compile(source, scope=ScopeKind.TARGET, want=Want.BOOL)
    assert not isinstance(made, tuple), "load_config has checked it"

    def judge(target: Target) -> bool:
        answer = made.evaluate(Scope(target=target))
        if not isinstance(answer, bool):
            raise CelFault(f"it gives {answer!r}, not true or false")
        return answer

    return judge


def _escalate(escalation: Escalation) -> None:
    """Someone should know: on the log, at the level that alerts are made from."""
    _log.error(
        "escalation",
        cause=escalation.cause.value,
        reason=escalation.reason,
        incident=escalation.incident,
        intent=escalation.intent,
        lease=escalation.lease,
        severity=escalation.severity,
    )


def _leaves(failures: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for each in failures.exceptions:
        leaves += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return leaves
