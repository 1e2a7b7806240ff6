"""Files and values only: nothing here opens a connection or starts a program."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from gatherer.errors import ClusterUnreachable
from gatherer.kube.auth.access import ClusterAccess
from gatherer.kube.auth.configuration import load_access


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(path: Path, server: str = "https://127.0.0.1:1", **parts: Any) -> Path:
    document = {
        "current-context": "dev",
        "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **parts.get("cluster", {})}}],
        "users": [{"name": "u", "user": parts.get("user", {"token": "abc"})}],
    }
    path.write_text(json.dumps(document))
    return path


def headers(access: ClusterAccess) -> dict[str, str]:
    return asyncio.run(access.credentials.headers())


def refusal(**arguments: Any) -> str:
    with pytest.raises(ClusterUnreachable) as caught:
        load_access(**{"environment": {}, **arguments})
    assert caught.value.remedy
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_the_option_goes_before_the_variable_and_the_home(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube/config", "http://home")
    variable = write(tmp_path / "variable", "http://variable")
    option = write(tmp_path / "option", "http://option")
    environment = {"HOME": str(tmp_path)}
    assert load_access(environment=environment).server == "http://home"
    environment["KUBECONFIG"] = str(variable)
    assert load_access(environment=environment).server == "http://variable"
    assert load_access(str(option), environment=environment).server == "http://option"


def test_missing_files_of_the_list_are_passed_over(tmp_path: Path) -> None:
    there = write(tmp_path / "there", "http://there")
    environment = {"KUBECONFIG": f"{tmp_path}/gone::{there}"}
    assert load_access(environment=environment).server == "http://there"


def test_plain_http_has_no_tls(tmp_path: Path) -> None:
    access = load_access(str(write(tmp_path / "config", "http://localhost:8001")))
    assert access.ssl_context is None
    assert headers(access) == {}


def test_no_kubeconfig_at_all(tmp_path: Path) -> None:
    assert "there is no kubeconfig" in refusal(environment={"HOME": str(tmp_path)})


def test_a_kubeconfig_that_does_not_exist(tmp_path: Path) -> None:
    assert "gone does not exist" in refusal(kubeconfig=str(tmp_path / "gone"))
    assert "a:" in refusal(environment={"KUBECONFIG": f"{tmp_path}/a:{tmp_path}/b"})


def test_a_kubeconfig_that_cannot_be_read(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(kubeconfig=str(tmp_path))
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read" in refusal(kubeconfig=str(tmp_path / "loop"))
    (tmp_path / "binary").write_bytes(b"\x80\x81")
    assert "is no text in UTF-8" in refusal(kubeconfig=str(tmp_path / "binary"))


def test_tokens_passwords_and_impersonation(tmp_path: Path) -> None:
    token = write(tmp_path / "token", user={"token": "abc", "as": "jane"})
    access = load_access(str(token))
    assert headers(access) == {"Authorization": "Bearer abc"}
    assert access.impersonation == (("Impersonate-User", "jane"),)
    basic = write(tmp_path / "basic", user={"username": "u", "password": "p:w"})
    assert headers(load_access(str(basic))) == {
        "Authorization": "Basic " + base64.b64encode(b"u:p:w").decode()
    }


def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("first\n")
    config = write(tmp_path / "config", user={"tokenFile": "secret"})
    access = load_access(str(config))
    assert headers(access) == {"Authorization": "Bearer first"}
    (tmp_path / "secret").write_text("second")
    assert headers(access) == {"Authorization": "Bearer second"}
    (tmp_path / "secret").write_text("")
    with pytest.raises(ClusterUnreachable, match="holds no token"):
        headers(access)
    (tmp_path / "secret").unlink()
    with pytest.raises(ClusterUnreachable, match="No such file"):
        headers(access)


def test_a_token_stands_in_for_a_token_file_that_is_missing(tmp_path: Path) -> None:
    config = write(tmp_path / "config", user={"tokenFile": "secret", "token": "old"})
    access = load_access(str(config))
    assert headers(access) == {"Authorization": "Bearer old"}
    (tmp_path / "secret").write_text("new")
    assert headers(access) == {"Authorization": "Bearer new"}


def test_no_credentials_without_tls(tmp_path: Path) -> None:
    user = {"token": "abc", "as": "jane"}
    access = load_access(str(write(tmp_path / "config", "http://10.0.0.1:8001", user=user)))
    assert headers(access) == {}
    assert access.impersonation == (("Impersonate-User", "jane"),)


def test_the_proxy_is_of_the_kubeconfig_or_else_of_the_environment(tmp_path: Path) -> None:
    environment = {"HTTPS_PROXY": "http://me:pw@env:1"}
    far = "https://api.example.test"
    told = load_access(str(write(tmp_path / "a", far)), environment=environment)
    assert (told.proxy and told.proxy.address) == "http://env:1"
    near = load_access(str(write(tmp_path / "b")), environment=environment)
    assert near.proxy is None
    own = write(tmp_path / "c", far, cluster={"proxy-url": "socks5://me:pw@own"})
    proxy = load_access(str(own), environment=environment).proxy
    assert (proxy and proxy.address) == "socks5://own:1080"


@pytest.mark.parametrize("place", ["kubeconfig", "environment"])
def test_a_proxy_that_cannot_be_read_is_told_without_its_password(
    tmp_path: Path, place: str
) -> None:
    bad = "http://me:s3cret#@proxy:x"
    cluster = {"proxy-url": bad} if place == "kubeconfig" else {}
    config = write(tmp_path / "config", "https://api.example.test", cluster=cluster)
    told = refusal(kubeconfig=str(config), environment={"HTTPS_PROXY": bad})
    assert "s3cret" not in told
    assert ("proxy-url" if place == "kubeconfig" else "HTTPS_PROXY") in told


def test_an_authority_as_data_is_trusted_alone(tmp_path: Path, authority: trustme.CA) -> None:
    data = base64.b64encode(authority.cert_pem.bytes()).decode()
    config = write(tmp_path / "config", cluster={"certificate-authority-data": data})
    context = load_access(str(config)).ssl_context
    assert context is not None
    assert context.cert_store_stats()["x509_ca"] == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_an_authority_in_a_file(tmp_path: Path, authority: trustme.CA) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    config = write(tmp_path / "config", cluster={"certificate-authority": "ca.crt"})
    context = load_access(str(config)).ssl_context
    assert context is not None
    assert context.cert_store_stats()["x509_ca"] == 1


def test_an_authority_that_cannot_be_loaded(tmp_path: Path) -> None:
    config = write(tmp_path / "config", cluster={"certificate-authority": "ca.crt"})
    assert "ca.crt cannot be read" in refusal(kubeconfig=str(config))
    (tmp_path / "ca.crt").write_text("nonsense")
    assert "ca.crt cannot be loaded" in refusal(kubeconfig=str(config))


def test_insecure_skips_the_check(tmp_path: Path) -> None:
    config = write(
        tmp_path / "config", cluster={"insecure-skip-tls-verify": True, "tls-server-name": "x"}
    )
    access = load_access(str(config))
    assert access.ssl_context is not None
    assert access.ssl_context.verify_mode is ssl.CERT_NONE
    assert access.tls_server_name == "x"


def test_client_certificates_that_cannot_be_used(tmp_path: Path, authority: trustme.CA) -> None:
    mine, other = authority.issue_cert("me"), authority.issue_cert("other")
    certificate = base64.b64encode(mine.cert_chain_pems[0].bytes()).decode()
    wrong_key = base64.b64encode(other.private_key_pem.bytes()).decode()

    def told(**user: str) -> str:
        return refusal(kubeconfig=str(write(tmp_path / "config", user=user)))

    assert "without a client-key" in told(**{"client-certificate-data": certificate})
    assert "has no credentials" in told(**{"client-key-data": wrong_key})
    pair = {"client-certificate-data": certificate, "client-key-data": wrong_key}
    assert "KEY_VALUES_MISMATCH" in told(**pair)
    pair = {"client-certificate": "me.crt", "client-key-data": wrong_key}
    assert "me.crt cannot be read" in told(**pair)


def test_a_key_leaves_no_file_behind(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    mine = authority.issue_cert("me")
    user = {
        "client-certificate-data": base64.b64encode(mine.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(mine.private_key_pem.bytes()).decode(),
    }
    load_access(str(write(tmp_path / "config", user=user)))
    assert list(scratch.iterdir()) == []


@pytest.fixture
def service_account(tmp_path: Path, authority: trustme.CA) -> Path:
    (tmp_path / "token").write_text("sa-token\n")
    (tmp_path / "namespace").write_text("team")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return tmp_path


IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/"}


def test_the_service_account_of_a_pod(service_account: Path) -> None:
    access = load_access(environment=IN_CLUSTER, service_account=service_account)
    assert access.server == "https://[fd00::1]:443"
    assert (access.namespace, access.context) == ("team", "")
    assert access.ssl_context is not None
    assert access.ssl_context.cert_store_stats()["x509_ca"] == 1
    assert headers(access) == {"Authorization": "Bearer sa-token"}
    (service_account / "token").write_text("renewed")
    assert headers(access) == {"Authorization": "Bearer renewed"}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("token", "", "token is empty"),
        ("ca.crt", "", "ca.crt is empty"),
        ("ca.crt", None, "ca.crt cannot be read: No such file or directory"),
    ],
)
def test_a_service_account_that_is_not_whole(
    service_account: Path, name: str, text: str | None, problem: str
) -> None:
    (service_account / name).unlink()
    if text is not None:
        (service_account / name).write_text(text)
    told = refusal(environment=IN_CLUSTER, service_account=service_account)
    assert f"the service account in {service_account} is unusable: {problem}; " in told


def test_a_kubeconfig_goes_before_the_service_account(service_account: Path) -> None:
    config = write(service_account / "config", "http://x")
    environment = {**IN_CLUSTER, "KUBECONFIG": str(config)}
    assert load_access(environment=environment, service_account=service_account).server == (
        "http://x"
    )


def test_a_pod_without_a_service_account(tmp_path: Path) -> None:
    told = refusal(environment=IN_CLUSTER, service_account=tmp_path)
    assert "no service account in" in told
    assert "automountServiceAccountToken" in told


def test_a_context_is_not_looked_for_in_a_service_account(service_account: Path) -> None:
    told = refusal(environment=IN_CLUSTER, service_account=service_account, context="prod")
    assert "there is no kubeconfig" in told
