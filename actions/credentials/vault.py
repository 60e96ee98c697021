"""HashiCorp Vault and OpenBao for the `vault.*` actions: hvac in threads. Source: Vault's HTTP API."""

from collections.abc import Callable
from typing import Any, TypeVar

from actions.support import TargetError, in_thread, library, read_secret
from engine.action import ActionContext, Settings
from engine.clock import SECOND_US, Duration

T = TypeVar("T")


class VaultSettings(Settings, frozen=True):
    """The server, the secret with Halon's own token, and the server's certificate authority."""

    url: str = "https://127.0.0.1:8200"
    token_secret: str = ""
    namespace: str = ""
    ca_file: str = ""
    timeout: Duration = Duration(10 * SECOND_US)


class MissingError(TargetError):
    """Vault has no such thing."""


async def ask(settings: VaultSettings, context: ActionContext, call: Callable[[Any], T]) -> T:
    """What `call` makes of an hvac client. Raises TargetError, MissingError."""
    return await in_thread(_ask, settings, context, call)


def _ask(settings: VaultSettings, context: ActionContext, call: Callable[[Any], T]) -> T:
    hvac, requests = library("hvac", extra="vault"), library("requests", extra="vault")
    errors = hvac.exceptions
    try:
        with requests.Session() as session:
            client = hvac.Client(
                url=settings.url,
                token=read_secret(context, settings.token_secret),
                namespace=settings.namespace or None,
                verify=settings.ca_file or True,
                timeout=settings.timeout / SECOND_US,
                session=session,
                allow_redirects=False,
            )
            return call(client)
    except (errors.Forbidden, errors.Unauthorized) as error:
        raise TargetError("Vault denied it; see `privileges` of this action and `token_secret`") from error
    except errors.InvalidPath as error:
        raise MissingError(f"Vault has no such path: {_said(error)}") from error
    except errors.InvalidRequest as error:
        # This is how it answers for a lease that has ended, too.
        raise MissingError(f"Vault refused it: {_said(error)}") from error
    except errors.VaultError as error:
        raise TargetError(f"Vault failed ({type(error).__name__}): {_said(error)}; see its log") from error
    except requests.exceptions.ConnectTimeout as error:
        raise TargetError(f"Vault at {settings.url} did not answer; see whether it runs", retryable=True) from error
    except requests.exceptions.Timeout as error:
        raise TargetError(f"Vault at {settings.url} did not answer; see whether it runs") from error
    except (requests.exceptions.RequestException, OSError) as error:
        text = f"Vault at {settings.url} is not reachable ({type(error).__name__})"
        raise TargetError(f"{text}; see whether it runs, and `ca_file`") from error


def _said(error: Any) -> str:
    return "; ".join(str(each) for each in getattr(error, "errors", None) or [])[:300] or "no reason given"
