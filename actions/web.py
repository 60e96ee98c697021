"""One HTTP service that speaks JSON, for the actions whose target has such an API: requests in, status and body out.

Used by the actions on gateways, Kubernetes, MLflow and Ray. No redirect is followed: it could lead a token elsewhere.
"""

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from actions.support import TargetError
from engine.model import Struct

_ANSWER_BYTES_MAX = 16 << 20


class Answer(Struct, frozen=True):
    """The status of an answer, and its body where that is a JSON object (else empty)."""

    status: int
    body: dict[str, Any]

    @property
    def good(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


class Service:
    """Where a service is and how it is spoken to; `name` is how messages call it, `rights` what to do when it says no.

    No repr on purpose: the headers hold tokens.
    """

    def __init__(
        self,
        name: str,
        base: str,
        *,
        rights: str,
        headers: Mapping[str, str] | None = None,
        ca_file: str = "",
        timeout_s: float = 10.0,
    ) -> None:
        self.name, self.base, self.rights = name, base.rstrip("/"), rights
        self._headers, self._ca_file, self._timeout_s = dict(headers or {}), ca_file, timeout_s

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Sends one request. Raises TargetError where no answer comes, and where the service denies or breaks."""
        data = b"" if body is None else msgspec.json.encode(body)
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        headers = self._headers | ({"Content-Type": content_type} if data else {})
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=self._connector()) as session,
                session.request(
                    method, self.base + path, data=data, params=query, headers=headers, allow_redirects=False
                ) as answer,
            ):
                found = Answer(answer.status, _object(await answer.content.read(_ANSWER_BYTES_MAX)))
        except aiohttp.ClientConnectorError as error:
            raise TargetError(
                f"{self.name} at {self.base} is not reachable; see whether it runs", retryable=True
            ) from error
        except TimeoutError as error:
            raise TargetError(
                f"{self.name} at {self.base} did not answer within {self._timeout_s:g} s; see whether it runs"
            ) from error
        except aiohttp.ClientError as error:
            raise TargetError(f"{self.name} broke off ({type(error).__name__}); see its log") from error
        if found.status in {401, 403}:
            raise TargetError(f"{self.name} denied {method} {path} ({found.status}); {self.rights}")
        if found.status >= 500 or found.status in {301, 302, 303, 307, 308, 429}:
            raise TargetError(f"{self.name} answered {found.status} to {method} {path}; see its log")
        return found

    def refused(self, answer: Answer, what: str) -> TargetError:
        """The error of an answer that is none of those expected; a service's own words are shown in part."""
        words = answer.body.get("message")
        said = f": {words[:300]}" if isinstance(words, str) else ""
        return TargetError(f"{self.name} answered {answer.status} to {what}{said}")

    def _connector(self) -> aiohttp.TCPConnector | None:
        if not self._ca_file:
            return None
        try:
            return aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=self._ca_file))
        except OSError as error:
            raise TargetError(f"can't use the certificates in `ca_file` = {self._ca_file}: {error}") from error


def part(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data) if data else {}
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
