"""The cluster's certificates: an authority of its own, the server's and the clients'."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import trustme

SERVER_NAMES = (
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes.default.svc",
    # Names that only a proxy of a test resolves.
    "api.example.test",
    "10.9.8.7",
)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, PEM."""

    certificate: str
    key: str


class Authority:
    """A certificate authority that lives as long as the cluster."""

    def __init__(self) -> None:
        self._authority = trustme.CA(organization_name="stand-in cluster")
        self.pem = self._authority.cert_pem.bytes().decode()

    def client(self, user: str) -> KeyPair:
        """Returns a client certificate whose common name is the user's."""
        issued = self._authority.issue_cert(common_name=user)
        chain = "".join(blob.bytes().decode() for blob in issued.cert_chain_pems)
        return KeyPair(chain, issued.private_key_pem.bytes().decode())

    def server_context(self) -> ssl.SSLContext:
        """Returns what the server listens with: clients may show a certificate of ours."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*SERVER_NAMES).configure_cert(context)
        context.load_verify_locations(cadata=self.pem)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.sni_callback = _keep_name
        return context


def _keep_name(connection: object, name: str | None, context: ssl.SSLContext) -> None:
    connection.asked_name = name  # type: ignore[attr-defined]


def asked_name(connection: object) -> str | None:
    """Returns the name that a client asked for in its TLS hello (SNI), None for none."""
    return getattr(connection, "asked_name", None)


def common_name(peer_certificate: object) -> str | None:
    """Returns the common name in what ``SSLObject.getpeercert`` gives, or None."""
    if not isinstance(peer_certificate, dict):
        return None
    for attributes in peer_certificate.get("subject", ()):
        for key, value in attributes:
            if key == "commonName":
                return str(value)
    return None
