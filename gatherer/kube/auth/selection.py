"""A context of a kubeconfig and what it refers to: cluster, user, certificates, plugin. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gatherer.errors import ClusterUnreachable
from gatherer.kube.proxies import Proxy


@dataclass(frozen=True)
class Material:
    """A certificate or key: its PEM text, or the file that holds it.

    Attributes:
        data: PEM, empty when it is in a file.
        path: of the file, empty when there is none.
    """

    data: bytes = field(default=b"", repr=False)
    path: str = ""

    def __bool__(self) -> bool:
        return bool(self.data or self.path)


@dataclass(frozen=True)
class Cluster:
    """An entry of `clusters`.

    Attributes:
        server: URL without a slash at the end, without user and password.
        authorization: value of the header that user and password of that URL make; goes before
            whatever the user has.
        certificate_authority: whom to trust; empty for the system's roots.
        insecure: `insecure-skip-tls-verify`.
        tls_server_name: empty for the server's own name.
        proxy: of `proxy-url`, None for what the environment says.
        exec_config: what an exec plugin is told about the cluster in `config`.
    """

    server: str
    authorization: str = field(default="", repr=False)
    certificate_authority: Material = Material()
    insecure: bool = False
    tls_server_name: str = ""
    proxy: Proxy | None = None
    exec_config: object = None


@dataclass(frozen=True)
class ExecPlugin:
    """The `exec` of a user: a program that prints credentials.

    Attributes:
        command: name or path; a relative path is already resolved.
        api_version: of ExecCredential.
        arguments: command line.
        environment: what is added to it.
        install_hint: text to show when the program is missing.
        provide_cluster_info: whether it is told about the cluster.
        interactive_mode: `Never`, `IfAvailable` or `Always`.
    """

    command: str
    api_version: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = "IfAvailable"


@dataclass(frozen=True)
class User:
    """An entry of `users`, and of it what takes effect: the other fields are empty.

    Attributes:
        token: bearer token.
        token_file: file of a token that is renewed there; goes before `token` while it is readable.
        id_token: of OpenID Connect, beside a client certificate or alone.
        username: of basic authentication.
        password: of basic authentication.
        certificate: client certificate.
        key: of the client certificate.
        exec_plugin: program that prints credentials.
        impersonate: headers that ask to act as another user, a name may come several times.
    """

    token: str = field(default="", repr=False)
    token_file: str = ""
    id_token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    certificate: Material = Material()
    key: Material = Material()
    exec_plugin: ExecPlugin | None = None
    impersonate: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Selection:
    """A context and what it refers to.

    Attributes:
        context: its name, empty where none is named.
        namespace: empty when it names none.
        cluster: of the context, None when no server is known.
        user: of the context.
        problem: what to say when no server is known.
    """

    context: str
    namespace: str
    cluster: Cluster | None
    user: User
    problem: ClusterUnreachable | None = None
