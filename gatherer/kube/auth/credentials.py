"""From the kubeconfig, or a pod's service account, to a `ClusterAccess`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.access import ClusterAccess, Credentials
from gatherer.kube.auth.exec_credential import ExecCredential, run_plugin
from gatherer.kube.auth.kubeconfig import (
    Cluster,
    ExecPlugin,
    Material,
    Selection,
    User,
    select_context,
)
from gatherer.kube.proxies import Proxy, environment_proxy

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_FAILURE_SECONDS = 5.0  # for so long a plugin that has failed is not run again
_ID_TOKEN_MARGIN = 10.0  # seconds, as kubectl has it
_EXPIRY_MARGIN = timedelta(seconds=30)  # a token must outlive the handshake it is sent in


def load_access(
    kubeconfig: str | None = None,
    context: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> ClusterAccess:
    """Finds the cluster as kubectl does.

    Args:
        kubeconfig: path of --kubeconfig; else $KUBECONFIG (a list), else ~/.kube/config, else the
            service account of the pod this runs in.
        context: name of --context, else the current one.
        environment: variables, those of this process by default.
        service_account: directory of the service account's token.

    Raises:
        ClusterUnreachable: there is no usable configuration; the message names the file.
    """
    environment = os.environ if environment is None else environment
    paths = _kubeconfig_paths(kubeconfig, environment)
    files = [(path, data) for path in paths if (data := _read_kubeconfig(path)) is not None]
    if kubeconfig and not files:
        raise ClusterUnreachable(
            f"kubeconfig {paths[0]} does not exist", "correct --kubeconfig, or leave it out"
        )
    default_server = environment.get("KUBERNETES_MASTER", "")
    in_a_pod = _in_a_pod(environment, service_account)
    if not files and (context or not (default_server or in_a_pod)):
        raise _no_kubeconfig(paths, environment, service_account)
    hint = "kubeconfig " + os.pathsep.join(path for path, _ in files)
    selection = select_context(files, context, file_hint=hint, default_server=default_server)
    if in_a_pod and (selection.cluster is None or not files):
        return _in_cluster_access(environment, service_account, selection.namespace)
    if selection.cluster is None:
        assert selection.problem is not None
        raise selection.problem
    return _access_of(selection, selection.cluster, environment)


def _no_kubeconfig(
    paths: list[str], environment: Mapping[str, str], service_account: Path
) -> ClusterUnreachable:
    if environment.get("KUBECONFIG"):
        return ClusterUnreachable(
            f"kubeconfig {os.pathsep.join(paths) or environment['KUBECONFIG']} does not exist",
            "correct the KUBECONFIG variable, or give --kubeconfig",
        )
    if environment.get("KUBERNETES_SERVICE_HOST") and not (service_account / "token").is_file():
        return ClusterUnreachable(
            f"there is no kubeconfig, and no service account in {service_account}",
            "give the pod a service account (automountServiceAccountToken), or --kubeconfig",
        )
    return ClusterUnreachable(
        f"there is no kubeconfig: {paths[0]} does not exist",
        "give --kubeconfig or set the KUBECONFIG variable",
    )


def _kubeconfig_paths(kubeconfig: str | None, environment: Mapping[str, str]) -> list[str]:
    if kubeconfig:
        # A shell leaves the ~ of --kubeconfig=~/config as it is.
        return [kubeconfig if os.path.exists(kubeconfig) else os.path.expanduser(kubeconfig)]
    listed = environment.get("KUBECONFIG", "")
    if listed:
        return list(dict.fromkeys(path for path in listed.split(os.pathsep) if path))
    home = environment.get("HOME") or os.path.expanduser("~")
    return [os.path.join(home, ".kube", "config")]


def _read_kubeconfig(path: str) -> bytes | None:
    """Returns what is in a file, None when there is no such file."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterUnreachable(
            f"kubeconfig {path} cannot be read: {error.strerror}",
            "correct its permissions, or give another --kubeconfig",
        ) from error


def _access_of(
    selection: Selection, cluster: Cluster, environment: Mapping[str, str]
) -> ClusterAccess:
    user = selection.user
    _check_readable(cluster.certificate_authority, "certificate-authority")
    _check_readable(user.certificate, "client-certificate")
    _check_readable(user.key, "client-key")
    ssl_context = None
    if cluster.server.startswith("https://"):
        ssl_context = _ssl_context(cluster)
        if user.certificate:
            _load_client_certificate(ssl_context, user.certificate, user.key)
    return ClusterAccess(
        server=cluster.server,
        ssl_context=ssl_context,
        credentials=_credentials(user, cluster, ssl_context),
        context=selection.context,
        namespace=selection.namespace or "default",
        tls_server_name=cluster.tls_server_name or None,
        proxy=cluster.proxy or _environment_proxy(cluster.server, environment),
        impersonation=user.impersonate,
    )


def _environment_proxy(server: str, environment: Mapping[str, str]) -> Proxy | None:
    try:
        return environment_proxy(server, environment)
    except ValueError as error:
        # Its cause may hold the password.
        raise ClusterUnreachable(
            str(error), "correct it (http://USER:PASSWORD@HOST:PORT, special characters as %XX)"
        ) from None


def _credentials(user: User, cluster: Cluster, context: ssl.SSLContext | None) -> Credentials:
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


def _ssl_context(cluster: Cluster) -> ssl.SSLContext:
    authority = cluster.certificate_authority
    try:
        if authority.data:
            context = ssl.create_default_context(cadata=authority.data.decode("ascii", "replace"))
        elif authority.path:
            context = ssl.create_default_context(cafile=authority.path)
        else:
            context = ssl.create_default_context()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        where = authority.path or "certificate-authority-data"
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ClusterUnreachable(
            f"the certificate authority {where} cannot be loaded: {words}",
            "correct certificate-authority of the cluster in the kubeconfig",
        ) from error
    # Python 3.13 rejects CAs without an authority key identifier, as old kubeadm clusters have;
    # kubectl accepts them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False  # nor does kubectl look at it
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _check_readable(material: Material, name: str) -> None:
    if material.path and not os.access(material.path, os.R_OK):
        raise ClusterUnreachable(
            f"{name} {material.path} cannot be read", f"correct {name} in the kubeconfig"
        )


def _load_client_certificate(context: ssl.SSLContext, certificate: Material, key: Material) -> None:
    """Loads a client certificate; OpenSSL only takes files, so data passes through one.

    Raises:
        ClusterUnreachable: they are none, or do not belong together.
    """
    with tempfile.TemporaryDirectory(prefix="gatherer-") as directory:  # mode 0700
        paths = []
        for material, name in ((certificate, "certificate"), (key, "key")):
            path = material.path or os.path.join(directory, name)
            if not material.path:
                Path(path).write_bytes(material.data)
            paths.append(path)
        try:
            # A password would be asked for on the terminal; an encrypted key is refused instead.
            context.load_cert_chain(paths[0], paths[1], password=b"")
        except (OSError, ValueError) as error:
            words = getattr(error, "reason", None) or str(error)
            raise ClusterUnreachable(
                f"the client certificate cannot be loaded: {words}",
                "correct client-certificate and client-key of the user in the kubeconfig",
            ) from error


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
    """What a plugin prints, kept until it expires or is refused.

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
                    _load_client_certificate(
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


def _in_a_pod(environment: Mapping[str, str], service_account: Path) -> bool:
    variables = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    return all(map(environment.get, variables)) and (service_account / "token").is_file()


def _in_cluster_access(
    environment: Mapping[str, str], service_account: Path, namespace: str
) -> ClusterAccess:
    """Returns the access that the kubelet gives to a pod: its variables and mounted files.

    Raises:
        ClusterUnreachable: a file is missing or empty.
    """
    token, authority = service_account / "token", service_account / "ca.crt"
    for path in (token, authority):
        problem = _problem_of(path)
        if problem:
            raise ClusterUnreachable(
                f"the service account in {service_account} is unusable: {problem}",
                "give the pod a service account (automountServiceAccountToken), or --kubeconfig",
            )
    host = environment["KUBERNETES_SERVICE_HOST"]
    host = f"[{host}]" if ":" in host else host
    namespace = namespace or environment.get("POD_NAMESPACE", "")
    if not namespace:
        try:
            namespace = (service_account / "namespace").read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            namespace = "default"
    cluster = Cluster(
        server=f"https://{host}:{environment['KUBERNETES_SERVICE_PORT']}",
        certificate_authority=Material(path=str(authority)),
    )
    return ClusterAccess(
        server=cluster.server,
        ssl_context=_ssl_context(cluster),
        # The kubelet renews the token in place; it is read anew for every request.
        credentials=TokenFileCredentials(token),
        namespace=namespace or "default",
        proxy=_environment_proxy(cluster.server, environment),
    )


def _problem_of(path: Path) -> str:
    """Returns why a file of the service account cannot be used, empty when it can."""
    try:
        return "" if path.read_bytes() else f"{path.name} is empty"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
