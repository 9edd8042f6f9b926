"""Manifests: what is in the files, what is withheld from them, and what writing leaves in a folder."""

from __future__ import annotations

import base64
import os
import pathlib
import stat
from typing import Any

import pytest
import yaml

from agentstack.rendering.environment import WITHHELD
from agentstack.rendering.manifests import INDEX, Manifests, Written, to_yaml, write
from agentstack.rendering.registration import Registration, Secret
from manifests.labels import SECRET_KEYS
from settings import SettingsError


def registration(kind: str, name: str = "x", namespace: str | None = "space", **content: Any) -> Registration:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    inputs = {"kind": kind, "apiVersion": "v1", "metadata": metadata, **content}
    return Registration(f"urn:{kind}:{name}", f"kubernetes:core/v1:{kind}", name, "urn:parent", False, inputs)


def files(folder: pathlib.Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def secret(**options: Any) -> tuple[dict[str, Any], Manifests]:
    made = registration(
        "Secret",
        data=Secret({"token": base64.b64encode(f"-{WITHHELD}".encode()).decode(), "plain": "aGk="}),
        stringData={"password": Secret("open-sesame"), "url": Secret(f"x://{WITHHELD}"), "user": "admin"},
    )
    manifests = Manifests.of([made], **options)
    return manifests.items[0].object, manifests


def test_files_come_in_an_order_that_an_empty_cluster_accepts(tmp_path: pathlib.Path) -> None:
    kinds = (
        "Namespace", "CustomResourceDefinition", "ResourceQuota", "NetworkPolicy", "ServiceAccount", "Secret",
        "Service", "StatefulSet", "Job", "HorizontalPodAutoscaler", "Ingress", "Whatever",
    )  # fmt: skip
    manifests = Manifests.of(registration(kind, namespace=None) for kind in reversed(kinds))
    assert tuple(manifest.kind for manifest in manifests.items) == kinds
    write(manifests, tmp_path)
    in_kubectl_order = [yaml.safe_load((tmp_path / path).read_text())["kind"] for path in files(tmp_path)[1:]]
    assert tuple(in_kubectl_order) == kinds


def test_file_names_are_plain() -> None:
    made = [registration("ClusterRole", "system:reader", None), registration("Deployment", "api")]
    paths = [manifest.path for manifest in Manifests.of(made).items]
    assert paths == ["20-access/clusterrole.system_reader.yaml", "50-workloads/space.deployment.api.yaml"]


def test_an_object_without_a_name_gets_that_of_its_resource() -> None:
    made = Registration("urn", "kubernetes:core/v1:Namespace", "logical", "", False, {"kind": "Namespace"})
    assert Manifests.of([made]).items[0].name == "logical"


def test_two_resources_for_one_object() -> None:
    with pytest.raises(SettingsError, match="two resources describe Service x in namespace space"):
        Manifests.of([registration("Service"), registration("Service")])


def test_the_text_of_a_file(tmp_path: pathlib.Path) -> None:
    made = registration(
        "ConfigMap", data={"b": "2", "a.sh": "#!/bin/sh\nexit 0\n"}, numbers=[{"name": "n", "at": 3}, 0.5]
    )
    write(Manifests.of([made]), tmp_path)
    assert (tmp_path / "30-configuration/space.configmap.x.yaml").read_text() == (
        "apiVersion: v1\n"
        "kind: ConfigMap\n"
        "metadata:\n"
        "  name: x\n"
        "  namespace: space\n"
        "data:\n"
        "  a.sh: |\n"
        "    #!/bin/sh\n"
        "    exit 0\n"
        "  b: '2'\n"
        "numbers:\n"
        "- name: n\n"
        "  at: 3\n"
        "- 0.5\n"
    )


@pytest.mark.parametrize(
    "text", ["yes", "1e3", "0x1f", "a: b", "- a", "", " x ", "\ttab\n x", "line\n\n", "ü", "a#b", "1:2"]
)
def test_text_stays_the_same_text(text: str) -> None:
    assert yaml.safe_load(to_yaml({"key": text})) == {"key": text}


def test_secret_values_are_withheld() -> None:
    content, manifests = secret()
    assert set(content) == {"apiVersion", "kind", "metadata"}
    assert content["metadata"]["annotations"] == {SECRET_KEYS: "password,plain,token,url,user"}
    assert (manifests.items[0].withheld, manifests.items[0].secret, manifests.warnings) == (True, False, [])


def test_known_secret_values_are_filled_in_where_wanted() -> None:
    content, manifests = secret(with_secrets=True)
    assert content["data"] == {"plain": "aGk="}
    assert content["stringData"] == {"password": "open-sesame", "user": "admin"}
    assert content["metadata"]["annotations"] == {SECRET_KEYS: "token,url"}
    assert manifests.warnings == ["Secret space/x: token,url not known here: add by hand"]


def test_a_secret_elsewhere_is_replaced_and_reported() -> None:
    made = registration("ConfigMap", data={"list": [{"deep": Secret("open-sesame")}], "plain": "x"})
    manifests = Manifests.of([made], with_secrets=True)
    assert manifests.items[0].object["data"] == {"list": [{"deep": WITHHELD}], "plain": "x"}
    (warning,) = manifests.warnings
    assert "data.list.0.deep" in warning
    assert "open-sesame" not in warning


def test_only_what_differs_is_written_and_what_is_gone_removed(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "build" / "dev"
    one, two, three = (registration("Service", name) for name in ("one", "two", "three"))
    job = registration("Job", "job")
    assert write(Manifests.of([one, two, job]), folder) == Written(3, 0, 0)
    kept = folder / "40-services/space.service.one.yaml"
    os.utime(kept, (1, 1))
    changed = registration("Service", "two", spec={"a": 1})
    assert write(Manifests.of([one, changed, three]), folder) == Written(2, 1, 1)
    assert kept.stat().st_mtime == 1
    assert not (folder / "60-jobs").exists()
    assert files(folder) == [
        INDEX,
        *(f"40-services/space.service.{name}.yaml" for name in ("one", "three", "two")),
    ]


def test_files_of_others_stay(tmp_path: pathlib.Path) -> None:
    write(Manifests.of([registration("Service")]), tmp_path)
    (tmp_path / "40-services" / "mine.yaml").write_text("mine")
    assert write(Manifests.of([]), tmp_path) == Written(0, 0, 1)
    assert files(tmp_path) == [INDEX, "40-services/mine.yaml"]


def test_a_folder_that_holds_something_else_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty, and not written by this tool"):
        write(Manifests.of([registration("Service")]), tmp_path)
    assert files(tmp_path) == ["mine.txt"]
    with pytest.raises(SettingsError, match="cannot be used"):
        write(Manifests.of([registration("Service")]), tmp_path / "mine.txt")


def test_what_a_killed_run_wrote_is_removed_by_the_next(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    def killed(_: object) -> str:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("agentstack.rendering.manifests.to_yaml", killed)
        with pytest.raises(KilledError):
            write(Manifests.of([registration("Service")]), tmp_path)
    (tmp_path / "40-services").mkdir()
    (tmp_path / "40-services/space.service.x.yaml").write_text("half")
    assert write(Manifests.of([registration("Job")]), tmp_path) == Written(1, 0, 1)


def test_an_index_cannot_remove_files_elsewhere(tmp_path: pathlib.Path) -> None:
    (tmp_path / "precious").write_text("x")
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / INDEX).write_text(f"../precious\n{tmp_path}/precious\n")
    write(Manifests.of([]), folder)
    assert (tmp_path / "precious").exists()


def test_files_with_secrets_are_for_their_owner_only(tmp_path: pathlib.Path) -> None:
    _, withheld = secret()
    _, filled = secret(with_secrets=True)
    path = tmp_path / withheld.items[0].path
    write(withheld, tmp_path)
    write(filled, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert write(filled, tmp_path).written == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert write(filled, tmp_path).written == 0
