"""Exec credential plugins: a program that prints a token or a client certificate.

Source: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

from __future__ import annotations

import base64
import json
import os
import signal
from dataclasses import dataclass
from datetime import datetime, timezone

from gatherer.errors import ClusterUnreachable, GathererError
from gatherer.kube.auth import plugin_process
from gatherer.kube.auth.kubeconfig_file import parse_yaml
from gatherer.kube.auth.selection import Cluster, ExecPlugin
from gatherer.text import one_line

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

_TIMEOUT = 60.0  # seconds
_INTERACTIVE_TIMEOUT = 600.0  # seconds: somebody logs in with a browser


@dataclass(frozen=True)
class ExecCredential:
    """The credential that a plugin printed.

    Attributes:
        token: bearer token, empty when it gave a certificate alone.
        certificate: PEM of the client certificate, empty when it gave a token alone.
        key: PEM of its key.
        expires: when to ask again, None for never.
    """

    token: str = ""
    certificate: bytes = b""
    key: bytes = b""
    expires: datetime | None = None


async def run_plugin(plugin: ExecPlugin, cluster: Cluster) -> ExecCredential:
    """Runs a plugin.

    Raises:
        ClusterUnreachable: it is missing, fails, takes too long or prints no credentials.
    """
    name = repr(plugin.command)
    if plugin.api_version not in API_VERSIONS:
        raise ClusterUnreachable(
            f"the credential plugin {name} is set up for apiVersion {plugin.api_version!r}",
            f"set it to {API_VERSIONS[0]} in the kubeconfig",
        )
    terminal = _is_terminal(0)
    interactive = terminal and plugin.interactive_mode != "Never"
    if plugin.interactive_mode == "Always" and not terminal:
        raise ClusterUnreachable(
            f"the credential plugin {name} needs a terminal to log in", "run it from a terminal"
        )
    environment = {
        **os.environ,
        **plugin.environment,
        plugin_process.EXEC_INFO: json.dumps(_exec_info(plugin, cluster, interactive)),
    }
    # Where somebody is there to log in, with a browser or a token, it takes its time.
    seconds = _INTERACTIVE_TIMEOUT if interactive or _is_terminal(2) else _TIMEOUT
    try:
        printed = await plugin_process.run(
            [plugin.command, *plugin.arguments],
            environment,
            interactive=interactive,
            seconds=seconds,
        )
    except FileNotFoundError as error:
        hint = (
            one_line(plugin.install_hint) or "install it, or correct its command in the kubeconfig"
        )
        raise ClusterUnreachable(f"the credential plugin {name} is not installed", hint) from error
    except (OSError, ValueError) as error:
        raise ClusterUnreachable(
            f"the credential plugin {name} cannot be run: "
            f"{getattr(error, 'strerror', None) or error}",
            "correct its command in the kubeconfig",
        ) from error
    except plugin_process.PluginTooLoud as error:
        raise ClusterUnreachable(
            f"the credential plugin {name} printed {error}",
            "run it by hand to see what it prints: one ExecCredential is wanted",
        ) from error
    except plugin_process.PluginTooSlow as error:
        raise ClusterUnreachable(
            f"the credential plugin {name} did not end within {seconds:.0f} s",
            "run it by hand to see what it waits for",
        ) from error
    if printed.code != 0:
        if printed.code == -signal.SIGINT:
            raise GathererError("interrupted")
        how = (
            f"failed with exit code {printed.code}"
            if printed.code > 0
            else f"was ended by signal {-printed.code}"
        )
        last = one_line(printed.last_line)
        raise ClusterUnreachable(
            f"the credential plugin {name} {how}" + (f": {last}" if last else ""),
            "log in again with the tool it belongs to",
        )
    return parse_credential(printed.stdout, plugin)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def parse_credential(output: bytes, plugin: ExecPlugin) -> ExecCredential:
    """Reads the ExecCredential a plugin printed.

    Raises:
        ClusterUnreachable: it is none, or of another version, or holds no credentials.
    """

    def broken(problem: str) -> ClusterUnreachable:
        return ClusterUnreachable(
            f"the credential plugin {plugin.command!r} printed {problem}",
            "run it by hand to see what it prints",
        )

    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        try:
            document = parse_yaml(output)  # which kubectl reads too
        except ValueError as error:
            raise broken("neither JSON nor YAML") from error
    if not isinstance(document, dict) or document.get("kind") != "ExecCredential":
        raise broken("no ExecCredential")
    if document.get("apiVersion") != plugin.api_version:
        raise broken(f"apiVersion {document.get('apiVersion')!r}, not {plugin.api_version!r}")
    status = document.get("status")
    if not isinstance(status, dict):
        raise broken("an ExecCredential without a status")
    values = {}
    for key in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp"):
        value = status.get(key) or ""
        if not isinstance(value, str):
            raise broken(f"a {key} that is no string")
        values[key] = value
    if bool(values["clientCertificateData"]) != bool(values["clientKeyData"]):
        raise broken("a client certificate without its key, or a key without its certificate")
    if not values["token"] and not values["clientCertificateData"]:
        raise broken("neither a token nor a client certificate")
    if not values["token"].isprintable():
        raise broken("a token with control characters")
    expires = None
    if values["expirationTimestamp"]:
        try:
            expires = datetime.fromisoformat(values["expirationTimestamp"])
        except ValueError as error:
            raise broken("an expirationTimestamp that is no RFC 3339 time") from error
        if expires.tzinfo is None:
            expires = expires.replace(tzinfo=timezone.utc)  # noqa: UP017
    return ExecCredential(
        token=values["token"],
        certificate=values["clientCertificateData"].encode(),
        key=values["clientKeyData"].encode(),
        expires=expires,
    )


def _exec_info(plugin: ExecPlugin, cluster: Cluster, interactive: bool) -> dict[str, object]:
    spec: dict[str, object] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        described: dict[str, object] = {"server": cluster.server, "config": cluster.exec_config}
        authority = cluster.certificate_authority
        data = authority.data
        if not data and authority.path:
            with open(authority.path, "rb") as file:
                data = file.read()
        if data:
            described["certificate-authority-data"] = base64.b64encode(data).decode()
        if cluster.insecure:
            described["insecure-skip-tls-verify"] = True
        if cluster.tls_server_name:
            described["tls-server-name"] = cluster.tls_server_name
        if cluster.proxy is not None:
            described["proxy-url"] = cluster.proxy.secret_url
        spec["cluster"] = described
    return {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
