"""A certificate authority for one demo."""

import ssl
from pathlib import Path


class Authority:
    """Signs a certificate for loopback only; its key never leaves this process."""

    def __init__(self) -> None:
        import trustme  # here: the extra `demo` may be missing

        self._ca = trustme.CA(organization_name="cxrsync demo")
        self._certificate = self._ca.issue_cert("127.0.0.1", "::1", "localhost")

    def write(self, folder: Path) -> Path:
        """Write the PEM file that a client needs to trust the server; return its path."""
        path = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(path))
        return path

    def server_context(self) -> ssl.SSLContext:
        """Return the server's side of TLS 1.2 and 1.3, HTTP/1.1 only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self._certificate.configure_cert(context)
        return context
