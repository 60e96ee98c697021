"""engine.intake.doorapi: the HTTP door of a real daemon held to its document, by schemathesis and by hand."""

import json
from urllib.request import urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from engine.config import HttpConfig
from engine.intake.doorapi import document
from tests.support.daemon import Daemon
from tests.support.realparts import free_port

TOKEN = "s3cret"
RULES = '[signal.any]\non = "x"\n'
CONFIG = """
[http]
enabled = true
port = {port}
[[http.senders]]
name = "events"
token_file = "token"
per_second_max = 100000
burst_max = 100000
[[http.senders]]
name = "plain"
token_file = "token"
format = "json"
map = {{ type = "payload.kind" }}
per_second_max = 100000
burst_max = 100000
[[http.senders]]
name = "falco"
token_file = "token"
format = "falco"
per_second_max = 100000
burst_max = 100000
[[http.senders]]
name = "once"
token_file = "token"
per_second_max = 1
burst_max = 1
"""
CHECKED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
EXAMPLES = 30


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A daemon with the door alone; at the end it still runs and has lost nothing that it accepted."""
    folder, number = tmp_path_factory.mktemp("door"), free_port()
    (folder / "token").write_text(TOKEN)
    halon = Daemon(folder, port=None, rules=RULES, config=CONFIG.format(port=number))
    halon.config.write_text("mqtt = []\n" + halon.config.read_text())
    with halon:
        yield number
        assert halon.runs, halon.tail()
        assert halon.status().live.in_flight == 0
        assert not [line for line in halon.lines() if line["level"] in {"error", "critical"}], halon.tail()


@pytest.fixture(scope="module")
def schema(port):
    with urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=20) as answer:
        return schemathesis.openapi.from_dict(json.load(answer))


def test_the_document_is_served_as_it_is_made(port):
    """By the door itself, to whoever reaches it."""
    with urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=20) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        assert json.load(answer) == json.loads(json.dumps(document(HttpConfig(port=port))))


@pytest.mark.parametrize("sender", ["events", "plain", "falco", "none"])
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_comes_is_answered_as_the_document_says(port, schema, sender, mode):
    """Valid and invalid bodies of every media type, to known and unknown senders: never 5xx, always a reason."""
    operation = schema["/events/{sender}"]["POST"]
    cases = operation.as_strategy(generation_mode=mode, path_parameters={"sender": sender})

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def fuzz(case: Case) -> None:
        response = case.call(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20
        )
        case.validate_response(response, checks=CHECKED)
        if sender == "none":
            assert response.status_code in {401, 404}

    fuzz()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
def test_each_page_answers_as_the_document_says(port, schema, path):
    """200 or 503, in the media type that is written down."""
    case = schema[path]["GET"].Case()
    case.validate_response(case.call(base_url=f"http://127.0.0.1:{port}", timeout=20), checks=CHECKED)


def test_a_wrong_answer_would_be_found(port, schema):
    """The checks are awake: a document that does not allow 401 is contradicted."""
    raw = json.loads(json.dumps(schema.raw_schema))
    del raw["paths"]["/events/{sender}"]["post"]["responses"]["401"]
    case = schemathesis.openapi.from_dict(raw)["/events/{sender}"]["POST"].Case(
        path_parameters={"sender": "events"}, body={}, media_type="application/json"
    )
    response = case.call(base_url=f"http://127.0.0.1:{port}", timeout=20)
    assert response.status_code == 401
    with pytest.raises(BaseException, match="401"):
        case.validate_response(response, checks=CHECKED)
