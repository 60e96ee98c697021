"""AWS for the `aws.*` actions: boto3 clients in threads, and their errors in words. Source: the AWS API references."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from actions.support import TargetError, in_thread, library, read_secret
from engine.action import ActionContext, Settings
from engine.clock import SECOND_US, Duration

T = TypeVar("T")


class AwsSettings(Settings, frozen=True):
    """The region and the account that Halon acts with: secrets by name, or else boto3's own chain (the machine's role).

    `endpoint` is for VPC endpoints and tests.
    """

    region: str = "us-east-1"
    access_key_id_secret: str = ""
    secret_key_secret: str = ""
    endpoint: str = ""
    timeout: Duration = Duration(10 * SECOND_US)


class Aws:
    """One service of AWS. Every method raises TargetError."""

    def __init__(self, service: str, settings: AwsSettings, context: ActionContext) -> None:
        self._service, self._settings, self._context = service, settings, context

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """The answer to one call, in boto3's words."""
        return await in_thread(self._call, method, arguments)

    async def found(self, method: str, missing: str, **arguments: Any) -> Mapping[str, Any]:
        """The same, for a thing that may not be there: `missing` says what to do then."""
        try:
            return await self.call(method, **arguments)
        except MissingError as error:
            raise TargetError(f"{missing} ({error})") from error

    def _call(self, method: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        boto3 = library("boto3", extra="aws")
        errors = library("botocore.exceptions", extra="aws")
        settings = self._settings
        timeout_s = settings.timeout / SECOND_US
        try:
            client = boto3.session.Session().client(
                self._service,
                region_name=settings.region,
                endpoint_url=settings.endpoint or None,
                aws_access_key_id=read_secret(self._context, settings.access_key_id_secret) or None,
                aws_secret_access_key=read_secret(self._context, settings.secret_key_secret) or None,
                config=library("botocore.config", extra="aws").Config(
                    connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1}
                ),
            )
            bound: Callable[..., Mapping[str, Any]] = getattr(client, method)
            return bound(**arguments)
        except errors.ClientError as error:
            raise _in_words(self._service, method, error.response.get("Error", {})) from error
        except (errors.NoCredentialsError, errors.PartialCredentialsError) as error:
            raise TargetError(f"AWS: {error}; set `access_key_id_secret` and `secret_key_secret`") from error
        except errors.EndpointConnectionError as error:
            raise TargetError(
                f"AWS {self._service} is not reachable; see `region`, `endpoint`", retryable=True
            ) from error
        except errors.BotoCoreError as error:
            text = f"AWS {self._service} did not answer {method} ({type(error).__name__})"
            raise TargetError(f"{text}; see `region`, `endpoint` and the network") from error


class MissingError(TargetError):
    """AWS has no such thing."""


def _in_words(service: str, method: str, error: Mapping[str, str]) -> TargetError:
    code, message = error.get("Code", "?"), error.get("Message", "")[:300]
    text = f"AWS {service} answered {code} to {method}: {message}"
    if code in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "InvalidClientTokenId", "AuthFailure",
                "SignatureDoesNotMatch", "UnrecognizedClientException", "ExpiredToken"}:  # fmt: skip
        return TargetError(f"{text}; see `privileges` of this action, and the two secrets of its settings")
    if "NotFound" in code or code in {"NoSuchEntity", "ValidationException", "InvalidInstanceID.Malformed"}:
        return MissingError(text)
    return TargetError(f"{text}; see AWS CloudTrail", retryable="Throttl" in code)
