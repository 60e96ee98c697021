"""config.toml as frozen structs: every key with its default, units in names or types, unknown keys forbidden.

`engine.configfile` turns the text into a `Config` or diagnostics. The comments for operators stand in config.toml
itself; a test holds the two equal.
"""

from typing import Annotated, Literal

from msgspec import Meta

from engine.clock import SECOND_US, Duration, PositiveDuration
from engine.model import Json, Mode, Resolution, Struct

Count = Annotated[int, Meta(ge=1, le=100_000_000)]
CountOrNone = Annotated[int, Meta(ge=0, le=100_000_000)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
PortOrNone = Annotated[int, Meta(ge=0, le=65_535)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]

Level = Literal["debug", "info", "warning", "error"]


def _seconds(count: float) -> PositiveDuration:
    return PositiveDuration(round(count * SECOND_US))


class DaemonConfig(Struct, frozen=True):
    """`[daemon]`"""

    state_dir: str = "/var/lib/halon"
    control_socket: str = ""
    stop_within: PositiveDuration = _seconds(10)
    log_level: Level = "info"
    log_levels: dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.]{1,100}\Z")], Level] = {}
    log_format: Literal["auto", "console", "json"] = "auto"


class RulesConfig(Struct, frozen=True):
    """`[rules]`"""

    paths: tuple[str, ...] = ("rules",)


class IntakeConfig(Struct, frozen=True):
    """`[intake]`"""

    payload_bytes_max: Count = 1_048_576
    payload_events_max: Count = 10_000
    batch_events_max: Count = 500
    batch_age: Duration = _seconds(0)
    in_flight_max: Count = 2_000
    in_flight_bytes_max: Count = 67_108_864
    dedup_horizon: Duration = _seconds(3_600)
    deadletters_max: Count = 1_000
    future_max: Duration = _seconds(300)
    lateness_max: Duration = _seconds(60)


class BrokerConfig(Struct, frozen=True):
    """`[broker]`"""

    enabled: bool = False
    listen: str = "127.0.0.1"
    port: Port = 1883
    mqtt5_port: PortOrNone = 0


class EventMap(Struct, frozen=True):
    """`map` of a `json` topic: CEL over `topic` (list of levels) and `payload` for each attribute of the event.

    `each` gives the list whose items are the payloads, where one message brings several.
    """

    type: str
    each: str = ""
    source: str = ""
    subject: str = ""
    id: str = ""
    time: str = ""
    data: str = "payload"


class MayConfig(Struct, frozen=True):
    """`may` of a topic or sender: event types (`training.*` for all below) and beginnings of `source`. Empty: any."""

    types: tuple[Annotated[str, Meta(pattern=r"^[^*\s]+(\.\*)?\Z")], ...] = ()
    sources: tuple[Annotated[str, Meta(min_length=1)], ...] = ()


Format = Literal[
    "cloudevents",
    "json",
    "alertmanager",
    "cloudtrail",
    "dcgm",
    "falco",
    "kserve",
    "kubernetes-audit",
    "kubernetes-events",
    "litellm",
    "mlflow",
    "otlp",
    "sagemaker-monitor",
]
"""CloudEvents, plain JSON with a `map`, and the producers of `engine.intake.producers.table`."""


class SignatureConfig(Struct, frozen=True):
    """`signature` of a topic or sender: what is not signed under one of these keys is not believed."""

    key_files: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    scheme: Literal["standard-webhooks", "mlflow"] = "standard-webhooks"


class TopicConfig(Struct, frozen=True):
    """One entry of `topics`."""

    filter: Annotated[str, Meta(min_length=1, max_length=65_535)]
    format: Format = "cloudevents"
    map: EventMap | None = None
    may: MayConfig = MayConfig()
    signature: SignatureConfig | None = None


class TlsConfig(Struct, frozen=True):
    """`[mqtt.tls]`: to a broker. Without `ca_file` the machine's own authorities are trusted."""

    enabled: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


class MqttConfig(Struct, frozen=True):
    """One `[[mqtt]]` broker."""

    name: Name = "local"
    host: Annotated[str, Meta(min_length=1, max_length=253)] = "127.0.0.1"
    port: Port = 1883
    client: Literal["aiomqtt", "mqtt5"] = "aiomqtt"
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    client_id: Annotated[str, Meta(min_length=1, max_length=128)] = "halon"
    keepalive: PositiveDuration = _seconds(30)
    session_expiry: Duration = _seconds(86_400)
    packet_bytes_max: Annotated[int, Meta(ge=0, le=268_435_455)] = 0
    reconnect_max: PositiveDuration = _seconds(30)
    username: str = ""
    password_file: str = ""
    status_topic: str = ""
    tls: TlsConfig = TlsConfig()
    topics: tuple[TopicConfig, ...] = (TopicConfig(filter="halon/events/#"),)


class SenderConfig(Struct, frozen=True):
    """One `[[http.senders]]`: who may post to `/events/NAME`, and in which format. One of the two secrets is needed."""

    name: Name
    format: Format = "cloudevents"
    token_file: str = ""
    hmac_file: str = ""
    hmac_header: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")] = "X-Hub-Signature-256"
    per_second_max: Count = 100
    burst_max: Count = 200
    map: EventMap | None = None
    may: MayConfig = MayConfig()
    signature: SignatureConfig | None = None


class HttpConfig(Struct, frozen=True):
    """`[http]`"""

    enabled: bool = False
    listen: str = "127.0.0.1"
    port: Port = 8480
    certificate_file: str = ""
    key_file: str = ""
    connections_max: Count = 1_000
    requests_max: Count = 256
    body_within: Duration = _seconds(10)
    durable_within: Duration = _seconds(30)
    metrics: bool = True
    senders: tuple[SenderConfig, ...] = ()


class StoreConfig(Struct, frozen=True):
    """`[store]`"""

    path: str = ""
    commit_retry: PositiveDuration = _seconds(1)


class AuditConfig(Struct, frozen=True):
    """`[audit]`"""

    key_file: str = ""
    anchor_topic: Annotated[str, Meta(pattern=r"^[^+#\x00]*\Z", max_length=65_535)] = ""
    anchor_broker: str = ""
    anchor_every: PositiveDuration = _seconds(300)
    anchor_records: Count = 1_000


class RetentionConfig(Struct, frozen=True):
    """`[retention]`; 0 keeps for ever."""

    incidents: Duration = _seconds(0)
    audit: Duration = _seconds(0)


class LimitsConfig(Struct, frozen=True):
    """`[limits]`"""

    keys_max: Count = 100_000
    signals_per_incident_max: Count = 100
    matches_per_rule_max: Count = 100_000


class EscalationConfig(Struct, frozen=True):
    """One entry of `escalation`: what is said `after` a deadline was missed, and to whom."""

    after: Duration
    channel: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{0,64}\Z")] = ""
    level: Literal["info", "success", "warning", "failure"] = "warning"


class IncidentsConfig(Struct, frozen=True):
    """`[incidents]`"""

    contain_within: PositiveDuration = _seconds(900)
    investigate_within: PositiveDuration = _seconds(7_200)
    recover_within: PositiveDuration = _seconds(86_400)
    escalation: Annotated[tuple[EscalationConfig, ...], Meta(max_length=20)] = (
        EscalationConfig(after=Duration(0)),
        EscalationConfig(after=_seconds(900), level="failure"),
        EscalationConfig(after=_seconds(3_600), level="failure"),
        EscalationConfig(after=_seconds(14_400), level="failure"),
    )
    close_recovered: bool = False
    reopen_within: Duration = _seconds(86_400)
    reopen: tuple[Resolution, ...] = (Resolution.RESOLVED,)
    watch_for: Duration = _seconds(86_400)


class RecorderConfig(Struct, frozen=True):
    """`[recorder]`"""

    events_max: CountOrNone = 100_000
    bytes_max: Count = 67_108_864
    age: PositiveDuration = _seconds(3_600)
    before: Duration = _seconds(300)
    after: Duration = _seconds(60)
    pinned_events_max: Count = 1_000
    pinned_bytes_max: Count = 67_108_864


class ContainConfig(Struct, frozen=True):
    """`[contain]`"""

    parallel_max: Count = 16
    step_timeout: PositiveDuration = _seconds(30)
    retries: CountOrNone = 2
    retry_backoff: PositiveDuration = _seconds(0.5)
    lease: PositiveDuration = _seconds(86_400)
    reconcile_every: PositiveDuration = _seconds(30)
    reapply_max: CountOrNone = 3


class BudgetConfig(Struct, frozen=True):
    """`[guards.budget.KIND]`; 0 means no limit."""

    held_max: CountOrNone = 0
    per_hour_max: CountOrNone = 0
    serving_min: Share = 0.0


class GuardsConfig(Struct, frozen=True):
    """`[guards]`"""

    mode: Mode = Mode.ENFORCE
    protected: str = ""
    approval_timeout: PositiveDuration = _seconds(900)
    budget: dict[str, BudgetConfig] = {}


class Config(Struct, frozen=True):
    """The whole of config.toml. `actions` holds the tables of single actions, checked by each action's own struct."""

    daemon: DaemonConfig = DaemonConfig()
    rules: RulesConfig = RulesConfig()
    intake: IntakeConfig = IntakeConfig()
    broker: BrokerConfig = BrokerConfig()
    mqtt: tuple[MqttConfig, ...] = (MqttConfig(),)
    http: HttpConfig = HttpConfig()
    store: StoreConfig = StoreConfig()
    audit: AuditConfig = AuditConfig()
    retention: RetentionConfig = RetentionConfig()
    limits: LimitsConfig = LimitsConfig()
    incidents: IncidentsConfig = IncidentsConfig()
    recorder: RecorderConfig = RecorderConfig()
    contain: ContainConfig = ContainConfig()
    guards: GuardsConfig = GuardsConfig()
    actions: dict[str, dict[str, Json]] = {}
