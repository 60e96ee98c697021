"""MLflow's model registry over its REST API, for the `mlflow.*` actions. Source: MLflow REST API, model registry."""

from typing import Annotated, Any

from msgspec import Meta

from actions.support import read_secret
from actions.web import Answer, Service
from engine.action import ActionContext, Settings
from engine.clock import SECOND_US, Duration
from engine.model import Struct

MODEL = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,127}\Z", description="name of the registered model")
]
_API = "/api/2.0/mlflow"
_VERSIONS_MAX = 200


class MlflowSettings(Settings, frozen=True):
    """The server; the tag (value `true`) of versions that verify, and the one that `mlflow.block-version` sets."""

    url: str = "http://127.0.0.1:5000"
    bearer_secret: str = ""
    ca_file: str = ""
    verified_tag: str = "halon.verified"
    blocked_tag: str = "halon.blocked"
    timeout: Duration = Duration(10 * SECOND_US)


class Version(Struct, frozen=True):
    """One version of a model: its number, the aliases that name it, its tags."""

    number: int
    aliases: tuple[str, ...]
    tags: dict[str, str]

    def has(self, tag: str) -> bool:
        """Whether the tag is set to `true`."""
        return self.tags.get(tag) == "true"


class Models:
    """One model in the registry. Every method raises TargetError."""

    def __init__(self, settings: MlflowSettings, model: str, context: ActionContext) -> None:
        token = read_secret(context, settings.bearer_secret)
        self._model = model
        self._service = Service(
            "MLflow",
            settings.url,
            rights="`bearer_secret` must name a secret with a token that may edit the model",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            ca_file=settings.ca_file,
            timeout_s=settings.timeout / SECOND_US,
        )

    async def alias(self, alias: str) -> int | None:
        """The version that an alias names; None where there is no such alias or model."""
        answer = await self._service.call(
            "GET", f"{_API}/registered-models/alias", query={"name": self._model, "alias": alias}
        )
        if answer.status in {400, 404} and answer.body.get("error_code") in {
            "RESOURCE_DOES_NOT_EXIST",
            "INVALID_PARAMETER_VALUE",
        }:
            return None
        return _version(self._good(answer, "the alias")["model_version"]).number

    async def version(self, number: int) -> Version | None:
        """A version, or None where there is none."""
        query = {"name": self._model, "version": str(number)}
        answer = await self._service.call("GET", f"{_API}/model-versions/get", query=query)
        if answer.status == 404:
            return None
        return _version(self._good(answer, "the version")["model_version"])

    async def versions(self) -> list[Version]:
        """The last versions of the model that are ready, the newest first."""
        query = {
            "filter": f"name='{self._model}'",
            "max_results": str(_VERSIONS_MAX),
            "order_by": "version_number DESC",
        }
        answer = await self._service.call("GET", f"{_API}/model-versions/search", query=query)
        found = self._good(answer, "the versions").get("model_versions") or []
        ready = [_version(each) for each in found if each.get("status", "READY") == "READY"]
        return sorted(ready, key=lambda each: -each.number)

    async def set_alias(self, alias: str, number: int) -> None:
        """Lets an alias name a version."""
        body = {"name": self._model, "alias": alias, "version": str(number)}
        self._good(await self._service.call("POST", f"{_API}/registered-models/alias", body), "setting the alias")

    async def drop_alias(self, alias: str) -> None:
        """Removes an alias."""
        body = {"name": self._model, "alias": alias}
        self._good(await self._service.call("DELETE", f"{_API}/registered-models/alias", body), "removing the alias")

    async def set_tag(self, number: int, tag: str, value: str) -> None:
        """Sets a tag of a version."""
        body = {"name": self._model, "version": str(number), "key": tag, "value": value}
        self._good(await self._service.call("POST", f"{_API}/model-versions/set-tag", body), "setting the tag")

    async def drop_tag(self, number: int, tag: str) -> None:
        """Removes a tag of a version."""
        body = {"name": self._model, "version": str(number), "key": tag}
        self._good(await self._service.call("DELETE", f"{_API}/model-versions/delete-tag", body), "removing the tag")

    def _good(self, answer: Answer, what: str) -> dict[str, Any]:
        if not answer.good:
            raise self._service.refused(answer, what)
        return answer.body


def _version(found: dict[str, Any]) -> Version:
    aliases = tuple(each["alias"] if isinstance(each, dict) else str(each) for each in found.get("aliases") or [])
    tags = {each["key"]: each.get("value", "") for each in found.get("tags") or []}
    return Version(int(found["version"]), aliases, tags)
