"""The access to a cluster, by a kubeconfig or the pod's service account, found as kubectl does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.auth.credentials import TokenFileCredentials, make_credentials
from gatherer.kube.auth.kubeconfig import select_context
from gatherer.kube.auth.selection import Cluster, Material, Selection
from gatherer.kube.auth.tls import check_readable, load_client_certificate, ssl_context_of
from gatherer.kube.proxies import Proxy, environment_proxy

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


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
    check_readable(cluster.certificate_authority, "certificate-authority")
    check_readable(user.certificate, "client-certificate")
    check_readable(user.key, "client-key")
    ssl_context = None
    if cluster.server.startswith("https://"):
        ssl_context = ssl_context_of(cluster)
        if user.certificate:
            load_client_certificate(ssl_context, user.certificate, user.key)
    return ClusterAccess(
        server=cluster.server,
        ssl_context=ssl_context,
        credentials=make_credentials(user, cluster, ssl_context),
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
        ssl_context=ssl_context_of(cluster),
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
