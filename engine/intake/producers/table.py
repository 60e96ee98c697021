"""All producers by the name that stands as `format` in config.toml; `engine.config` lists the same names."""

from collections.abc import Mapping

from engine.intake.producers.alertmanager import Alertmanager
from engine.intake.producers.cloudtrail import Cloudtrail
from engine.intake.producers.contract import Producer
from engine.intake.producers.dcgm import Dcgm
from engine.intake.producers.falco import Falco
from engine.intake.producers.kserve import Kserve
from engine.intake.producers.kubernetes_audit import KubernetesAudit
from engine.intake.producers.kubernetes_events import KubernetesEvents
from engine.intake.producers.litellm import Litellm
from engine.intake.producers.mlflow import Mlflow
from engine.intake.producers.otlp import Otlp
from engine.intake.producers.sagemaker_monitor import SagemakerMonitor

PRODUCERS: Mapping[str, type[Producer]] = {
    each.name: each
    for each in (
        Alertmanager,
        Cloudtrail,
        Dcgm,
        Falco,
        Kserve,
        KubernetesAudit,
        KubernetesEvents,
        Litellm,
        Mlflow,
        Otlp,
        SagemakerMonitor,
    )
}
