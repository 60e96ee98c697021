"""`kubernetes.cordon`: a node to one that gets no new pods; those on it go on."""

from typing import Annotated

from msgspec import Meta

from actions.kubernetes import NAME, Object, SetField
from engine.action import Params
from engine.model import Json, Target


class KubernetesCordonParams(Params, frozen=True):
    """Which node."""

    node: Annotated[str, Meta(pattern=NAME, description="name of the node")]


class KubernetesCordon(SetField[KubernetesCordonParams]):
    """Keeps new pods off a node; undo lets them on it again."""

    name = "kubernetes.cordon"
    params = KubernetesCordonParams
    target_kind = "endpoint"
    privileges = "a service account that may `get` and `patch` nodes"
    example = '{ do = "kubernetes.cordon", node = "gpu-3", hold = "24h" }'

    def path(self, params: KubernetesCordonParams) -> str:
        return f"/api/v1/nodes/{params.node}"

    def target(self, params: KubernetesCordonParams, found: Object) -> Target:
        return Target("endpoint", f"node {params.node}", dict(found["metadata"].get("labels") or {}))

    def wanted(self, params: KubernetesCordonParams) -> Json:
        return True

    def value(self, params: KubernetesCordonParams, found: Object) -> Json:
        return bool(found.get("spec", {}).get("unschedulable", False))

    def change(self, params: KubernetesCordonParams, value: Json) -> Object:
        return {"spec": {"unschedulable": True if value else None}}
