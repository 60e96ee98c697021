"""Certificates for tests of TLS, made by the real openssl: an authority, a server, a client, an unknown authority."""

import subprocess
from pathlib import Path

from tests.support.realparts import need


def make_certificates(folder: Path) -> Path:
    """`ca`, `server` (for localhost and 127.0.0.1), `client` and `other` as .crt and .key in the folder."""
    openssl = need("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for authority in ("ca", "other"):
        run(
            "req", "-x509", *key, "-keyout", f"{authority}.key", "-out", f"{authority}.crt", "-subj", f"/CN={authority}"
        )
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name in ("server", "client"):
        run("req", *key[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", f"{name}.crt", "-days", "2", "-extfile", "names"),
        )
    for each in folder.glob("*.key"):
        each.chmod(0o644)  # the server runs as a user of its own
    return folder
