"""From the kubeconfig, or a pod's service account, to a `ClusterAccess`.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from gatherer.errors import ClusterUnreachable
from gatherer.kube.access import ClusterAccess, Credentials
from gatherer.kube.exec_credential import ExecCredential, run_plugin
from gatherer.kube.kubeconfig import Cluster, ExecPlugin, Material, Selection, User, select_context

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

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
    files = [(path, _read_kubeconfig(path)) for path in paths if os.path.lexists(path)]
    if files:
        hint = "kubeconfig " + os.pathsep.join(path for path, _ in files)
        return _access_of(select_context(files, context, file_hint=hint))
    if kubeconfig or environment.get("KUBECONFIG"):
        raise ClusterUnreachable(
            f"kubeconfig {os.pathsep.join(paths)} does not exist",
            "correct --kubeconfig or the KUBECONFIG variable",
        )
    if environment.get("KUBERNETES_SERVICE_HOST") and context is None:
        return _in_cluster_access(environment, service_account)
    raise ClusterUnreachable(
        f"there is no kubeconfig: {paths[0]} does not exist",
        "give --kubeconfig or set the KUBECONFIG variable",
    )


def _kubeconfig_paths(kubeconfig: str | None, environment: Mapping[str, str]) -> list[str]:
    if kubeconfig:
        return [os.path.expanduser(kubeconfig)]
    listed = [path for path in environment.get("KUBECONFIG", "").split(os.pathsep) if path]
    if listed:
        return list(dict.fromkeys(listed))
    home = environment.get("HOME") or os.path.expanduser("~")
    return [os.path.join(home, ".kube", "config")]


def _read_kubeconfig(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise ClusterUnreachable(
            f"kubeconfig {path} cannot be read: {error.strerror}",
            "correct its permissions, or give another --kubeconfig",
        ) from error
    except UnicodeDecodeError as error:
        raise ClusterUnreachable(
            f"kubeconfig {path} is not a text file", "give another --kubeconfig"
        ) from error


def _access_of(selection: Selection) -> ClusterAccess:
    cluster, user = selection.cluster, selection.user
    ssl_context = None
    if cluster.server.startswith("https://"):
        ssl_context = _ssl_context(cluster)
        if user.certificate or user.key:
            _load_client_certificate(ssl_context, user.certificate, user.key)
    return ClusterAccess(
        server=cluster.server,
        ssl_context=ssl_context,
        credentials=_credentials(user, cluster, ssl_context),
        context=selection.context,
        namespace=selection.namespace,
        tls_server_name=cluster.tls_server_name or None,
        proxy=cluster.proxy_url or None,
    )


def _credentials(user: User, cluster: Cluster, context: ssl.SSLContext | None) -> Credentials:
    if user.exec_plugin is not None:
        return ExecPluginCredentials(user.exec_plugin, cluster, context, user.impersonate)
    if user.token_file:
        return TokenFileCredentials(Path(user.token_file), user.impersonate)
    if user.token:
        return FixedCredentials({"Authorization": f"Bearer {user.token}", **user.impersonate})
    if user.username:
        pair = base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
        return FixedCredentials({"Authorization": f"Basic {pair}", **user.impersonate})
    return FixedCredentials(user.impersonate)


def _ssl_context(cluster: Cluster) -> ssl.SSLContext:
    authority = cluster.certificate_authority
    try:
        if authority.data:
            context = ssl.create_default_context(cadata=_pem_or_der(authority.data))
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
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _pem_or_der(data: bytes) -> str | bytes:
    return data.decode("ascii", "replace") if b"-----BEGIN" in data else data


def _load_client_certificate(context: ssl.SSLContext, certificate: Material, key: Material) -> None:
    """Loads a client certificate; OpenSSL only takes files, so data passes through one.

    Raises:
        ClusterUnreachable: a file is missing, or they do not belong together.
    """
    if not certificate or not key:
        missing = "client-key" if certificate else "client-certificate"
        raise ClusterUnreachable(
            f"the kubeconfig's user has no {missing}", f"add {missing} or {missing}-data"
        )
    for material, name in ((certificate, "client-certificate"), (key, "client-key")):
        if material.path and not os.access(material.path, os.R_OK):
            raise ClusterUnreachable(
                f"{name} {material.path} cannot be read", "correct the user in the kubeconfig"
            )
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


class TokenFileCredentials:
    """A token that something else renews in a file.

    Args:
        path: of the file.
        headers: of every request, besides the token.
    """

    def __init__(self, path: Path, headers: Mapping[str, str]) -> None:
        self._path = path
        self._headers = dict(headers)

    async def headers(self) -> dict[str, str]:
        """Returns headers with the token that is in the file now.

        Raises:
            ClusterUnreachable: the file cannot be read or is empty.
        """
        try:
            token = self._path.read_text("ascii").strip()
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
        return {**self._headers, "Authorization": f"Bearer {token}"}

    def refused(self) -> bool:
        """Returns False: the file had just been read."""
        return False


class ExecPluginCredentials:
    """What a plugin prints, kept until it expires or is refused.

    Args:
        plugin: to run.
        cluster: it is told about.
        ssl_context: takes the client certificate it prints.
        headers: of every request, besides the token.
    """

    def __init__(
        self,
        plugin: ExecPlugin,
        cluster: Cluster,
        ssl_context: ssl.SSLContext | None,
        headers: Mapping[str, str],
    ) -> None:
        self._plugin = plugin
        self._cluster = cluster
        self._ssl_context = ssl_context
        self._headers = dict(headers)
        self._credential: ExecCredential | None = None
        self._running = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        """Returns headers with the plugin's token, after running it when it is time to.

        Raises:
            ClusterUnreachable: the plugin gives no credentials.
        """
        async with self._running:  # several requests at once need one login
            credential = self._credential
            if credential is None or _has_expired(credential):
                credential = await run_plugin(self._plugin, self._cluster)
                if credential.certificate and self._ssl_context is not None:
                    _load_client_certificate(
                        self._ssl_context,
                        Material(data=credential.certificate),
                        Material(data=credential.key),
                    )
                self._credential = credential
        headers = dict(self._headers)
        if credential.token:
            headers["Authorization"] = f"Bearer {credential.token}"
        return headers

    def refused(self) -> bool:
        """Drops what the plugin printed, so that it runs again. Returns True."""
        self._credential = None
        return True


def _has_expired(credential: ExecCredential) -> bool:
    if credential.expires is None:
        return False
    now = datetime.now(timezone.utc)  # noqa: UP017
    return now >= credential.expires - _EXPIRY_MARGIN


def _in_cluster_access(environment: Mapping[str, str], service_account: Path) -> ClusterAccess:
    from kubernetes.aio.client import Configuration
    from kubernetes.aio.config.config_exception import ConfigException
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader

    token = service_account / "token"
    configuration = Configuration()
    try:
        loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]
            token_filename=str(token),
            cert_filename=str(service_account / "ca.crt"),
            environ=environment,
        )
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise ClusterUnreachable(
            f"the service account in {service_account} is unusable: {error}".rstrip("."),
            "give the pod a service account (automountServiceAccountToken), or --kubeconfig",
        ) from error
    try:
        namespace = (service_account / "namespace").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        namespace = ""
    authority = Material(path=str(configuration.ssl_ca_cert))
    cluster = Cluster(server=str(configuration.host), certificate_authority=authority)
    return ClusterAccess(
        server=cluster.server,
        ssl_context=_ssl_context(cluster),
        # The kubelet renews the token in place; it is read anew for every request.
        credentials=TokenFileCredentials(token, {}),
        namespace=namespace or "default",
    )
