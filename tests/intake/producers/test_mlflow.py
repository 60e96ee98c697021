"""engine.intake.producers.mlflow: what operators rely on beyond the samples."""

import json

import pytest

from tests.support.samples import SAMPLES, converted

BODY = json.loads(SAMPLES["mlflow"].body)


def webhook(**other):
    return converted("mlflow", body=json.dumps({**BODY, **other}).encode())


def test_an_alias_that_is_removed_has_no_version():
    """MLflow says only which alias went."""
    [event] = webhook(entity="model_version_alias", action="deleted", data={"name": "llm-a", "alias": "prod"}).events
    assert (event.type, event.subject) == ("model.alias", "llm-a")
    assert event.data == {"registered_model": "llm-a", "alias": "prod", "action": "removed"}


def test_a_new_model_without_versions_is_registered_too():
    """`registered_model.created` comes before its first version."""
    [event] = webhook(entity="registered_model", data={"name": "llm-b", "tags": {}, "description": "d"}).events
    assert (event.type, event.data) == ("model.registered", {"registered_model": "llm-b", "description": "d"})


def test_a_workspace_is_told():
    """Where MLflow has workspaces, two may have a model of one name."""
    [event] = webhook(workspace="fraud").events
    assert event.data["workspace"] == "fraud"


def test_a_delivery_that_is_tried_again_is_the_same_event_and_a_new_one_is_not():
    """MLflow repeats a delivery with the same id and body."""
    [first], [again] = webhook().events, webhook().events
    headers = {**SAMPLES["mlflow"].headers, "x-mlflow-delivery-id": "another"}
    [other] = converted("mlflow", headers=headers).events
    assert first.id == again.id != other.id


@pytest.mark.parametrize(
    ("entity", "action"), [("Model Version", "created"), ("x" * 99, "set"), ("a.b", "c"), (7, "x")]
)
def test_words_that_are_none_of_mlflow_are_refused(entity, action):
    """They would become a type."""
    assert webhook(entity=entity, action=action).events == []
