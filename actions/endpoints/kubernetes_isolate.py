"""`kubernetes.isolate`: the pods with some labels to ones that nothing reaches and that reach nothing.

A NetworkPolicy that allows nothing is put over them. Policies add up: what another policy allows, stays allowed, so
the step is refused where one does, and is not in force once one is added.
"""

from typing import Annotated

from msgspec import Meta

from actions.kubernetes import NAME, Cluster, KubernetesSettings, Object, has_labels
from actions.support import TargetError, failed, probed, sha256
from engine.action import Action, ActionContext, Params
from engine.model import (
    AlreadyInPlace,
    Applied,
    Conflict,
    Failed,
    InForce,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Target,
    Undoing,
    Undone,
    Unknown,
    Verification,
)

_LABEL = r"^([a-z0-9.-]{1,200}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z"
_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?\Z"


class KubernetesIsolateParams(Params, frozen=True):
    """Which pods."""

    namespace: Annotated[str, Meta(pattern=NAME, description="their namespace")]
    labels: Annotated[
        dict[Annotated[str, Meta(pattern=_LABEL)], Annotated[str, Meta(pattern=_VALUE)]],
        Meta(min_length=1, max_length=16, description="labels that all of them have"),
    ]


class KubernetesIsolate(Action[KubernetesIsolateParams]):
    """Denies all traffic of pods by a NetworkPolicy, both ways; undo removes it.

    The cluster's network plug-in must enforce NetworkPolicies, which the API can't tell; whether it cuts connections
    that are established, and traffic of the node itself, is up to it too.
    """

    name = "kubernetes.isolate"
    params = KubernetesIsolateParams
    settings = KubernetesSettings
    target_kind = "endpoint"
    reversible = True
    privileges = (
        "a service account that may `list` pods and `get`, `list`, `create`, `patch` and `delete` networkpolicies;"
        " a network plug-in that enforces them"
    )
    example = '{ do = "kubernetes.isolate", namespace = "inference", labels = { app = "llm-a" }, hold = "24h" }'

    async def probe(self, context: ActionContext) -> str:
        return await probed(Cluster(self._own(), context).read("/version"))

    async def check(self, params: KubernetesIsolateParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            cluster = Cluster(self._own(), context)
            pods = await self._pods(cluster, params)
            if not pods:
                return Failed(f"no pod in {params.namespace} has the labels {_shown(params)}; check them")
            if holes := await self._holes(cluster, params, pods):
                return Refused(f"the policy {holes[0]} allows traffic of these pods, and can't be overruled; remove it")
            found = await cluster.read(_path(params))
        except TargetError as error:
            return failed(error)
        name = f"{params.namespace}/{_shown(params)}"
        return Plan(
            target=Target("endpoint", name, {"namespace": params.namespace, **params.labels}),
            would=f"deny all traffic of {len(pods)} pods in {params.namespace} with {_shown(params)}",
            receipt={"policy": _policy_name(params), "before": found is not None and _denies(found, params)},
            in_place=found is not None and _denies(found, params),
        )

    async def apply(
        self, params: KubernetesIsolateParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            cluster = Cluster(self._own(), context)
            found = await cluster.read(_path(params))
            if found is not None and _denies(found, params):
                return AlreadyInPlace(plan.receipt, f"there is the policy {_policy_name(params)}")
            if found is None:
                await cluster.create(_base(params), _policy(params))
            else:
                await cluster.patch(_path(params), {"spec": {**_spec(params), "ingress": None, "egress": None}})
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"the policy {_policy_name(params)} denies all their traffic")

    async def verify(self, params: KubernetesIsolateParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            cluster = Cluster(self._own(), context)
            found = await cluster.read(_path(params))
            holes = await self._holes(cluster, params, await self._pods(cluster, params))
        except TargetError as error:
            return Unknown(str(error))
        if found is None or not _denies(found, params):
            return NotInForce(f"the policy {_policy_name(params)} is {'gone' if found is None else 'changed'}")
        if holes:
            return NotInForce(f"the policy {holes[0]} allows traffic of these pods")
        return InForce(f"the policy {_policy_name(params)} is there, and no other allows anything")

    async def undo(self, params: KubernetesIsolateParams, receipt: Receipt, context: ActionContext) -> Undoing:
        if receipt.get("before"):
            return Undone("the policy was there before; it still is")
        try:
            cluster = Cluster(self._own(), context)
            found = await cluster.read(_path(params))
            if found is None:
                return Undone("the policy is gone already")
            if not _denies(found, params):
                return Conflict(f"someone changed the policy {_policy_name(params)} since; left as it is")
            await cluster.delete(_path(params))
        except TargetError as error:
            by_hand = f"kubectl -n {params.namespace} delete networkpolicy {_policy_name(params)}"
            return Failed(f"{error}; or do it by hand: {by_hand}")
        return Undone(f"the policy {_policy_name(params)} is removed")

    async def _pods(self, cluster: Cluster, params: KubernetesIsolateParams) -> list[Object]:
        return await cluster.items(f"/api/v1/namespaces/{params.namespace}/pods", labels=params.labels)

    async def _holes(self, cluster: Cluster, params: KubernetesIsolateParams, pods: list[Object]) -> list[str]:
        """Names of other policies that select one of the pods and allow anything."""
        found = await cluster.items(_base(params))
        others = [each for each in found if each["metadata"].get("name") != _policy_name(params)]
        return [each["metadata"].get("name", "") for each in others if _allows(each) and _selects(each, pods)]

    def _own(self) -> KubernetesSettings:
        assert isinstance(self._settings, KubernetesSettings)
        return self._settings


def _allows(policy: Object) -> bool:
    spec = policy.get("spec") or {}
    return bool(spec.get("ingress") or spec.get("egress"))


def _selects(policy: Object, pods: list[Object]) -> bool:
    # Expressions are not evaluated: a policy that has some is taken to select the pods, to be on the safe side.
    selector = (policy.get("spec") or {}).get("podSelector") or {}
    return any(has_labels(pod, selector.get("matchLabels") or {}) for pod in pods)


def _spec(params: KubernetesIsolateParams) -> Object:
    return {
        "podSelector": {"matchLabels": dict(params.labels)},
        "policyTypes": ["Ingress", "Egress"],
    }


def _denies(policy: Object, params: KubernetesIsolateParams) -> bool:
    """Whether it is our policy as it was made; the API leaves out lists that are empty."""
    spec = policy.get("spec") or {}
    return not _allows(policy) and {name: spec.get(name) for name in _spec(params)} == _spec(params)


def _policy(params: KubernetesIsolateParams) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": _policy_name(params),
            "namespace": params.namespace,
            "labels": {"app.kubernetes.io/managed-by": "halon"},
        },
        "spec": _spec(params),
    }


def _shown(params: KubernetesIsolateParams) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(params.labels.items()))


def _policy_name(params: KubernetesIsolateParams) -> str:
    return f"halon-isolate-{sha256(_shown(params).encode())[:10]}"


def _base(params: KubernetesIsolateParams) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{params.namespace}/networkpolicies"


def _path(params: KubernetesIsolateParams) -> str:
    return f"{_base(params)}/{_policy_name(params)}"
