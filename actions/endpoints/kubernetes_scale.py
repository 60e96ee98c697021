"""`kubernetes.scale`: a Deployment or StatefulSet to a number of replicas, down to none."""

from typing import Annotated, Literal

from msgspec import Meta

from actions.kubernetes import NAME, Object, SetField
from engine.action import Params
from engine.model import Json, Target

_PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


class KubernetesScaleParams(Params, frozen=True):
    """Which workload to how many replicas."""

    namespace: Annotated[str, Meta(pattern=NAME, description="its namespace")]
    workload: Annotated[str, Meta(pattern=NAME, description="its name")]
    kind: Annotated[Literal["Deployment", "StatefulSet"], Meta(description="its kind")] = "Deployment"
    replicas: Annotated[int, Meta(ge=0, le=10_000, description="how many are to run")] = 0


class KubernetesScale(SetField[KubernetesScaleParams]):
    """Scales a workload, in force once no more pods than that are left; undo gives it its former number.

    A HorizontalPodAutoscaler may scale it again, but not from 0: that is seen as drift.
    """

    name = "kubernetes.scale"
    params = KubernetesScaleParams
    target_kind = "endpoint"
    privileges = "a service account that may `get` and `patch` deployments/scale and statefulsets/scale"
    example = '{ do = "kubernetes.scale", namespace = "inference", workload = "llm-a", replicas = 0, hold = "1h" }'

    def path(self, params: KubernetesScaleParams) -> str:
        return f"/apis/apps/v1/namespaces/{params.namespace}/{_PLURALS[params.kind]}/{params.workload}/scale"

    def target(self, params: KubernetesScaleParams, found: Object) -> Target:
        name = f"{params.namespace}/{params.kind}/{params.workload}"
        return Target("endpoint", name, {"pool": name, "namespace": params.namespace})

    def wanted(self, params: KubernetesScaleParams) -> Json:
        return params.replicas

    def value(self, params: KubernetesScaleParams, found: Object) -> Json:
        return int(found.get("spec", {}).get("replicas", 0))

    def change(self, params: KubernetesScaleParams, value: Json) -> Object:
        return {"spec": {"replicas": value}}

    def lags(self, params: KubernetesScaleParams, found: Object) -> str:
        left = int(found.get("status", {}).get("replicas", 0))
        return f"{left} pods are left" if left > params.replicas else ""

    def share(self, params: KubernetesScaleParams, found: Object) -> float | None:
        before = int(found.get("spec", {}).get("replicas", 0))
        return min(1.0, params.replicas / before) if before else None
