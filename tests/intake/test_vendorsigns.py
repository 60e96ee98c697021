"""engine.intake.vendorsigns: signatures of programs that sign in a way of their own."""

import base64
import hashlib
import hmac

import pytest

from engine.intake.vendorsigns import AGE_S_MAX, scheme_key, signature_problem

NOW_S = 1_772_450_400
BODY = '{"entity": "model_version", "name": "é"}'.encode()


def signed(body=BODY, *, delivery="d-1", seconds=NOW_S, key=b"s3cret", prefix="x-mlflow-", names=None):
    """The headers as MLflow makes them: `v1,` and base64 of HMAC-SHA256 over `ID.SECONDS.BODY`."""
    name, time, signature = names or (f"{prefix}delivery-id", f"{prefix}timestamp", f"{prefix}signature")
    made = hmac.new(key, f"{delivery}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {name: delivery, time: str(seconds), signature: f"v1,{base64.b64encode(made).decode()}"}


def problem(headers, *, body=BODY, scheme="mlflow", secret="s3cret", now_s=NOW_S):
    return signature_problem(scheme, scheme_key(scheme, secret), headers, body, now_s=now_s)


def test_what_mlflow_signs_is_known():
    """The id of the delivery, the time and this very body under this very key."""
    assert problem(signed()) == ""
    wrong = "the signature in `x-mlflow-signature` is missing or wrong"
    for headers in (signed(b"other"), signed(key=b"x"), {**signed(), "x-mlflow-delivery-id": "d-2"}):
        assert problem(headers) == wrong
    assert problem({**signed(), "x-mlflow-timestamp": str(NOW_S + 1)}) == wrong


def test_a_request_that_mlflow_itself_signed_is_known():
    """Recorded from the delivery code of MLflow 3.17.2, secret `s3cret`."""
    body = (
        b'{"entity": "model_version_alias", "action": "created", "timestamp": "2026-11-26T20:03:33.188332+00:00",'
        b' "data": {"name": "llm-a", "alias": "prod", "version": "7"}}'
    )
    headers = {
        "x-mlflow-delivery-id": "f808a425-4320-465a-a229-cca0ff4f4dcc",
        "x-mlflow-timestamp": "1795723413",
        "x-mlflow-signature": "v1,QX0KCroA3tsRBYuafr+MC6zNo4xGn6L2OyoKkCGucaQ=",
    }
    assert problem(headers, body=body, now_s=1_795_723_415) == ""
    assert problem(headers, body=body + b" ", now_s=1_795_723_415) != ""


def test_secrets_of_standard_webhooks_are_base64_with_a_mark_or_plain():
    """`whsec_` marks a key in base64, as the specification has it."""
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = signed(delivery="msg_p5jXN8AQM9LWM0D4loKWxJek", key=b"k" * 24, names=names)
    assert problem(headers, scheme="standard-webhooks", secret=secret) == ""
    assert problem(headers, scheme="standard-webhooks", secret="k" * 24) == ""
    assert problem(headers, scheme="mlflow", secret="k" * 24) != ""


def test_of_several_signatures_one_has_to_fit():
    """While a secret is changed for another both stand there."""
    right = signed()["x-mlflow-signature"]
    assert problem({**signed(), "x-mlflow-signature": f"v1,AAAA v2,x {right}"}) == ""
    for given in ("", "v1,", "v1,AAAA", right.replace("v1", "v2"), right[3:], "v1,\udcff", " " * 99):
        assert problem({**signed(), "x-mlflow-signature": given}) != ""


@pytest.mark.parametrize("away", [0, AGE_S_MAX, -AGE_S_MAX])
def test_a_request_of_now_is_taken(away):
    """Clocks may differ and networks take their time."""
    assert problem(signed(seconds=NOW_S + away)) == ""


@pytest.mark.parametrize("away", [AGE_S_MAX + 1, -AGE_S_MAX - 1])
def test_an_old_request_is_refused_though_its_signature_is_right(away):
    """Whoever recorded one can't use it later."""
    assert problem(signed(seconds=NOW_S + away)).startswith("the request was signed more than 300 s from now")


@pytest.mark.parametrize("seconds", ["", "soon", "-5", "1e9", "9" * 20, "１７"])
def test_a_time_that_is_none_is_refused(seconds):
    """No text raises."""
    assert problem({**signed(), "x-mlflow-timestamp": seconds}).startswith("`x-mlflow-delivery-id` or ")


def test_a_secret_that_is_none_of_the_scheme_is_refused():
    """At the start of the daemon, not at the first request."""
    with pytest.raises(ValueError, match="is not base64"):
        scheme_key("standard-webhooks", "whsec_*")
