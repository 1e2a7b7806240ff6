"""Which samples concern a container: forms of container_id, other agents' labels, the node's."""

from __future__ import annotations

import pytest

from gatherer.agents.container_filter import ContainerFilter

MINE = ContainerFilter("shop", "web-0", "app")
CRON = ContainerFilter("shop", "report-29123456-x1b2c", "job")


@pytest.mark.parametrize(
    ("wanted", "labels", "kept"),
    [
        (MINE, {"container_id": "/k8s/shop/web-0/app"}, True),
        (MINE, {"container_id": "/k8s/shop/web-0/sidecar"}, False),
        (MINE, {"container_id": "/k8s/shop/web-01/app"}, False),
        (MINE, {"container_id": "/k8s/other/web-0/app"}, False),
        (MINE, {"container_id": "/system.slice/kubelet.service"}, False),
        (MINE, {"container_id": "/docker/web-0"}, False),
        (CRON, {"container_id": "/k8s-cronjob/shop/report/job"}, True),
        (CRON, {"container_id": "/k8s-cronjob/shop/report/other"}, False),
        (CRON, {"container_id": "/k8s/shop/report-29123456-x1b2c/job"}, True),
        (MINE, {"container_id": "/k8s-cronjob/shop/web-0/app"}, False),
        (MINE, {"machine_id": "a"}, True),
        (MINE, {}, True),
        (MINE, {"namespace": "shop", "pod": "web-0", "container": "app"}, True),
        (MINE, {"namespace": "shop", "pod": "web-0", "container": ""}, True),
        (MINE, {"namespace": "shop", "pod": "web-0"}, True),
        (MINE, {"namespace": "shop", "pod": "web-0", "container": "sidecar"}, False),
        (MINE, {"namespace": "other", "pod": "web-0"}, False),
        (MINE, {"exported_namespace": "shop", "exported_pod": "web-1"}, False),
        (ContainerFilter("shop", "web-0", ""), {"container_id": "/k8s/shop/web-0/app"}, True),
        (ContainerFilter("shop", "web-0", ""), {"container_id": "/k8s/shop/web-01/app"}, False),
        (ContainerFilter(), {"container_id": "/k8s/other/pod/c"}, True),
    ],
)
def test_what_is_kept(wanted: ContainerFilter, labels: dict[str, str], kept: bool) -> None:
    assert wanted.matches(labels) is kept


@pytest.mark.parametrize(
    ("wanted", "labels", "own"),
    [
        (MINE, {"container_id": "/k8s/shop/web-0/app"}, True),
        (MINE, {"machine_id": "a"}, False),
        (MINE, {"pod": "web-0"}, True),
        (ContainerFilter(), {}, False),
        (ContainerFilter("shop", "web-0", "app", own=True), {}, True),
    ],
)
def test_what_is_the_containers_own(
    wanted: ContainerFilter, labels: dict[str, str], own: bool
) -> None:
    assert wanted.is_container(labels) is own
