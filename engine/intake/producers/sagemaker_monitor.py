"""Violations found by SageMaker Model Monitor to `model.metric` events."""

import re
from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import Part, at_place, digest, known, make_event, read_json, rfc3339_us
from engine.model import Event

_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_QUALITY = re.compile(
    rf"Metric \S+ with ({_NUMBER})(?: \+/- {_NUMBER})? was (?:Less|Greater)Than\S* '?({_NUMBER})'?", re.ASCII
)
_DISTANCE = re.compile(rf"distance:? ({_NUMBER}) exceeds (?:\w+ )?threshold:? ({_NUMBER})", re.ASCII | re.IGNORECASE)
_BIAS = re.compile(rf"Value ({_NUMBER}) .*?(?:baseline|constraint)[^0-9-]*({_NUMBER})", re.ASCII)


class SagemakerMonitor(Producer):
    """SageMaker Model Monitor and Clarify: the file `constraint_violations.json` of a run. Each violation is an event.

    `name` is what was checked: `drift` for data quality, `bias` for Clarify, the metric's own name (`auc`, `accuracy`)
    for model quality; `value` and `limit` are read from the description where it names them. The file says neither
    which endpoint it is about nor when: whoever sends it adds `endpoint` (the subject) and `time` to `violations`.
    """

    name = "sagemaker-monitor"
    title = "SageMaker Model Monitor"
    types = ("model.metric",)
    connect = """
From a Lambda function that the bucket notifies, or wherever the file can be read:

```sh
aws s3 cp s3://BUCKET/monitoring/ENDPOINT/SCHEDULE/…/constraint_violations.json - |
  jq --arg endpoint ENDPOINT --arg time "$(date -u +%FT%TZ)" '. + {endpoint: $endpoint, time: $time}' |
  curl -sf --data-binary @- -H "Authorization: Bearer TOKEN" http://halon.internal:8480/events/sagemaker
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        body = read_json(message.body)
        if isinstance(body, Malformed):
            yield body
            return
        if not isinstance(body.at("violations").value, list):
            yield Malformed("not a file of violations: `violations` is missing")
            return
        for index, violation in enumerate(body.items("violations")):
            yield _violation(message, body, f"violations[{index}]", violation)


def _violation(message: Message, body: Part, place: str, violation: Part) -> Event | Malformed:
    check, detail = violation.name("constraint_check_type"), violation.text("description")
    if check is None:
        return at_place(place, "`constraint_check_type` is missing")
    endpoint, time = body.name("endpoint") or body.name("endpoint_name"), body.text("time")
    metric, feature = violation.name("metric_name"), violation.name("feature_name") or violation.name("facet")
    if check == "bias_drift_check":
        name, pattern = "bias", _BIAS
    elif metric is not None:
        name, pattern = metric, _QUALITY
    else:
        name, pattern = "drift", _DISTANCE
    found = pattern.search(detail or "")
    return make_event(
        message,
        place,
        id=digest(message.source, endpoint, time, violation.json()),
        type="model.metric",
        subject=endpoint,
        time_us=rfc3339_us(time),
        data=known(
            name=name,
            violated=True,
            value=float(found[1]) if found else None,
            limit=float(found[2]) if found else None,
            feature=feature,
            group=violation.name("facet_value"),
            metric=metric,
            check=check,
            detail=detail,
            endpoint=endpoint,
            schedule=body.name("schedule"),
        ),
    )
