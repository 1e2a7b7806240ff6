from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatherer.errors import (
    ApiError,
    ExecError,
    Forbidden,
    NotFound,
    ServerError,
    Unauthorized,
)
from gatherer.kube.answers import (
    answer_error,
    exec_error,
    is_missing_program,
    is_not_executable,
    is_refused_program,
)
from gatherer.kube.objects.models import Status

from .recordings import FIXTURES, recordings

REFUSED = [r for r in recordings().values() if r.status != 101]


def error_of(name: str) -> ApiError:
    recording = recordings()[name]
    return answer_error(
        recording.status,
        recording.content_type,
        recording.body,
        context="prod",
        verb="create",
        resource="pods/exec",
    )


@pytest.mark.parametrize("recording", REFUSED, ids=lambda recording: recording.name)
def test_every_recorded_refusal_is_one_line_with_the_servers_words_and_a_remedy(
    recording: object,
) -> None:
    error = error_of(recording.name)  # type: ignore[attr-defined]
    assert "\n" not in str(error)
    assert error.remedy
    assert error.exit_code == 3
    assert error.status == recording.status  # type: ignore[attr-defined]
    body = recording.body.decode()  # type: ignore[attr-defined]
    words = json.loads(body)["message"] if body.startswith("{") else body
    assert words in str(error)


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("BAD TOKEN", Unauthorized, "log in again"),
        ("FORBIDDEN (viewer)", Forbidden, "--verb=get,create --resource=pods/exec"),
        ("MISSING POD", NotFound, "--namespace"),
        ("MISSING NAMESPACE", NotFound, "--namespace"),
        ("MISSING CONTAINER", ApiError, "lists the containers"),
        ("PENDING POD no node", ApiError, "not scheduled"),
        ("no container given, 2-container pod", ApiError, "name one with -c"),
        ("CONTAINER NOT RUNNING crashpod", ServerError, "wait until the container runs"),
        ("EPHEMERAL terminated", ServerError, "wait until the container runs"),
        ("unknown protocol only", Forbidden, "does not pass websockets on"),
    ],
)
def test_recorded_refusals_become_the_error_that_fits(
    name: str, kind: type[ApiError], remedy: str
) -> None:
    error = error_of(name)
    assert type(error) is kind
    assert remedy in error.remedy


def test_a_forbidden_names_verb_resource_and_namespace() -> None:
    error = error_of("FORBIDDEN (viewer)")
    assert isinstance(error, Forbidden)
    assert (error.verb, error.resource) == ("get", "pods/exec")
    assert "-n default" in error.remedy


def test_the_resource_of_the_answer_goes_before_the_one_that_was_asked_for() -> None:
    error = error_of("execer port-forward FORBIDDEN")
    assert isinstance(error, Forbidden)
    assert error.resource == "pods/portforward"


def test_a_forbidden_that_breaks_off_names_the_missing_verb() -> None:
    # Recorded in client-errors.txt: `get` alone is not enough since Kubernetes 1.35.
    lines = (FIXTURES / "client-errors.txt").read_text().splitlines()
    body = next(line for line in lines if 'is forbidden: "' in line).removeprefix("BODY ")
    error = answer_error(
        403,
        "application/json",
        body.encode(),
        context="",
        verb="create",
        resource="pods/exec",
    )
    assert isinstance(error, Forbidden)
    assert (error.verb, error.resource) == ("create", "pods/exec")
    assert "the verb create on" in error.cause


def test_a_web_page_is_named_not_printed() -> None:
    error = answer_error(
        502, "text/html", b"<html><head><title>502 Bad Gateway</title>" + b"x" * 9999, context=""
    )
    assert "a web page '502 Bad Gateway'" in error.cause
    assert len(str(error)) < 300


def test_a_node_that_cannot_be_reached_is_named() -> None:
    body = b"error dialing backend: dial tcp 10.0.0.7:10250: connect: connection refused"
    error = answer_error(500, "text/plain; charset=utf-8", body, context="")
    assert isinstance(error, ServerError)
    assert "kubectl get nodes" in error.remedy


@pytest.mark.parametrize("status", [400, 409, 422, 429, 500, 503])
def test_an_answer_without_words_still_says_the_status(status: int) -> None:
    assert str(status) in answer_error(status, "", b"", context="").cause


@given(
    st.integers(300, 599),
    st.sampled_from(["application/json", "text/plain", "text/html", ""]),
    st.binary(max_size=200),
)
def test_any_answer_is_one_printable_line(status: int, content_type: str, body: bytes) -> None:
    text = str(answer_error(status, content_type, body, context="c", resource="pods/exec"))
    assert text
    assert text.isprintable()


def status_of(name: str) -> Status:
    return Status.from_json(json.loads(recordings()[name].messages[-1][1:]))


def test_a_missing_program_is_told_from_one_that_may_not_run() -> None:
    missing, forbidden = status_of("MISSING BINARY"), status_of("BINARY NOT EXECUTABLE")
    assert is_missing_program(missing)
    assert not is_not_executable(missing)
    assert is_not_executable(forbidden)
    assert not is_missing_program(forbidden)


@pytest.mark.parametrize(
    "words",
    [
        'exec: "sh": executable file not found in $PATH: unknown',
        'exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown',
        "executable file `sh` not found in $PATH: No such file or directory",
    ],
)
def test_a_missing_program_in_the_words_of_runc_and_crun(words: str) -> None:
    assert is_missing_program(Status(success=False, message=words))


_RUNC = "OCI runtime exec failed: exec failed: unable to start container process: "


@pytest.mark.parametrize(
    "words",
    [
        _RUNC + 'exec: "sh": executable file not found in $PATH: unknown',
        _RUNC + 'exec: "/bin/sh": permission denied: unknown',
        _RUNC + "exec /bin/sh: exec format error: unknown",
        _RUNC + "exec /bin/sh: no such file or directory: unknown",  # its loader
        _RUNC + "exec /bin/sh: operation not permitted: unknown",  # a seccomp profile
        _RUNC + "exec /bin/sh: input/output error: unknown",
        _RUNC + 'exec: "/bin/sh": stat /bin/sh: too many levels of symbolic links: unknown',
        _RUNC + 'exec: "/bin/sh": is a directory: unknown',
        _RUNC + "unable to init seccomp: error loading seccomp filter into kernel: errno 22",
        _RUNC + "exec /bin/sh: cannot allocate memory: unknown",
        "command error: exec failed: write /proc/self/attr/keycreate: invalid argument",
        "executable file `sh` not found in $PATH: No such file or directory",
    ],
)
def test_a_program_that_the_runtime_could_not_run(words: str) -> None:
    assert is_refused_program(Status(success=False, message=words))


@pytest.mark.parametrize(
    "words",
    [
        'container not found ("app")',
        "failed to exec in container: failed to create exec: cannot exec in a stopped container",
        _RUNC + "cannot exec in a stopped container: unknown",
        "failed to load task: no running task found: task 0a1b not found: not found",
        "container 0a1b is in CONTAINER_EXITED state",
        "rpc error: code = Unavailable desc = connection error: dial unix containerd.sock",
        "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
    ],
)
def test_a_container_that_has_ended_or_a_node_that_fails_is_no_refused_program(words: str) -> None:
    assert not is_refused_program(Status(success=False, message=words))


def test_an_exec_error_keeps_the_runtimes_own_words_only() -> None:
    error = exec_error(status_of("MISSING BINARY"), "python3")
    assert type(error) is ExecError
    assert "executable file not found in $PATH" in error.cause
    assert "failed to start exec" not in error.cause
    assert error.remedy == "the container has no such program"
    assert "executable for" in exec_error(status_of("BINARY NOT EXECUTABLE"), "x").remedy


def told(status: int, message: str, **arguments: str) -> ApiError:
    body = json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": status})
    return answer_error(
        status, "application/json", body.encode(), **{"context": "prod", **arguments}
    )


def test_a_right_on_the_whole_cluster_takes_a_cluster_role_and_its_binding() -> None:
    error = told(
        403,
        'pods is forbidden: User "jane@corp" cannot list resource "pods" in API group "" '
        "at the cluster scope",
        namespace="",
        verb="list",
        resource="pods",
    )
    assert error.remedy == (
        "bind a role with it: "
        "`kubectl create clusterrole gatherer-pods --verb=list --resource=pods` and "
        "`kubectl create clusterrolebinding gatherer-pods --clusterrole=gatherer-pods "
        "--user=jane@corp`"
    )


def test_a_right_in_a_namespace_takes_a_role_and_its_binding() -> None:
    error = told(
        403,
        'deployments.apps "web" is forbidden: User "system:serviceaccount:ci:bot" cannot get '
        'resource "deployments" in API group "apps" in the namespace "team"',
        verb="get",
        resource="deployments",
    )
    assert error.remedy == (
        "bind a role with it: `kubectl create role gatherer-deployments-apps -n team --verb=get "
        "--resource=deployments.apps` and `kubectl create rolebinding gatherer-deployments-apps "
        "-n team --role=gatherer-deployments-apps --serviceaccount=ci:bot`"
    )


def test_a_user_with_spaces_is_one_word_of_the_shell() -> None:
    error = told(403, 'x is forbidden: User "jane doe" cannot get resource "nodes" at the cluster '
                 "scope")  # fmt: skip
    assert "--user='jane doe'" in error.remedy


def test_who_may_not_list_pods_needs_to_watch_them_too() -> None:
    error = told(403, 'User "j" cannot list resource "pods" in the namespace "team"')
    assert "--verb=list,watch --resource=pods" in error.remedy


@pytest.mark.parametrize(
    ("namespace", "context", "cause"),
    [
        ("team", "prod", "pods \"x\" not found in namespace 'team' of context 'prod'"),
        ("team", "", "pods \"x\" not found in namespace 'team'"),
        ("", "prod", "pods \"x\" not found in context 'prod'"),
    ],
)
def test_what_is_not_found_names_namespace_and_context(
    namespace: str, context: str, cause: str
) -> None:
    error = told(404, 'pods "x" not found', namespace=namespace, context=context)
    assert error.cause == cause
