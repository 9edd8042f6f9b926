"""No careless edit deletes data, and the way that docs/data.md describes does. The tests build on each other."""

from __future__ import annotations

import json
import subprocess
import uuid

import pytest

from .conftest import Project

DATA = "kept-data"
WORD = uuid.uuid4().hex
KAFKA = "--bootstrap-server localhost:9092 --command-config /tmp/client.properties --topic events"


def kubectl(*arguments: str, code: int = 0) -> str:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stderr}"
    return done.stdout + done.stderr


def in_pod(pod: str, container: str, script: str) -> str:
    return kubectl("exec", "--namespace", DATA, pod, "--container", container, "--", "sh", "-c", script).strip()


def redis(command: str) -> str:
    return in_pod("redis-0", "redis", f". /etc/redis/client.sh && cli redis-0:6379 -c {command}")


def assert_data_is_there() -> None:
    assert redis("get word") == WORD
    consume = f"/opt/kafka/bin/kafka-console-consumer.sh {KAFKA} --from-beginning --max-messages 1 --timeout-ms 60000"
    assert in_pod("kafka-0", "kafka", consume).splitlines()[0] == WORD
    claims = kubectl("get", "pvc", "--namespace", DATA, "--output=jsonpath={.items[*].status.phase}")
    assert claims.split() == ["Bound"] * 4


@pytest.fixture(scope="module")
def kept(kubeconfig: None, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A stack that is protected, with a key and a message in it."""
    stack = project.beside(tmp_path_factory.mktemp("kept"), "kept_program.py", stack="kept")
    stack.pulumi("up", "--yes", "--skip-preview")
    assert redis(f"set word {WORD}") == "OK"
    in_pod("kafka-0", "kafka", f"echo {WORD} | /opt/kafka/bin/kafka-console-producer.sh {KAFKA}")
    return stack


@pytest.mark.parametrize("edit", ["remove redis", "remove kafka", "remove namespaces"])
def test_a_component_that_is_gone_is_refused_by_the_preview(kept: Project, edit: str) -> None:
    kept.pulumi("config", "set", "edit", edit)
    said = kept.pulumi("up", "--yes", code=None)
    kept.pulumi("config", "rm", "edit")
    assert "cannot be deleted" in said
    assert "protected" in said
    assert "Updating" not in said
    assert_data_is_there()


@pytest.mark.parametrize("edit", ["rename redis", "rename kafka", "rename namespaces"])
def test_a_component_by_another_name_is_the_same_objects(kept: Project, edit: str) -> None:
    kept.pulumi("config", "set", "edit", edit)
    kept.pulumi("up", "--yes", "--skip-preview")
    assert_data_is_there()
    kept.pulumi("config", "rm", "edit")
    kept.pulumi("up", "--yes", "--skip-preview")


def test_claims_grow_in_place(kept: Project) -> None:
    classes = kubectl("get", "storageclasses", "--output=json")
    default = "storageclass.kubernetes.io/is-default-class"
    if not any(
        c.get("allowVolumeExpansion") and c["metadata"].get("annotations", {}).get(default) == "true"
        for c in json.loads(classes)["items"]
    ):
        pytest.skip("claims of the default StorageClass cannot grow: set its allowVolumeExpansion to true")

    def identities() -> str:
        return kubectl("get", "statefulsets,pods", "--namespace", DATA, "--output=jsonpath={.items[*].metadata.uid}")

    before = identities()
    kept.pulumi("config", "set", "storage", "2Gi")
    kept.pulumi("up", "--yes", "--skip-preview")
    asked = "--output=jsonpath={.items[*].spec.resources.requests.storage}"
    assert kubectl("get", "pvc", "--namespace", DATA, asked).split().count("2Gi") == 3
    assert identities() == before
    kept.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert_data_is_there()


def test_destroy_is_refused(kept: Project) -> None:
    said = kept.pulumi("destroy", "--yes", code=None)
    assert "cannot be deleted" in said
    assert_data_is_there()


@pytest.mark.parametrize("edit", ["remove redis", "remove kafka"])
def test_an_edit_without_a_preview_keeps_the_data(kept: Project, edit: str) -> None:
    kept.pulumi("config", "set", "edit", edit)
    assert "protected" in kept.pulumi("up", "--yes", "--skip-preview", code=None)
    kept.pulumi("config", "rm", "edit")
    kept.pulumi("up", "--yes", "--skip-preview")
    assert_data_is_there()


def test_destroy_without_a_preview_keeps_the_data(kept: Project) -> None:
    assert "protected" in kept.pulumi("destroy", "--yes", "--skip-preview", code=None)
    kept.pulumi("up", "--yes", "--skip-preview", "--refresh")
    assert_data_is_there()


def test_the_cluster_refuses_to_delete_the_namespace(kept: Project) -> None:
    assert "docs/data.md" in kubectl("delete", "namespace", DATA, code=1)
    assert_data_is_there()


def test_what_is_meant_is_done(kept: Project) -> None:
    kept.pulumi("config", "set", "protect", "false")
    kept.pulumi("up", "--yes", "--skip-preview")
    kept.pulumi("destroy", "--yes", "--skip-preview")
    assert "not found" in kubectl("get", "namespace", DATA, code=1)
