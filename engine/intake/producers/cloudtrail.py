"""Records of AWS CloudTrail to `cloud.audit` events."""

from collections.abc import Iterator

from engine.cloudevents import Malformed
from engine.intake.producers.contract import Message, Producer
from engine.intake.producers.reading import Part, address, at_place, digest, known, make_event, read_lines, rfc3339_us
from engine.model import Event, Json

_VIA_EVENTBRIDGE = frozenset(
    (
        "AWS API Call via CloudTrail",
        "AWS Console Sign In via CloudTrail",
        "AWS Service Event via CloudTrail",
        "AWS Insight via CloudTrail",
        "AWS Console Action via CloudTrail",
    )
)
_RESOURCES = (
    "secretId",
    "modelName",
    "modelPackageName",
    "endpointName",
    "endpointConfigName",
    "trainingJobName",
    "notebookInstanceName",
    "modelId",
    "guardrailIdentifier",
    "repositoryName",
    "tableName",
    "functionName",
    "instanceId",
    "roleName",
    "userName",
    "policyArn",
    "keyId",
    "snapshotId",
    "roleArn",
)


class Cloudtrail(Producer):
    """AWS CloudTrail records: from EventBridge, from the files of a trail (`Records`), alone, or one per line.

    `principal` is the IAM user, the role with its session (`role/session`), the service or the account. `iam_user` and
    `access_key_id` are given for IAM users alone: keys of a role's session end by themselves. `bytes` is what a data
    event of S3 moved out; data events have to be switched on for the buckets of models and training sets.
    CloudTrail is 2 to 15 minutes late; events keep the time of the call.
    """

    name = "cloudtrail"
    title = "AWS CloudTrail"
    types = ("cloud.audit",)
    connect = """
An EventBridge rule with the pattern `{"detail-type": ["AWS API Call via CloudTrail"]}` (and a `source` such as
`aws.s3`, `aws.sagemaker`, `aws.iam`, `aws.secretsmanager`), and as its target an API destination
`https://halon.example.org:8480/events/cloudtrail` whose connection sends the API key `Authorization`: `Bearer TOKEN`.
Where nothing may come in from outside, an SQS queue as the target, and a bridge from there to MQTT:

```toml
[[mqtt]]
topics = [{ filter = "cloudtrail/#", format = "cloudtrail" }]
```
"""

    @staticmethod
    def convert(message: Message) -> Iterator[Event | Malformed]:
        for place, found in read_lines(message.body):
            if isinstance(found, Malformed):
                yield found
            elif isinstance(found.at("Records").value, list):
                for index, record in enumerate(found.items("Records")):
                    yield _record(message, f"{place}Records[{index}]", record)
            elif found.text("detail-type") is not None:
                kind = found.name("detail-type")
                yield (
                    _record(message, place or "detail", found.at("detail"))
                    if kind in _VIA_EVENTBRIDGE
                    else at_place(place, f"`detail-type` {kind!r} is not one of CloudTrail's")
                )
            else:
                yield _record(message, place, found)


def _record(message: Message, place: str, record: Part) -> Event | Malformed:
    call, service = record.name("eventName"), record.name("eventSource")
    if call is None or service is None:
        return at_place(place, "not a record of CloudTrail: `eventName` or `eventSource` is missing")
    who = record.at("userIdentity")
    principal = _principal(who)
    user = who.name("userName") if who.at("type").value == "IAMUser" else None
    asked = record.at("requestParameters")
    return make_event(
        message,
        place,
        id=record.name("eventID")
        or digest(message.source, record.text("requestID"), record.text("eventTime"), service, call, principal),
        type="cloud.audit",
        subject=principal,
        time_us=rfc3339_us(record.text("eventTime")),
        data=known(
            action=f"{service.removesuffix('.amazonaws.com')}:{call}",
            principal=principal,
            identity=who.name("type"),
            iam_user=user,
            access_key_id=who.name("accessKeyId") if user else None,
            mfa=_mfa(who, record),
            resource=_resource(record, asked),
            bytes=record.integer("additionalEventData", "bytesTransferredOut"),
            address=address(record.text("sourceIPAddress")),
            region=record.name("awsRegion"),
            account=record.name("recipientAccountId") or who.name("accountId"),
            error=record.name("errorCode"),
            message=record.text("errorMessage"),
            read_only=record.flag("readOnly"),
            agent=record.name("userAgent"),
            sagemaker_job=asked.name("trainingJobName"),
            secret_id=asked.name("secretId"),
        ),
    )


def _principal(who: Part) -> str | None:
    """Whoever asked, by the name that people know them by."""
    match who.at("type").value:
        case "IAMUser":
            return who.name("userName") or who.name("arn")
        case "AssumedRole":
            role = who.name("sessionContext", "sessionIssuer", "userName")
            session = (who.text("principalId") or "").partition(":")[2]
            return f"{role}/{session}"[:256] if role and session else role or who.name("arn")
        case "Root":
            return "root"
        case "AWSService":
            return who.name("invokedBy")
        case _:
            return who.name("userName") or who.name("arn") or who.name("principalId") or who.name("invokedBy")


def _mfa(who: Part, record: Part) -> bool | None:
    said = who.text("sessionContext", "attributes", "mfaAuthenticated")
    if said is None:
        said = {"Yes": "true", "No": "false"}.get(record.text("additionalEventData", "MFAUsed") or "")
    return None if said is None else said == "true"


def _resource(record: Part, asked: Part) -> Json:
    """`BUCKET/KEY`, the name that the request gave, or the first ARN of the record."""
    bucket, key = asked.name("bucketName"), asked.text("key")
    if bucket:
        return f"{bucket}/{key}"[:1_024] if key else bucket
    for name in _RESOURCES:
        if (found := asked.name(name)) is not None:
            return found
    for each in record.items("resources"):
        if (arn := each.name("ARN")) is not None:
            return arn
    return None
