"""The Kubernetes API for the `kubernetes.*` actions, and what those share that set one field of one object.

Source: Kubernetes API reference; changes are JSON merge patches (RFC 7386), which no controller's field is lost by.
"""

import asyncio
from abc import abstractmethod
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from actions.support import TargetError, failed, probed, read_secret
from actions.web import Service
from engine.action import Action, ActionContext, Params, Settings
from engine.clock import SECOND_US, Duration
from engine.model import (
    AlreadyInPlace,
    Applied,
    Conflict,
    Failed,
    InForce,
    Json,
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

Object = dict[str, Any]
ParamsT = TypeVar("ParamsT", bound=Params)

NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z"
Name = Annotated[str, Meta(pattern=NAME)]
_SETTLE_STEP_S = 0.25


class KubernetesSettings(Settings, frozen=True):
    """The API server, the secret with a service account's token; `settle` is how long controllers get to follow."""

    server: str = "https://kubernetes.default.svc"
    token_secret: str = ""
    ca_file: str = ""
    timeout: Duration = Duration(10 * SECOND_US)
    settle: Duration = Duration(15 * SECOND_US)


class Cluster:
    """The objects of one cluster. Every method raises TargetError."""

    def __init__(self, settings: KubernetesSettings, context: ActionContext) -> None:
        token = read_secret(context, settings.token_secret)
        self._service = Service(
            "the Kubernetes API",
            settings.server,
            rights="see `privileges` of this action, and whether `token_secret` names a valid token",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            ca_file=settings.ca_file,
            timeout_s=settings.timeout / SECOND_US,
        )

    async def read(self, path: str) -> Object | None:
        """An object, or None where there is none."""
        answer = await self._service.call("GET", path)
        if answer.status == 404:
            return None
        if not answer.good:
            raise self._service.refused(answer, f"GET {path}")
        return answer.body

    async def items(self, path: str, *, labels: dict[str, str] | None = None) -> list[Object]:
        """The objects of a list, those with the labels only."""
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())} if labels else None
        answer = await self._service.call("GET", path, query=query)
        found = answer.body.get("items")
        if not answer.good or not isinstance(found, list):
            raise self._service.refused(answer, f"GET {path}")
        return [each for each in found if has_labels(each, labels or {})]

    async def create(self, path: str, body: Object) -> None:
        """Makes an object."""
        await self._change("POST", path, body, "application/json")

    async def patch(self, path: str, body: Object) -> None:
        """Merges fields into an object."""
        await self._change("PATCH", path, body, "application/merge-patch+json")

    async def delete(self, path: str) -> None:
        """Removes an object, if it is there."""
        answer = await self._service.call("DELETE", path)
        if not answer.good and answer.status != 404:
            raise self._service.refused(answer, f"DELETE {path}")

    async def _change(self, method: str, path: str, body: Object, content_type: str) -> None:
        answer = await self._service.call(method, path, body, content_type=content_type)
        if not answer.good:
            raise self._service.refused(answer, f"{method} {path}")


def has_labels(found: Object, labels: dict[str, str]) -> bool:
    """Whether an object has all of these labels."""
    own = found.get("metadata", {}).get("labels") or {}
    return all(own.get(name) == value for name, value in labels.items())


class SetField(Action[ParamsT]):
    """Base of actions that set one field of one object, and give it its former value back."""

    settings = KubernetesSettings
    reversible = True

    @abstractmethod
    def path(self, params: ParamsT) -> str:
        """Where the object is in the API."""

    @abstractmethod
    def target(self, params: ParamsT, found: Object) -> Target:
        """The object for guards and leases."""

    @abstractmethod
    def wanted(self, params: ParamsT) -> Json:
        """The value that the field is set to."""

    @abstractmethod
    def value(self, params: ParamsT, found: Object) -> Json:
        """The value that the field has; the API's default where it is left out."""

    @abstractmethod
    def change(self, params: ParamsT, value: Json) -> Object:
        """The merge patch that sets the field."""

    def refuse(self, params: ParamsT, found: Object) -> str:
        """Why it makes no sense for this object; empty where it does."""
        return ""

    def lags(self, params: ParamsT, found: Object) -> str:
        """What the field's controller has yet to do; empty where the effect is there."""
        return ""

    def share(self, params: ParamsT, found: Object) -> float | None:
        """Which share of a pool serves afterwards, for endpoints."""
        return None

    async def probe(self, context: ActionContext) -> str:
        return await probed(Cluster(self.own(), context).read("/version"))

    async def check(self, params: ParamsT, context: ActionContext) -> Plan | Refused | Failed:
        try:
            found = await self._read(params, context)
        except TargetError as error:
            return failed(error)
        if why := self.refuse(params, found):
            return Refused(why)
        target, value = self.target(params, found), self.value(params, found)
        return Plan(
            target=target,
            would=f"set {target.name} from {value} to {self.wanted(params)}",
            receipt={"before": value},
            in_place=not self._why_not(params, found),
            serving_share_after=self.share(params, found),
        )

    async def apply(
        self, params: ParamsT, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            found = await self._read(params, context)
            if not self._why_not(params, found):
                return AlreadyInPlace(plan.receipt, f"it is {self.value(params, found)}")
            await Cluster(self.own(), context).patch(self.path(params), self.change(params, self.wanted(params)))
            lag = await self._settle(params, context)
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"it is set to {self.wanted(params)}{lag and f', but {lag}'}")

    async def verify(self, params: ParamsT, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            found = await Cluster(self.own(), context).read(self.path(params))
        except TargetError as error:
            return Unknown(str(error))
        why = self._why_not(params, found) if found is not None else "it is gone"
        return NotInForce(why) if why else InForce(f"it is {self.wanted(params)}")

    async def undo(self, params: ParamsT, receipt: Receipt, context: ActionContext) -> Undoing:
        before = receipt.get("before")
        try:
            cluster = Cluster(self.own(), context)
            found = await cluster.read(self.path(params))
            if found is None or self.value(params, found) == before:
                return Undone(f"it is {'gone' if found is None else before} already")
            if self.value(params, found) != self.wanted(params):
                return Conflict(f"someone set it to {self.value(params, found)} since; left as it is")
            await cluster.patch(self.path(params), self.change(params, before))
        except TargetError as error:
            return Failed(f"{error}; or set it back to {before} by hand")
        return Undone(f"it is {before} again")

    def _why_not(self, params: ParamsT, found: Object) -> str:
        value = self.value(params, found)
        return self.lags(params, found) if value == self.wanted(params) else f"it is {value}"

    async def _read(self, params: ParamsT, context: ActionContext) -> Object:
        found = await Cluster(self.own(), context).read(self.path(params))
        if found is None:
            raise TargetError(f"the cluster has no {self.path(params)}; check its name and namespace")
        return found

    async def _settle(self, params: ParamsT, context: ActionContext) -> str:
        """Gives the controller its time; what it has yet to do then."""
        lag = ""
        for _ in range(max(1, round(self.own().settle / SECOND_US / _SETTLE_STEP_S))):
            lag = self.lags(params, await self._read(params, context))
            if not lag:
                break
            await asyncio.sleep(_SETTLE_STEP_S)
        return lag

    def own(self) -> KubernetesSettings:
        """The settings."""
        assert isinstance(self._settings, KubernetesSettings)
        return self._settings
