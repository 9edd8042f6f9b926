"""Paths of fields, as findings carry them."""

from hypothesis import given
from hypothesis import strategies as st

from manifests.fields import keys_of_path, path_to, placed
from manifests.workloads import containers, running_containers

KEYS = st.lists(st.text() | st.integers(0, 99), max_size=5).map(lambda keys: ("spec", *keys))


@given(KEYS)
def test_a_path_is_read_as_it_was_written(keys):
    assert keys_of_path(path_to("", *keys)) == keys


def test_paths_are_written_as_people_write_them():
    assert path_to("spec", "containers", 0, "image") == "spec.containers[0].image"
    assert path_to("", "data", "redis.conf") == 'data."redis.conf"'


def test_elements_of_lists_know_their_places():
    rule = {"ports": [{"port": 1}, None, {"port": 2}]}
    found = [
        port for item in placed({"spec": {"egress": ["x", rule]}}, "spec", "egress") for port in placed(item, "ports")
    ]
    assert [(port.at("port"), port["port"]) for port in found] == [
        ("spec.egress[1].ports[0].port", 1),
        ("spec.egress[1].ports[2].port", 2),
    ]


def test_containers_know_their_places():
    pods = {"spec": {"containers": [{"name": "a"}], "initContainers": [{}, {"restartPolicy": "Always"}]}}
    job = {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pods}}}}
    inside = "spec.jobTemplate.spec.template.spec"
    assert [c.path for c in containers(job)] == [
        f"{inside}.initContainers[0]",
        f"{inside}.initContainers[1]",
        f"{inside}.containers[0]",
    ]
    assert [c.path for c in running_containers(job)] == [f"{inside}.initContainers[1]", f"{inside}.containers[0]"]
    [container] = containers({"apiVersion": "v1", "kind": "Pod", **pods, "spec": {"containers": [{}]}})
    assert container.path == "spec.containers[0]"
