"""MLflow's webhooks to `model.registered` and `model.alias` events, and its other kinds as they are."""

import re
from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import Part, digest, known, make_event, read_json, rfc3339_us
from engine.model import Event, Json

DELIVERY = "x-mlflow-delivery-id"
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class Mlflow(Producer):
    """MLflow's webhooks of the model registry (3.3 and later, SQL backends).

    A new model or version is `model.registered`, an alias that is set or removed `model.alias` (removed: without
    `version`). What has no place in docs/events.md (tags, prompts, budgets) keeps MLflow's own words, as
    `mlflow.model_version_tag.set`, for own rules. MLflow does not say who did it.

    MLflow signs with the secret of the webhook, of 24 characters or more (`scheme = "mlflow"`). It posts to public
    addresses over https only, unless its environment has `MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true` and
    `MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https`.
    """

    name = "mlflow"
    title = "MLflow webhooks"
    types = ("model.registered", "model.alias", "mlflow.*")
    connect = """
```toml
[[http.senders]]
name      = "mlflow"
format    = "mlflow"
signature = { key_files = ["credential:mlflow-webhook"], scheme = "mlflow" }
```

```python
from mlflow import MlflowClient

MlflowClient().create_webhook(
    name="halon",
    url="https://halon.internal:8480/events/mlflow",
    secret=open("/etc/mlflow/halon-secret").read().strip(),
    events=[
        "registered_model.created",
        "model_version.created",
        "model_version_alias.created",
        "model_version_alias.deleted",
    ],
)
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        body = read_json(message.body)
        if isinstance(body, Malformed):
            yield body
            return
        entity, action = body.text("entity"), body.text("action")
        if not (entity and action and _WORD.fullmatch(entity) and _WORD.fullmatch(action)):
            yield Malformed("not a webhook of MLflow: `entity` or `action` is missing")
            return
        what = body.at("data")
        kind, data = _named(entity, action, what)
        yield make_event(
            message,
            "",
            # The body has the time of the happening in it; a delivery that is tried again has the same body
            id=digest(message.source, message.headers.get(DELIVERY), message.body.decode("utf-8", "replace")),
            type=kind,
            subject=what.name("name"),
            time_us=rfc3339_us(body.text("timestamp")),
            data={**data, **known(workspace=body.name("workspace"))},
        )


def _named(entity: str, action: str, what: Part) -> tuple[str, dict[str, Json]]:
    """The type of the event and its data."""
    model = what.name("name")
    match entity, action:
        case ("registered_model" | "model_version", "created"):
            return "model.registered", known(
                registered_model=model,
                version=what.integer("version"),
                origin=what.name("source"),
                run=what.name("run_id"),
                tags=what.table("tags"),
                description=what.text("description"),
            )
        case ("model_version_alias", "created" | "deleted"):
            return "model.alias", known(
                registered_model=model,
                alias=what.name("alias"),
                version=what.integer("version"),
                action="set" if action == "created" else "removed",
            )
        case _:
            return f"mlflow.{entity}.{action}", known(**{name: each.value for name, each in what.members().items()})
