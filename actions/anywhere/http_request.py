"""`http.request`: a signed request to a service that config.toml allows, and a second one that reads its effect back.

The body is signed as `X-Halon-Signature: t=SECONDS,v1=HEX`, HMAC-SHA-256 over `SECONDS.BODY`; `Idempotency-Key` is the
intent, so a service that honours it acts once however often the step is gone over.
"""

import hashlib
import hmac
from typing import Annotated, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Meta

from actions.support import TargetError, failed, read_secret
from engine.action import Action, ActionContext, Params, Settings
from engine.clock import SECOND_US, Duration
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    Json,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Target,
    Unknown,
    Verification,
)

_Url = Annotated[str, Meta(pattern=r"^https?://[^\s]+\Z", max_length=2048)]


class HttpRequestParams(Params, frozen=True):
    """The request, and the one that reads its effect back."""

    url: Annotated[_Url, Meta(description="where it goes; its origin must be allowed in config.toml")]
    method: Annotated[Literal["POST", "PUT", "PATCH", "DELETE"], Meta(description="HTTP method")] = "POST"
    body: Annotated[dict[str, Json], Meta(description="sent as JSON")] = {}
    verify_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s]+)?\Z",
            max_length=2048,
            description="GET: 2xx means in force, 404 not in force; left out: the step stays unverified",
        ),
    ] = ""


class HttpRequestSettings(Settings, frozen=True):
    """`origins`: what may be called, as `https://gateway.internal:8443`; the `*_secret` settings name secrets."""

    origins: tuple[str, ...] = ()
    hmac_secret: str = ""
    bearer_secret: str = ""
    timeout: Duration = Duration(10 * SECOND_US)


class HttpRequest(Action[HttpRequestParams]):
    """Sends a signed JSON request to a service of the allow-list; an answer of 2xx is success, `verify_url` reads back.

    Irreversible: Halon does not know what the service did. Send another request to take it back.
    """

    name = "http.request"
    params = HttpRequestParams
    settings = HttpRequestSettings
    target_kind = "any"
    reversible = False
    privileges = "reach the service; the secrets that the settings name"
    example = (
        '{ do = "http.request", url = "https://gateway.internal/blocked/client-7", method = "PUT",'
        ' verify_url = "https://gateway.internal/blocked/client-7" }'
    )

    async def check(self, params: HttpRequestParams, context: ActionContext) -> Plan | Refused | Failed:
        settings = self._own()
        for url in filter(None, (params.url, params.verify_url)):
            if _origin(url) not in settings.origins:
                return Refused(f'{_origin(url)} is not in `origins` of [actions."http.request"] in config.toml')
        try:
            for secret in (settings.hmac_secret, settings.bearer_secret):
                read_secret(context, secret)
            status = await self._send("GET", params.verify_url, {}, context) if params.verify_url else 0
        except TargetError as error:
            return failed(error)
        if status and status != 404 and not 200 <= status < 300:
            return Failed(f"{params.verify_url} answered {status}; it must answer 2xx or 404 to be read back")
        return Plan(
            target=Target("any", f"{params.method} {params.url}"[:512], {"origin": _origin(params.url)}),
            would=f"send {params.method} {params.url}",
            receipt={"key": context.intent},
            in_place=200 <= status < 300,
        )

    async def apply(
        self, params: HttpRequestParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            if params.verify_url and 200 <= await self._send("GET", params.verify_url, {}, context) < 300:
                return AlreadyInPlace(plan.receipt, f"{params.verify_url} says so")
            status = await self._send(params.method, params.url, params.body, context)
        except TargetError as error:
            return failed(error)
        if not 200 <= status < 300:
            return Failed(f"{params.url} answered {status}; see the log of the service", retryable=status == 429)
        return Applied(plan.receipt, f"{params.url} answered {status}")

    async def verify(self, params: HttpRequestParams, receipt: Receipt, context: ActionContext) -> Verification:
        if not params.verify_url:
            return Unknown("the step has no `verify_url`, so its effect can't be read back")
        try:
            status = await self._send("GET", params.verify_url, {}, context)
        except TargetError as error:
            return Unknown(str(error))
        if 200 <= status < 300:
            return InForce(f"{params.verify_url} answered {status}")
        text = f"{params.verify_url} answered {status}"
        return NotInForce(text) if status == 404 else Unknown(text)

    async def _send(self, method: str, url: str, body: dict[str, Json], context: ActionContext) -> int:
        """The status of the answer, whose body is not read. Raises TargetError."""
        settings = self._own()
        data = b"" if method == "GET" else msgspec.json.encode(body, order="sorted")
        headers = {"Content-Type": "application/json", "Idempotency-Key": context.intent}
        if key := read_secret(context, settings.hmac_secret):
            headers["X-Halon-Signature"] = sign(key, context.now_us() // SECOND_US, data)
        if bearer := read_secret(context, settings.bearer_secret):
            headers["Authorization"] = f"Bearer {bearer}"
        timeout = aiohttp.ClientTimeout(total=settings.timeout / SECOND_US)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                # A redirect could lead out of the allow-list, signature and all.
                session.request(method, url, data=data, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status
        except aiohttp.ClientConnectorError as error:
            raise TargetError(f"{_origin(url)} is not reachable; see whether it runs", retryable=True) from error
        except TimeoutError as error:
            raise TargetError(
                f"{url} did not answer within {settings.timeout / SECOND_US:g} s; see whether it runs"
            ) from error
        except aiohttp.ClientError as error:
            raise TargetError(f"{url} broke off ({type(error).__name__}); see the log of the service") from error

    def _own(self) -> HttpRequestSettings:
        assert isinstance(self._settings, HttpRequestSettings)
        return self._settings


def sign(key: str, seconds: int, body: bytes) -> str:
    """The signature header of a body sent at that time."""
    digest = hmac.new(key.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
