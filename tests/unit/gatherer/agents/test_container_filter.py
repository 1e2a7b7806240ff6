"""Which samples concern a container: forms of container_id, other agents' labels, the node's."""

from __future__ import annotations

import pytest

from gatherer.agents.container_filter import Selection

MINE = Selection("shop", "web-0", "app")
CRON = Selection("shop", "report-29123456-x1b2c", "job")


@pytest.mark.parametrize(
    ("selection", "labels", "kept"),
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
        (Selection("shop", "web-0", ""), {"container_id": "/k8s/shop/web-0/app"}, True),
        (Selection("shop", "web-0", ""), {"container_id": "/k8s/shop/web-01/app"}, False),
        (Selection(), {"container_id": "/k8s/other/pod/c"}, True),
    ],
)
def test_what_is_kept(selection: Selection, labels: dict[str, str], kept: bool) -> None:
    assert selection.concerns(labels) is kept


@pytest.mark.parametrize(
    ("selection", "labels", "own"),
    [
        (MINE, {"container_id": "/k8s/shop/web-0/app"}, True),
        (MINE, {"machine_id": "a"}, False),
        (MINE, {"pod": "web-0"}, True),
        (Selection(), {}, False),
        (Selection("shop", "web-0", "app", own=True), {}, True),
    ],
)
def test_what_is_the_containers_own(
    selection: Selection, labels: dict[str, str], own: bool
) -> None:
    assert selection.is_container(labels) is own


def test_it_survives_the_way_to_the_parser() -> None:
    assert Selection(**MINE.as_json()) == MINE
