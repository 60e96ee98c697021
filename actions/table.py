"""The table of all actions, in the order of the manual; and the one with the plug-ins of the entry-point group merged.

Only `engine.app` and `engine.cli` import it; everyone else is handed the `Catalogue`.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from actions.anywhere.exec_run import ExecRun
from actions.anywhere.http_request import HttpRequest
from actions.anywhere.mqtt_publish import MqttPublish
from actions.clients.gateway_block_key import GatewayBlockKey
from actions.clients.ratelimit_client import RatelimitClient
from actions.credentials.aws_disable_access_key import AwsDisableAccessKey
from actions.credentials.aws_rotate_access_key import AwsRotateAccessKey
from actions.credentials.aws_rotate_secret import AwsRotateSecret
from actions.credentials.file_rotate_token import FileRotateToken
from actions.credentials.mosquitto_disable_client import MosquittoDisableClient
from actions.credentials.mosquitto_rotate_password import MosquittoRotatePassword
from actions.credentials.postgres_disable_login import PostgresDisableLogin
from actions.credentials.postgres_rotate_password import PostgresRotatePassword
from actions.credentials.redis_disable_user import RedisDisableUser
from actions.credentials.redis_rotate_password import RedisRotatePassword
from actions.credentials.vault_revoke_lease import VaultRevokeLease
from actions.credentials.vault_rotate_role import VaultRotateRole
from actions.endpoints.aws_quarantine_instance import AwsQuarantineInstance
from actions.endpoints.haproxy_disable import HaproxyDisable
from actions.endpoints.haproxy_drain import HaproxyDrain
from actions.endpoints.kubernetes_cordon import KubernetesCordon
from actions.endpoints.kubernetes_isolate import KubernetesIsolate
from actions.endpoints.kubernetes_scale import KubernetesScale
from actions.endpoints.nftables_isolate import NftablesIsolate
from actions.evidence.evidence_capture import EvidenceCapture
from actions.evidence.notify import Notify
from actions.forensics.forensics_audit_membership import ForensicsAuditMembership
from actions.forensics.forensics_check_gradients import ForensicsCheckGradients
from actions.forensics.forensics_compare_activations import ForensicsCompareActivations
from actions.forensics.forensics_compare_samples import ForensicsCompareSamples
from actions.forensics.forensics_compare_weights import ForensicsCompareWeights
from actions.forensics.forensics_find_adversarial import ForensicsFindAdversarial
from actions.forensics.forensics_find_poison import ForensicsFindPoison
from actions.forensics.forensics_find_wrong_labels import ForensicsFindWrongLabels
from actions.forensics.forensics_measure_bias import ForensicsMeasureBias
from actions.forensics.forensics_scan_pickle import ForensicsScanPickle
from actions.forensics.forensics_scan_privacy import ForensicsScanPrivacy
from actions.forensics.forensics_verify_model import ForensicsVerifyModel
from actions.forensics.forensics_verify_signature import ForensicsVerifySignature
from actions.models.mlflow_block_version import MlflowBlockVersion
from actions.models.mlflow_repoint_alias import MlflowRepointAlias
from actions.models.model_quarantine import ModelQuarantine
from actions.models.model_restore import ModelRestore
from actions.models.model_validate import ModelValidate
from actions.training.aws_stop_training_job import AwsStopTrainingJob
from actions.training.kubernetes_suspend_job import KubernetesSuspendJob
from actions.training.process_freeze import ProcessFreeze
from actions.training.process_kill import ProcessKill
from actions.training.ray_stop_job import RayStopJob
from actions.training.slurm_cancel import SlurmCancel
from actions.training.slurm_hold_user import SlurmHoldUser
from actions.training.slurm_suspend import SlurmSuspend
from actions.training.systemd_stop_unit import SystemdStopUnit
from engine.action import Action, Catalogue
from engine.model import Struct

GROUP = "halon.actions"
"""Entry-point group of third-party actions: name = the action's name, value = its class."""

_ACTIONS: tuple[type[Action[Any]], ...] = (
    # endpoint
    NftablesIsolate,
    HaproxyDrain,
    HaproxyDisable,
    KubernetesIsolate,
    KubernetesScale,
    KubernetesCordon,
    AwsQuarantineInstance,
    # training
    ProcessFreeze,
    ProcessKill,
    SlurmSuspend,
    SlurmCancel,
    SlurmHoldUser,
    SystemdStopUnit,
    KubernetesSuspendJob,
    AwsStopTrainingJob,
    RayStopJob,
    # credential
    FileRotateToken,
    PostgresDisableLogin,
    PostgresRotatePassword,
    RedisDisableUser,
    RedisRotatePassword,
    MosquittoDisableClient,
    MosquittoRotatePassword,
    AwsDisableAccessKey,
    AwsRotateAccessKey,
    AwsRotateSecret,
    VaultRevokeLease,
    VaultRotateRole,
    # model
    ModelQuarantine,
    ModelRestore,
    ModelValidate,
    MlflowRepointAlias,
    MlflowBlockVersion,
    # client
    RatelimitClient,
    GatewayBlockKey,
    # evidence
    EvidenceCapture,
    ForensicsVerifyModel,
    ForensicsVerifySignature,
    ForensicsScanPickle,
    ForensicsCompareWeights,
    ForensicsFindPoison,
    ForensicsCompareActivations,
    ForensicsCheckGradients,
    ForensicsFindAdversarial,
    ForensicsCompareSamples,
    ForensicsFindWrongLabels,
    ForensicsScanPrivacy,
    ForensicsAuditMembership,
    ForensicsMeasureBias,
    Notify,
    # any
    ExecRun,
    HttpRequest,
    MqttPublish,
)

CATALOGUE = Catalogue({each.name: each for each in _ACTIONS})
"""The shipped actions by name, in the order of the table."""


class Loaded(Struct, frozen=True):
    """The catalogue that runs, and what is wrong with plug-ins, one sentence each: they are left out, never half in."""

    catalogue: Catalogue
    problems: tuple[str, ...] = ()


def load_catalogue() -> Loaded:
    """The shipped actions and those of the entry-point group `halon.actions`."""
    actions = dict(CATALOGUE.actions)
    problems: list[str] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        found = "has the name of another action" if entry.name in actions else _load(entry)
        if isinstance(found, str):
            problems.append(f"action `{entry.name}` of {_owner(entry)} ({entry.value}) is left out: it {found}")
        else:
            actions[entry.name] = found
    return Loaded(Catalogue(actions), tuple(problems))


def _load(entry: EntryPoint) -> type[Action[Any]] | str:
    """The plug-in's class, or what is wrong with it."""
    try:
        found = entry.load()
    except Exception as error:  # noqa: BLE001  # the boundary to code of others: whatever it raises, the daemon goes on
        return f"can't be imported ({type(error).__name__}: {error})"
    if not (isinstance(found, type) and issubclass(found, Action)):
        return "is not a subclass of engine.action.Action"
    lacking = [each for each in ("name", "params", "target_kind", "reversible", "privileges", "example")
               if not hasattr(found, each)]  # fmt: skip
    if lacking:
        return f"lacks {', '.join(lacking)}"
    if found.__abstractmethods__:
        return f"does not implement {', '.join(sorted(found.__abstractmethods__))}"
    if found.name != entry.name:
        return f"calls itself `{found.name}`"
    if found.reversible and found.undo is Action.undo:
        return "says it is reversible, but has no undo"
    return found


def _owner(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"
