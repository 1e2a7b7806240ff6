from __future__ import annotations

import base64

import pytest

from gatherer.kube.connection_errors import connection_error, proxy_refusal
from gatherer.kube.proxies import Proxy, environment_proxy, kubeconfig_proxy

FAR = "https://api.example.test:6443"
SECRETS = ("s3cret", "s%33cret", base64.b64encode(b"me:s3cret").decode())


def chosen(server: str = FAR, **environment: str) -> str | None:
    proxy = environment_proxy(server, environment)
    return None if proxy is None else proxy.secret_url


def test_each_kind_of_server_has_its_variables() -> None:
    assert chosen(HTTPS_PROXY="http://p:1", https_proxy="http://q:1") == "http://p:1"
    assert chosen(HTTPS_PROXY="", https_proxy="http://q:1") == "http://q:1"
    assert chosen(HTTP_PROXY="http://p:1", ALL_PROXY="http://p:1", all_proxy="http://p:1") is None
    assert chosen("http://10.0.0.1:1", HTTP_PROXY="p:1", HTTPS_PROXY="q:1") == "http://p:1"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("p", "http://p:80"),
        ("p:3128", "http://p:3128"),
        ("HTTPS://P/", "https://p:443"),
        ("socks5://p", "socks5://p:1080"),
        ("socks5h://p:1", "socks5://p:1"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("me:p%40w@p:1", "http://me:p%40w@p:1"),
        ("http://me@p:1", "http://me:@p:1"),
        ("http://j%C3%BCrgen:%e9@p:1", "http://j%C3%BCrgen:%E9@p:1"),
    ],
)
def test_what_a_variable_may_say(text: str, url: str) -> None:
    assert chosen(HTTPS_PROXY=text) == url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://me:s3cret@p:1",
        "http://me:s3cret@p:port",
        "http://me:s3cret@p:99999",
        "http://me:s3cret@p:0",
        "http://me:s3cret#@p:1",
        "http://me:s3cret%@p:1",
        "http://me:s3cret @p:1",
        "http://me:s3cret@",
        "http://",
        "me:s3cret\n@p",
    ],
)
def test_what_names_no_proxy_is_told_without_its_words(text: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY") as caught:
        chosen(HTTPS_PROXY=text)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ValueError, match="proxy-url") as caught:
        kubeconfig_proxy(text)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["p:3128", "socks5h://p:1", "//p:1", ""])
def test_a_kubeconfig_names_a_scheme_that_kubectl_knows(text: str) -> None:
    with pytest.raises(ValueError, match="proxy-url is no URL"):
        kubeconfig_proxy(text)


@pytest.mark.parametrize(
    ("server", "rule", "direct"),
    [
        (FAR, "", False),
        (FAR, "api.example.test", True),
        (FAR, " x , API.example.TEST ", True),
        (FAR, "example.test", True),
        (FAR, ".example.test", True),
        (FAR, "*.example.test", True),
        (FAR, ".api.example.test", False),
        (FAR, "ample.test", False),
        (FAR, "api", False),
        (FAR, "api.example.test:6443", True),
        (FAR, "api.example.test:443", False),
        ("https://api.example.test", "api.example.test:443", True),
        ("http://api.example.test", "api.example.test:80", True),
        (FAR, "*", True),
        (FAR, "x,*", True),
        (FAR, "https://api.example.test", False),
        (FAR, "x api.example.test", False),
        (FAR, ":6443", False),
        ("https://bücher.test", "bücher.test", True),
        ("https://xn--bcher-kva.test", "bücher.test", True),
        ("https://10.9.8.7", "10.9.8.7", True),
        ("https://10.9.8.7", "10.9.8.7:443", True),
        ("https://10.9.8.7", "10.9.8.7:1", False),
        ("https://10.9.8.7", "8.7", False),
        ("https://10.9.8.7", "10.0.0.0/8", True),
        ("https://10.9.8.7", "10.9.1.2/16", True),
        ("https://10.9.8.7", "11.0.0.0/8", False),
        ("https://10.9.8.7", "0.0.0.0/0", True),
        ("https://10.9.8.7", "::/0", False),
        ("https://10.9.8.7", "10.0.0.0/255.0.0.0", False),
        ("https://10.9.8.7", "10.0.0.0/33", False),
        ("https://10.9.8.7", "::ffff:10.9.8.7", True),
        ("https://[fd00::7]:6443", "fd00::7", True),
        ("https://[fd00::7]:6443", "[fd00::7]:6443", True),
        ("https://[fd00::7]:6443", "[fd00::7]:1", False),
        ("https://[fd00::7]:6443", "[fd00::7]", False),
        ("https://[fd00::7]:6443", "fd00::/8", True),
        ("https://127.0.0.1:6443", "", True),
        ("https://127.1.2.3:6443", "", True),
        ("https://[::1]:6443", "", True),
        ("https://[::ffff:127.0.0.1]:6443", "", True),
        ("https://localhost:6443", "", True),
        ("https://LOCALHOST:6443", "", False),
        ("https://localhost.test:6443", "", False),
    ],
)
def test_what_is_reached_without_a_proxy(server: str, rule: str, direct: bool) -> None:
    environment = {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1", "NO_PROXY": rule}
    assert (environment_proxy(server, environment) is None) == direct
    small = {"https_proxy": "http://p:1", "http_proxy": "http://p:1", "no_proxy": rule}
    assert (environment_proxy(server, small) is None) == direct


def test_a_cgi_program_takes_no_http_proxy() -> None:
    with pytest.raises(ValueError, match="REQUEST_METHOD"):
        chosen("http://10.0.0.1", HTTP_PROXY="http://p:1", REQUEST_METHOD="GET")
    assert chosen(HTTPS_PROXY="http://p:1", REQUEST_METHOD="GET") == "http://p:1"


@pytest.fixture
def locked() -> Proxy:
    proxy = environment_proxy(FAR, {"HTTPS_PROXY": "http://me:s%33cret@p:1"})
    assert proxy is not None
    return proxy


def test_user_and_password_go_to_the_proxy_and_nowhere_else(locked: Proxy) -> None:
    assert locked.headers == {"Proxy-Authorization": f"Basic {SECRETS[2]}"}
    told = [
        str(locked),
        repr(locked),
        locked.address,
        str(proxy_refusal(locked, 407)),
        str(proxy_refusal(locked, 502)),
        str(connection_error(FAR, ConnectionRefusedError(111, "refused"), locked)),
    ]
    for text in told:
        assert not any(secret in text for secret in SECRETS)
    assert str(locked) == "http://p:1 (HTTPS_PROXY)"


def test_an_error_names_the_proxy_and_what_named_it(locked: Proxy) -> None:
    refused = connection_error(FAR, ConnectionRefusedError(111, "refused"), locked)
    assert str(refused) == (
        f"no connection through the proxy http://p:1 (HTTPS_PROXY) to the API server {FAR}: "
        "connection refused; correct HTTPS_PROXY, or name the API server's host in NO_PROXY"
    )
    own = connection_error(FAR, TimeoutError(), kubeconfig_proxy("socks5://p"))
    assert "socks5://p:1080 (proxy-url)" in own.cause
    assert own.remedy == "correct proxy-url of the cluster in the kubeconfig"
    assert "refuses the user and password" in proxy_refusal(locked, 407).cause
    assert "wants a user" in proxy_refusal(kubeconfig_proxy("http://p"), 407).cause
