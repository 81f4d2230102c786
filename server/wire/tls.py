"""Loads certificate files for TLS; faults in them are reported at start, in one line."""

from __future__ import annotations

import ssl
from pathlib import Path


def tls_context(certfile: Path, keyfile: Path | None, ca_certs: Path | None) -> ssl.SSLContext:
    """Raises ValueError, naming the file at fault; no password is asked for. With ``ca_certs`` only clients with a
    certificate of theirs are let in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certfile, keyfile, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        files = f"{certfile} and {keyfile}" if keyfile else f"{certfile} (certificate and key in one file)"
        raise ValueError(f"ssl_certfile: {files}: {error}") from None
    if ca_certs is not None:
        try:
            context.load_verify_locations(ca_certs)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"ssl_ca_certs: {ca_certs}: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
