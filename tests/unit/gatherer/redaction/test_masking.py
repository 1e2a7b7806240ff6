"""Secrets of command lines: masked wherever they stand, and nothing else is."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.capture.process_table import MAX_CMDLINE, ProcessTable
from gatherer.config import CaptureConfig
from gatherer.redaction.masking import MASK, MAX_ARGUMENT, is_secret, masked, masked_text
from tests.unit.gatherer.scripted import process

MASKED = {
    "app --db-password=%": "app --db-password=***",
    "app --db-password % -v": "app --db-password *** -v",
    "app -password %": "app -password ***",
    "app --apiKey=%": "app --apiKey=***",
    "app --dbPassword %": "app --dbPassword ***",
    "app /Password:%": "app /Password:***",
    "app --auth user:%": "app --auth ***",
    "java -Dspring.datasource.password=% -jar a.jar": (
        "java -Dspring.datasource.password=*** -jar a.jar"
    ),
    "env API_TOKEN=% AWS_SECRET_ACCESS_KEY=% PGPASSWORD=% app": (
        "env API_TOKEN=*** AWS_SECRET_ACCESS_KEY=*** PGPASSWORD=*** app"
    ),
    "redis-server --requirepass %": "redis-server --requirepass ***",
    "redis-cli -a % ping": "redis-cli -a *** ping",
    "mysql -uroot -p% db": "mysql -uroot -p*** db",
    "/usr/bin/mysqldump -p% db": "/usr/bin/mysqldump -p*** db",
    "sshpass -p % ssh -p 22 h": "sshpass -p *** ssh -p 22 h",
    "docker login -u me -p % r.io": "docker login -u me -p *** r.io",
    "curl -u me:% https://h": "curl -u *** https://h",
    "curl --user me:% https://h": "curl --user *** https://h",
    "curl -sku me:% https://h": "curl -sku *** https://h",
    "curl -sume:% https://h": "curl -su*** https://h",
    "curl -fsS -ou https://h -HX-Auth-Token:% -v": "curl -fsS -ou https://h -HX-Auth-Token:*** -v",
    "app --token:% -v": "app --token:*** -v",
    "app --hmac-key % --psk %": "app --hmac-key *** --psk ***",
    "app postgres://u:a/%@h:5432/db": "app postgres://u:***@h:5432/db",
    "app http://h:80/a@b": "app http://h:80/a@b",
    "openssl enc -pass pass:%": "openssl enc -pass ***",
    "app postgres://u:%@h:5432/db": "app postgres://u:***@h:5432/db",
    "app amqp://:%@h": "app amqp://:***@h",
    "app --proxy=http://u:%@proxy:3128": "app --proxy=http://u:***@proxy:3128",
    "app u:%@tcp(db:3306)/x": "app u:***@tcp(db:3306)/x",
    "app https://h/x?access_token=%&y=1": "app https://h/x?access_token=***&y=1",
    "app --header=Authorization:% x": "app --header=Authorization:*** x",
    'app --config={"password":"%","user":"x"}': ('app --config={"password":"***","user":"x"}'),
    "app Server=s;Password=%;Database=d": "app Server=s;Password=***;Database=d",
}
WITH_SPACES = {
    ("sh", "-c", "export TOKEN=%; app --password '% and more' --port 80"): (
        "sh", "-c", "export TOKEN=***; app --password *** --port 80"
    ),
    ("sh", "-c", "mysql -p% -e 'select 1'"): ("sh", "-c", "mysql -p*** -e 'select 1'"),
    ("curl", "-H", "Authorization: Bearer %"): ("curl", "-H", "Authorization: ***"),
    ("curl", "-H", "Cookie: a=%; b=%", "-v"): ("curl", "-H", "Cookie: ***", "-v"),
    ("curl", "-H", "X-Api-Key: %"): ("curl", "-H", "X-Api-Key: ***"),
    ("app", "host=h user=u password=% dbname=d"): ("app", "host=h user=u password=*** dbname=d"),
    ("app", "--password", "% with words"): ("app", "--password", "***"),
    ("app", "token: '%'"): ("app", "token: '***'"),
    ("worker: postgres://u:%@h/db (idle)",): ("worker: postgres://u:***@h/db (idle)",),
}  # fmt: skip
SECRETS = st.text(string.ascii_letters + string.digits + "+_.%~^!", min_size=8, max_size=20)


@given(SECRETS)
def test_secrets_are_masked_and_the_rest_is_left(secret: str) -> None:
    for line, shown in MASKED.items():
        assert masked(line.replace("%", secret).split(" ")) == shown.split(" ")
    for words, expected in WITH_SPACES.items():
        assert masked([word.replace("%", secret) for word in words]) == list(expected)


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4", "ghp_" + "a1" * 18,
        "glpat-" + "x" * 20, "AKIAIOSFODNN7EXAMPLE", "xoxb-1234567890-abcdef", "sk-" + "q1" * 20,
        "-----BEGIN RSA PRIVATE KEY-----MIIEow\nAbc=-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_what_looks_like_a_token_is_masked_anywhere(token: str) -> None:
    assert masked(["app", token, f"--x={token}", f"a {token} b"]) == [
        "app", MASK, f"--x={MASK}", f"a {MASK} b"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "app --password-file /etc/pw --token-ttl=5m --max-tokens 500 --secret-dir=/run/secrets",
        "app --tokenizer bpe --author me --compass=n --passenger y --keyboard us --port 80",
        "app http://host:8080/path@x ssh://git@host/x user@host:path key=value monkey=1 --key x",
        "docker run -p 80:80 -e A=B image", "ssh -p 22 host", "mysql -p db", "tar -pxf a",
        "python3 -c print(1) --password", "nginx: worker", "app --password= --token --verbose",
        "java -Xmx2g -Dfile.encoding=UTF-8 -jar a.jar --spring.profiles.active=prod",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_left(line: str) -> None:
    assert masked(line.split(" ")) == line.split(" ")
    assert masked([line]) == [line]


@given(st.lists(st.text(max_size=60), max_size=6))
def test_what_is_masked_stays_as_it_is(arguments: list[str]) -> None:
    once = masked(arguments)
    assert len(once) == len(arguments)
    assert masked(once) == once


def test_names_are_taken_apart() -> None:
    for name in ("--db-password", "DB_PASSWORD", "dbPassword", "userpass", "X-Auth", "ApiKey"):
        assert is_secret(name), name
    for name in ("--path", "passenger", "key", "TOKEN_FILE", "maxTokens", "authMode", "bypass"):
        assert not is_secret(name), name


def test_an_end_that_is_cut_off_hides_no_secret() -> None:
    assert masked(["app", "postgres://u:half-of-it"], cut=True) == ["app", "postgres://u:***"]
    assert masked(["app", "http://h:80"]) == ["app", "http://h:80"]
    long = "x" * (MAX_ARGUMENT - 20) + " http://u:" + "p" * 50 + "@h"
    assert "p" * 10 not in masked([long])[0].replace("http", "")
    assert len(masked_text("y" * (MAX_ARGUMENT + 9))) == MAX_ARGUMENT


def test_session_json_has_command_lines_and_options_without_secrets() -> None:
    table = ProcessTable()
    line = ["leak", "--db-password=hunter2", "x" * MAX_CMDLINE, "--token", "hunter2"]
    table.declare(replace(process(), cmdline=line))
    [entry] = table.as_json()
    assert entry["cmdline"][:2] == ["leak", "--db-password=***"]
    assert "hunter2" not in str(entry)
    agents = ("http://me:hunter2@10.0.0.5:9100/metrics?token=hunter2",)
    assert CaptureConfig(agents=agents).as_json()["agent"] == [
        "http://10.0.0.5:9100/metrics?token=***"
    ]
