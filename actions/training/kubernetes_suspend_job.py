"""`kubernetes.suspend-job`: a Job, or one of Kubeflow's TrainJob and PyTorchJob, to one whose pods are ended for now.

Sources: Kubernetes `batch/v1`; Kubeflow Trainer `trainer.kubeflow.org/v1alpha1` and Training Operator
`kubeflow.org/v1`. Each of the controllers sets the condition `Suspended` once it has followed.
"""

from typing import Annotated, Literal

from msgspec import Meta

from actions.kubernetes import NAME, Object, SetField
from engine.action import Params
from engine.model import Json, Target

_BASES = {
    "Job": ("/apis/batch/v1", "jobs"),
    "TrainJob": ("/apis/trainer.kubeflow.org/v1alpha1", "trainjobs"),
    "PyTorchJob": ("/apis/kubeflow.org/v1", "pytorchjobs"),
}
_ENDED = frozenset({"Complete", "Succeeded", "Failed"})


class KubernetesSuspendJobParams(Params, frozen=True):
    """Which job."""

    namespace: Annotated[str, Meta(pattern=NAME, description="its namespace")]
    job: Annotated[str, Meta(pattern=NAME, description="its name")]
    kind: Annotated[Literal["Job", "TrainJob", "PyTorchJob"], Meta(description="its kind")] = "Job"


class KubernetesSuspendJob(SetField[KubernetesSuspendJobParams]):
    """Suspends a job: its pods are ended, and started anew when it is resumed, from a checkpoint if the job keeps any.

    Undo resumes it. What was computed since the last checkpoint is lost.
    """

    name = "kubernetes.suspend-job"
    params = KubernetesSuspendJobParams
    target_kind = "training"
    privileges = "a service account that may `get` and `patch` jobs (or trainjobs, pytorchjobs)"
    example = (
        '{ do = "kubernetes.suspend-job", namespace = "training", job = "run-7", kind = "PyTorchJob", hold = "2h" }'
    )

    def path(self, params: KubernetesSuspendJobParams) -> str:
        base, plural = _BASES[params.kind]
        return f"{base}/namespaces/{params.namespace}/{plural}/{params.job}"

    def target(self, params: KubernetesSuspendJobParams, found: Object) -> Target:
        labels = {"namespace": params.namespace, **(found["metadata"].get("labels") or {})}
        return Target("training", f"{params.namespace}/{params.kind}/{params.job}", labels)

    def wanted(self, params: KubernetesSuspendJobParams) -> Json:
        return True

    def value(self, params: KubernetesSuspendJobParams, found: Object) -> Json:
        spec = found.get("spec", {})
        holder = spec.get("runPolicy") or {} if params.kind == "PyTorchJob" else spec
        return bool(holder.get("suspend", False))

    def change(self, params: KubernetesSuspendJobParams, value: Json) -> Object:
        field: Object = {"suspend": bool(value)}
        return {"spec": {"runPolicy": field} if params.kind == "PyTorchJob" else field}

    def refuse(self, params: KubernetesSuspendJobParams, found: Object) -> str:
        ended = _conditions(found) & _ENDED
        return f"{params.job} has ended: {', '.join(sorted(ended))}" if ended else ""

    def lags(self, params: KubernetesSuspendJobParams, found: Object) -> str:
        active = int(found.get("status", {}).get("active") or 0)
        if active:
            return f"{active} of its pods still run"
        return "" if "Suspended" in _conditions(found) else "its controller has not ended its pods yet"


def _conditions(found: Object) -> frozenset[str]:
    """The types of the conditions that are true."""
    conditions = found.get("status", {}).get("conditions") or []
    return frozenset(each.get("type", "") for each in conditions if each.get("status") == "True")
