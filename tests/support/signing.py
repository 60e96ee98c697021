"""Real keys, a real certificate chain and real OpenSSF signatures of a model, by openssl and model-signing."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from model_signing import signing

from tests.support.realparts import need

_CA = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = codeSigning
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass
class Signed:
    """A folder that was signed, twice: by a key and by a certificate."""

    model: Path
    by_key: Path
    key: Path
    other_key: Path
    by_certificate: Path
    root: Path


def signed_model(folder: Path) -> Signed:
    """A model of two files below `folder`, with its signatures."""
    model = folder / "model"
    (model / "sub").mkdir(parents=True)
    (model / "weights.npz").write_bytes(b"weights")
    (model / "sub/config.json").write_text("{}")
    (folder / "ca.cnf").write_text(_CA)
    for name in ("signer", "other"):
        _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        _openssl(folder, "ec", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pem")
    _openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key")
    _openssl(
        folder, "req", "-x509", "-new", "-key", "ca.key", "-out", "ca.pem", "-days", "3650", "-subj", "/CN=halon test",
        "-config", "ca.cnf", "-extensions", "ca",
    )  # fmt: skip
    _openssl(
        folder, "req", "-new", "-key", "signer.key", "-out", "signer.csr", "-subj", "/CN=trainer", "-config", "ca.cnf"
    )
    _openssl(
        folder, "x509", "-req", "-in", "signer.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "2",
        "-out", "signer.crt", "-days", "3650", "-extfile", "ca.cnf", "-extensions", "leaf",
    )  # fmt: skip
    signing.Config().use_elliptic_key_signer(private_key=folder / "signer.key").sign(model, folder / "key.sig")
    signing.Config().use_certificate_signer(
        private_key=folder / "signer.key",
        signing_certificate=folder / "signer.crt",
        certificate_chain=[folder / "ca.pem"],
    ).sign(model, folder / "crt.sig")
    return Signed(
        model=model,
        by_key=folder / "key.sig",
        key=folder / "signer.pem",
        other_key=folder / "other.pem",
        by_certificate=folder / "crt.sig",
        root=folder / "ca.pem",
    )


def _openssl(folder: Path, *args: str) -> None:
    subprocess.run([need("openssl"), *args], cwd=folder, check=True, capture_output=True, timeout=30)
