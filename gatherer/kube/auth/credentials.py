"""Credentials that prove who asks: tokens, passwords, exec plugins.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.access import Credentials
from gatherer.kube.auth.exec_credential import ExecCredential, run_plugin
from gatherer.kube.auth.selection import Cluster, ExecPlugin, Material, User
from gatherer.kube.auth.tls import load_client_certificate

_FAILURE_SECONDS = 5.0  # for so long a plugin that has failed is not run again
_ID_TOKEN_MARGIN = 10.0  # seconds, as kubectl has it
_EXPIRY_MARGIN = timedelta(seconds=30)  # a token must outlive the handshake it is sent in


def make_credentials(user: User, cluster: Cluster, context: ssl.SSLContext | None) -> Credentials:
    """Returns what authenticates requests, beside a client certificate.

    Args:
        user: of a kubeconfig.
        cluster: that is asked.
        context: takes the client certificate that a plugin prints; None without TLS.

    Raises:
        ClusterUnreachable: the token file cannot be read.
    """
    if cluster.authorization:
        return FixedCredentials({"Authorization": cluster.authorization})
    if user.exec_plugin is not None:
        return ExecPluginCredentials(user.exec_plugin, cluster, context)
    if user.token_file:
        credentials = TokenFileCredentials(Path(user.token_file), user.token)
        if not user.token:
            credentials.read()  # so that a file that is missing is told at once
        return credentials
    if user.token:
        return FixedCredentials({"Authorization": f"Bearer {user.token}"})
    if user.id_token:
        return IdTokenCredentials(user.id_token)
    if user.username:
        pair = base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
        return FixedCredentials({"Authorization": f"Basic {pair}"})
    return FixedCredentials({})


class FixedCredentials:
    """A token or password of the kubeconfig, or nothing beside a client certificate.

    Args:
        headers: of every request.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    async def headers(self) -> dict[str, str]:
        """Returns the same headers every time."""
        return dict(self._headers)

    def refused(self) -> bool:
        """Returns False: there is nothing else to try."""
        return False


class IdTokenCredentials:
    """A token of OpenID Connect, which gatherer does not renew.

    Args:
        token: a JSON web token.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    async def headers(self) -> dict[str, str]:
        """Returns headers with the token.

        Raises:
            ClusterUnreachable: it is no JSON web token, or has expired.
        """
        expires = _expiry_of_jwt(self._token)
        if expires is None:
            raise ClusterUnreachable(
                "the id-token of the kubeconfig's auth-provider is no JSON web token",
                "log in again, or use an exec credential plugin instead",
            )
        if time.time() + _ID_TOKEN_MARGIN >= expires:
            raise ClusterUnreachable(
                "the id-token of the kubeconfig's auth-provider has expired",
                "run `kubectl auth whoami`, which renews it, or log in again",
            )
        return {"Authorization": f"Bearer {self._token}"}

    def refused(self) -> bool:
        """Returns False: there is nothing else to try."""
        return False


def _expiry_of_jwt(token: str) -> float | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims.get("exp") or 0)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


class TokenFileCredentials:
    """A token that something else renews in a file.

    Args:
        path: of the file.
        token: used while the file gives none; empty for an error.
    """

    def __init__(self, path: Path, token: str = "") -> None:
        self._path = path
        self._token = token

    async def headers(self) -> dict[str, str]:
        """Returns headers with the token that is in the file now.

        Raises:
            ClusterUnreachable: the file cannot be read or is empty, and there is no other token.
        """
        return {"Authorization": f"Bearer {self.read()}"}

    def read(self) -> str:
        """Returns the token.

        Raises:
            ClusterUnreachable: the file cannot be read or is empty, and there is no other token.
        """
        try:
            return self._read()
        except ClusterUnreachable:
            if self._token:
                return self._token
            raise

    def _read(self) -> str:
        try:
            token = self._path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ClusterUnreachable(
                f"the token file {self._path} cannot be read: "
                f"{getattr(error, 'strerror', None) or 'it is not text'}",
                "correct tokenFile of the user in the kubeconfig",
            ) from error
        if not token or not token.isprintable():
            raise ClusterUnreachable(
                f"the token file {self._path} holds no token", "log in again to renew it"
            )
        return token

    def refused(self) -> bool:
        """Returns False: the file had just been read."""
        return False


class ExecPluginCredentials:
    """The credential that a plugin prints, kept until it expires or is refused.

    Args:
        plugin: to run.
        cluster: it is told about.
        ssl_context: takes the client certificate it prints.
    """

    def __init__(
        self, plugin: ExecPlugin, cluster: Cluster, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._plugin = plugin
        self._cluster = cluster
        self._ssl_context = ssl_context
        self._credential: ExecCredential | None = None
        self._running = asyncio.Lock()
        self._failure: tuple[float, ClusterUnreachable] | None = None

    async def headers(self) -> dict[str, str]:
        """Returns headers with the plugin's token, after running it when it is time to.

        Raises:
            ClusterUnreachable: the plugin gives no credentials.
        """
        async with self._running:  # several requests at once need one login
            credential = self._credential
            if credential is None or _has_expired(credential):
                credential = await self._run()
                if credential.certificate and self._ssl_context is not None:
                    load_client_certificate(
                        self._ssl_context,
                        Material(data=credential.certificate),
                        Material(data=credential.key),
                    )
                self._credential = credential
        return {"Authorization": f"Bearer {credential.token}"} if credential.token else {}

    async def _run(self) -> ExecCredential:
        """Runs the plugin, unless it has just failed: many requests are made at a start.

        Raises:
            ClusterUnreachable: the plugin gives no credentials.
        """
        now = time.monotonic()
        if self._failure is not None and now < self._failure[0] + _FAILURE_SECONDS:
            failed = self._failure[1]
            raise ClusterUnreachable(failed.cause, failed.remedy) from failed
        self._failure = None
        try:
            return await run_plugin(self._plugin, self._cluster)
        except ClusterUnreachable as error:
            self._failure = time.monotonic(), error
            raise

    def refused(self) -> bool:
        """Drops what the plugin printed, so that it runs again. Returns True."""
        self._credential = None
        return True


def _has_expired(credential: ExecCredential) -> bool:
    if credential.expires is None:
        return False
    now = datetime.now(timezone.utc)  # noqa: UP017
    return now >= credential.expires - _EXPIRY_MARGIN
