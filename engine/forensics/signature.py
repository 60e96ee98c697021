"""A model and its OpenSSF model signing bundle become a report of whether it is what was signed, and by whom.

By the library `model-signing` (extra `signing`), with a public key or a certificate chain that the investigator holds,
so that nothing is asked of a network. Source: the OpenSSF Model Signing specification 1.0 (a Sigstore bundle over an
in-toto statement with the digest of each file).
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.forensics.files import LIMITS, Limits, read_small, walk
from engine.forensics.report import EvidenceError, Mark, Report, make_report

EXTRA = "signing"
_SMALL_BYTES_MAX = 64 << 20


def examine_signature(
    model: Path,
    signature: Path,
    *,
    public_key: Path | None = None,
    certificates: Sequence[Path] = (),
    limits: Limits = LIMITS,
) -> Report:
    """A finding where the signature is not by that key or chain, or where a file is changed, added or missing since.

    Raises EvidenceError where the library is missing, or key, signature or model can't be read.
    """
    if (public_key is None) == (not certificates):
        raise EvidenceError("give a public key, or the certificates of a chain, one of the two")
    library = _Library()
    read_small(signature, _SMALL_BYTES_MAX)
    if model.is_dir():
        walk(model, limits)
    elif not model.is_file():
        raise EvidenceError(f"there is no {model}")
    config = library.verifier(public_key, certificates)
    by = str(public_key) if public_key is not None else ", ".join(map(str, certificates))
    try:
        config.verify(model, signature)
    except library.refusals as error:
        why = _first(error) or "the signature does not fit what was signed"
        return _report(model, signature, by, found=True, summary=f"not as signed: {why}")
    except KeyError as error:
        raise EvidenceError(f"{signature} is no signature bundle: {error} is missing") from error
    except ValueError as error:
        if _is_parsing(error):
            raise EvidenceError(f"{signature} is no signature bundle: {_first(error)}") from error
        return _report(model, signature, by, found=True, summary=f"not as signed: {_first(error)}")
    except (OSError, TypeError) as error:
        raise EvidenceError(f"{model} can't be held against {signature}: {error}") from error
    return _report(model, signature, by, found=False, summary="every file is as it was signed")


class _Library:
    """The packages of the extra, which not everyone has."""

    def __init__(self) -> None:
        try:
            self._verifying = importlib.import_module("model_signing.verifying")
            self._keys = importlib.import_module("cryptography.hazmat.primitives.serialization")
            self._certificates = importlib.import_module("cryptography.x509")
            invalid = importlib.import_module("cryptography.exceptions").InvalidSignature
            untrusted = importlib.import_module("OpenSSL.crypto").X509StoreContextError
        except ImportError as error:
            raise EvidenceError(f"signatures need the package `model-signing`: pip install 'halon[{EXTRA}]'") from error
        self.refusals: tuple[type[Exception], ...] = (invalid, untrusted)
        """What is raised where a signature does not hold."""

    def verifier(self, public_key: Path | None, certificates: Sequence[Path]) -> Any:
        """A verifier by a key or a chain. Raises EvidenceError where these can't be read."""
        for path in certificates if public_key is None else (public_key,):
            data = read_small(path, _SMALL_BYTES_MAX)
            try:
                if public_key is None:
                    self._certificates.load_pem_x509_certificate(data)
                else:
                    self._keys.load_pem_public_key(data)
            except ValueError as error:
                kind = "certificate" if public_key is None else "public key"
                raise EvidenceError(f"{path} is no {kind} in PEM: {_first(error)}") from error
        config = self._verifying.Config()
        if public_key is None:
            return config.use_certificate_verifier(certificate_chain=certificates)
        return config.use_elliptic_key_verifier(public_key=public_key)


def _is_parsing(error: ValueError) -> bool:
    """Whether the bundle was not understood, rather than found wrong."""
    return type(error) is not ValueError


def _first(error: Exception) -> str:
    """The first line, short and without the bytes of digests."""
    text = str(error).strip().partition("\n")[0]
    return text if len(text) <= 300 else f"{text[:300]}…"


def _report(model: Path, signature: Path, by: str, *, found: bool, summary: str) -> Report:
    return make_report(
        "signature",
        str(model),
        found=found,
        summary=summary,
        compared_with=f"{signature}, by {by}",
        marks=[Mark(where=str(model), why=summary)] if found else [],
    )
