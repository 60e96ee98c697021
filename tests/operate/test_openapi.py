"""engine.operate.openapi: the document against the routes, and against what a daemon answers on a real socket."""

import contextlib
import json
import re

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from engine.operate.client import _UnixConnection
from engine.operate.contract import Close, Handed, Reason, WatchKey
from engine.operate.control import ControlServer
from engine.operate.openapi import OPERATIONS, document
from tests.support.steered import serving
from tests.support.stored import INCIDENT, LEASE, make_database
from tests.support.unixhttp import BASE_URL, session_of
from tests.support.wait import until

DOCUMENT = document()
FUZZED = schemathesis.openapi.from_dict(DOCUMENT)
BODIES = {
    Close: {"resolution": "resolved"},
    WatchKey: {"key": {"model": "m-1"}},
    Reason: {"reason": "a test"},
    Handed: {"events": [{}], "recording": "a.jsonl", "run": "r1"},
}
PLACES = {"incident": INCIDENT.id, "lease": LEASE.id, "number": "1", "step": "recover.0"}


@pytest.fixture(scope="module")
def socket_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    with serving(folder / "control.sock", make_database(folder / "halon.db")):
        until((folder / "control.sock").exists)
        yield folder / "control.sock"


def ask(path, method, url, body=None):
    connection = _UnixConnection(path)
    connection.request(method, url, body=body)
    answer = connection.getresponse()
    status, kind, text = answer.status, answer.headers["Content-Type"].split(";")[0], answer.read()
    connection.close()
    return status, kind, text


def validate(method, path, status, kind, text):
    """The answer is one that the document has for this route and status."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    response = responses.get(str(status), responses["default"])
    schema = response["content"][kind]["schema"]
    if kind == "application/json":
        whole = {**schema, "components": DOCUMENT["components"]}
        jsonschema.Draft202012Validator(whole).validate(json.loads(text))


def test_the_document_has_exactly_the_routes_that_are_served():
    """No route is missing, and none is described that does not exist."""
    server = ControlServer(None, steering=None, read=None, apart=None, stored=None)
    served = {
        (route.method, re.sub(r"\{(\w+)(?::[^}]*\})?[^}]*\}", r"{\1}", route.resource.canonical))
        for route in server._app().router.routes()
        if route.method != "HEAD"
    }
    assert served == set(OPERATIONS)


def test_the_document_is_served_as_it_is_made(socket_path):
    """`/v1/openapi.json` is the document."""
    status, kind, text = ask(socket_path, "GET", "/v1/openapi.json")
    assert (status, kind) == (200, "application/json")
    assert json.loads(text) == json.loads(json.dumps(DOCUMENT))
    assert DOCUMENT["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [(*route, known) for route in OPERATIONS for known in (True, False) if known or "{" in route[1]],
)
def test_each_answer_is_as_the_document_says(socket_path, method, path, known):
    """Of things that exist and of things that don't, with the body that the document asks for."""
    url = path
    for name in re.findall(r"\{(\w+)\}", path):
        url = url.replace(f"{{{name}}}", PLACES[name] if known else "999999")
    operation = OPERATIONS[method, path]
    body = BODIES.get(operation.body, {})
    status, kind, text = ask(socket_path, method, url, json.dumps(body).encode() if method == "POST" else None)
    if known and path != "/v1/unwatch":  # nothing is watched
        assert status in {200, 409}, text
    validate(method, path, status, kind, text)


@pytest.mark.parametrize(
    ("method", "path", "url", "body", "expected"),
    [
        ("GET", "/v1/incidents", "/v1/incidents?state=wrong", None, 400),
        ("GET", "/v1/leases", "/v1/leases?limit=0", None, 400),
        ("POST", "/v1/pause", "/v1/pause", b"{", 400),
        ("POST", "/v1/pause", "/v1/pause", b'{"why":"x"}', 400),
        ("POST", "/v1/resume", "/v1/resume", b'{"why":"x"}', 400),
    ],
)
def test_what_is_refused_is_refused_as_the_document_says(socket_path, method, path, url, body, expected):
    """A problem with the reason."""
    status, kind, text = ask(socket_path, method, url, body)
    assert status == expected
    validate(method, path, status, kind, text)


def test_a_wrong_answer_would_be_found():
    """The schemas are closed: an answer with a field too many does not pass."""
    with pytest.raises(jsonschema.ValidationError):
        validate("GET", "/v1/leases", 200, "application/json", b'[{"id": "lease-1", "more": 1}]')


CHECKED = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_asked_is_answered_as_the_document_says(socket_path, method, path, mode):
    """Valid and invalid paths, queries and bodies, made from the document: never 5xx, always a known shape."""
    session = session_of(socket_path)

    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=FUZZED[path][method].as_strategy(generation_mode=mode))
    def fuzz(case):
        response = case.call(base_url=BASE_URL, session=session)
        case.validate_response(response, checks=CHECKED)

    with contextlib.suppress(Unsatisfiable):  # nothing can be wrong about a request that has no parts
        fuzz()
