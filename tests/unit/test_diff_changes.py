"""Comparing objects: exact, by names, and without secrets."""

from __future__ import annotations

import copy
import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentstack.compare.changes import compare
from agentstack.compare.fields import _Comparison, fields
from agentstack.compare.model import ABSENT, SECRET
from agentstack.compare.redaction import shown
from agentstack.compare.snapshot import Object, Snapshot


def snapshot(*objects: Object) -> Snapshot:
    return Snapshot("test", "a revision", {known.key: known for known in objects})


def manifest(kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "space"}, **content}


def workload(*containers: dict[str, Any], **pod: Any) -> dict[str, Any]:
    return manifest("Deployment", "api", spec={"template": {"spec": {"containers": list(containers), **pod}}})


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any, str]]:
    found = list(fields(before, after))
    assert len({field.path for field in found}) == len(found), "one path twice"
    return {field.path: (field.before, field.after, field.kind) for field in found}


POD = "spec.template.spec"


def test_lists_are_matched_by_the_keys_of_their_items() -> None:
    before = workload(
        {"name": "proxy", "image": "proxy:1"},
        {"name": "api", "image": "api:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        volumes=[{"name": "tmp", "emptyDir": {}}],
    )
    after = workload(
        {"name": "init", "image": "init:1"},
        {"name": "proxy", "image": "proxy:1"},
        {"name": "api", "image": "api:2", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "1"}]},
        volumes=[{"name": "tmp", "emptyDir": {"medium": "Memory"}}],
    )
    assert differences(before, after) == {
        f"{POD}.containers[init]": (ABSENT, {"name": "init", "image": "init:1"}, "value"),
        f"{POD}.containers[api].image": ("api:1", "api:2", "value"),
        f"{POD}.containers[api].env[A]": ({"name": "A", "value": "1"}, ABSENT, "value"),
        f"{POD}.containers[api].env[B].value": ("2", "3", "value"),
        f"{POD}.containers[api].env[C]": (ABSENT, {"name": "C", "value": "1"}, "value"),
        f"{POD}.volumes[tmp].emptyDir.medium": (ABSENT, "Memory", "value"),
    }


@pytest.mark.parametrize(
    ("name", "one", "label"),
    [
        ("ports", {"containerPort": 80, "name": "http"}, "80"),
        ("ports", {"port": 53, "protocol": "UDP"}, "53/UDP"),
        ("volumeMounts", {"name": "data", "mountPath": "/data"}, "/data"),
        ("hostAliases", {"ip": "127.0.0.1", "hostnames": ["a"]}, "127.0.0.1"),
        ("topologySpreadConstraints", {"topologyKey": "zone", "maxSkew": 1}, "zone"),
        ("tolerations", {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}, "gpu/Exists/NoSchedule"),
        ("webhooks", {"name": "w.example.com", "failurePolicy": "Fail"}, "w.example.com"),
        ("rules", {"verbs": ["get", "list"], "resources": ["pods"]}, "pods get list"),
        ("rules", {"host": "a.example.com", "http": {}}, "a.example.com"),
        ("metrics", {"type": "Resource", "resource": {"name": "cpu", "target": {}}}, "Resource/cpu"),
        ("limits", {"type": "Container", "max": {"cpu": "1"}}, "Container"),
        ("volumeClaimTemplates", {"metadata": {"name": "data"}, "spec": {}}, "data"),
        ("envFrom", {"configMapRef": {"name": "settings"}}, "settings"),
        ("from", {"podSelector": {"matchLabels": {"app": "a", "app.kubernetes.io/part-of": "x"}}}, "a"),
    ],
)
def test_a_new_item_is_called_by_its_name(name: str, one: dict[str, Any], label: str) -> None:
    before, after = manifest("X", "x", spec={name: []}), manifest("X", "x", spec={name: [one]})
    assert differences(before, after) == {f"spec.{name}[{label}]": (ABSENT, one, "value")}
    assert differences(after, before) == {f"spec.{name}[{label}]": (one, ABSENT, "value")}


def test_an_item_without_a_key_that_changes_is_called_by_what_stays() -> None:
    def policy(*ports: int) -> dict[str, Any]:
        peers = [{"podSelector": {"matchLabels": {"app": "kafka", "role": "broker"}}}]
        rules = [{"to": peers, "ports": [{"port": port} for port in ports]}, {"ports": [{"port": 53}]}]
        return manifest("NetworkPolicy", "x", spec={"egress": rules})

    assert differences(policy(9092), policy(9092, 9093)) == {
        "spec.egress[9092 kafka broker].ports[9093]": (ABSENT, {"port": 9093}, "value")
    }


def test_items_that_would_be_called_alike_are_told_apart_by_their_content() -> None:
    def policy(*ends: str) -> dict[str, Any]:
        return manifest("X", "x", spec={"blocks": [{"cidr": "a" * 70 + end} for end in ends]})

    both, last = (set(differences(policy(), policy(*ends))) for ends in (("1", "2"), ("2",)))
    assert last <= both
    assert len(both) == 2


def test_another_order_is_a_change_of_its_own() -> None:
    one, other = {"name": "one", "image": "x"}, {"name": "other", "image": "y"}
    assert differences(workload(one, other), workload(other, one)) == {
        f"{POD}.containers (order)": (["one", "other"], ["other", "one"], "order")
    }


def test_keys_with_other_characters_are_quoted() -> None:
    before = manifest("X", "x", data={"a.conf": "1", "plain": "1"})
    after = manifest("X", "x", data={"a.conf": "2", 'a"]\nb': "1"})
    assert set(differences(before, after)) == {'data["a.conf"]', "data.plain", 'data["a\\"]\\nb"]'}


@pytest.mark.parametrize(
    ("path", "one", "other", "same"),
    [
        (("requests", "cpu"), "1000m", "1", True),
        (("requests", "cpu"), "1", 1, True),
        (("limits", "memory"), "1Gi", "1024Mi", True),
        (("limits", "memory"), "1Gi", "1G", False),
        (("hard", "requests.storage"), "1Ti", "1024Gi", True),
        (("emptyDir", "sizeLimit"), "1Gi", "1024Mi", True),
        (("data", "cpu"), "1000m", "1", False),
        (("requests", "cpu"), "much", "1", False),
        (("spec", "refreshInterval"), "1h", "60m", True),
        (("spec", "refreshInterval"), "1h", "61m", False),
        (("timeouts", "request"), "1m0s", "60s", True),
        (("spec", "other"), "1h", "60m", False),
        (("spec", "flag"), True, 1, False),
        (("spec", "flag"), "true", True, False),
        (("spec", "count"), "1", 1, False),
    ],
)
def test_what_means_the_same_is_no_change(path: tuple[str, str], one: Any, other: Any, same: bool) -> None:
    before, after = (manifest("X", "x", spec={path[0]: {path[1]: value}}) for value in (one, other))
    assert (differences(before, after) == {}) is same


def test_null_is_absent_and_empty_is_not() -> None:
    assert differences(manifest("X", "x", spec=None), manifest("X", "x")) == {}
    assert differences(manifest("X", "x", spec={}), manifest("X", "x")) == {"spec": ({}, ABSENT, "value")}


SECRETS = ["hunter2", "swordfish"]


@pytest.mark.parametrize(
    "content",
    [
        lambda secret: manifest("Secret", "x", data={"any": secret}),
        lambda secret: manifest("Secret", "x", stringData={"any": secret}),
        lambda secret: workload({"name": "a", "env": [{"name": "DB_PASSWORD", "value": secret}]}),
        lambda secret: workload({"name": "a", "env": [{"name": "URL", "value": f"redis://user:{secret}@host"}]}),
        lambda secret: workload({"name": "a", "args": ["--password", secret]}),
        lambda secret: workload({"name": "a", "args": [f"--password={secret}"]}),
        lambda secret: manifest("ConfigMap", "x", data={"API_KEY": secret}),
        lambda secret: manifest("ConfigMap", "x", data={"a.conf": f"user=x\nurl=redis://u:{secret}@host\n"}),
        lambda secret: manifest(
            "ConfigMap", "x", data={"key.pem": f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"}
        ),
        lambda secret: manifest("Any", "x", spec={"list": [{"value": f"redis://u:{secret}@host"}, {"value": "b"}]}),
    ],
)
def test_secrets_are_never_shown(content: Any) -> None:
    old, new = (content(secret) for secret in SECRETS)
    found = list(fields(old, new))
    assert found, "that a secret changes is to be seen"
    everything = repr([*found, shown(old), *fields({}, old), *fields(old, {"kind": old["kind"]})])
    assert SECRET in everything
    assert not any(secret in everything for secret in SECRETS)


def test_files_hashes_and_references_are_told_apart() -> None:
    sums = "1b4041b091", "473835876d"
    annotations = [{"agentstack.dev/config-hash": value, "example.com/hash-by": f"${value[0]}"} for value in sums]
    before, after = (
        {**manifest("X", "x", data={"a.sh": text}), "spec": {"annotations": each}}
        for text, each in zip(("a\nb\n", "a\nc\n"), annotations, strict=True)
    )
    found = differences(before, after)
    assert found['data["a.sh"]'] == ("a\nb\n", "a\nc\n", "text")
    assert found['spec.annotations["agentstack.dev/config-hash"]'] == (*sums, "hash")
    assert found['spec.annotations["example.com/hash-by"]'] == ("$1", "$4", "value")
    # A name that only says where a secret is.
    path = {"name": "PASSWORD_FILE", "value": "/etc/a"}
    moved = {**path, "value": "/etc/b"}
    [field] = fields(workload({"name": "a", "env": [path]}), workload({"name": "a", "env": [moved]}))
    assert field.after == "/etc/b"


# --- objects ---


def known(kind: str, name: str, *within: str, **options: Any) -> Object:
    spec = options.pop("spec", {"a": 1})
    components = (("agentstack:platform:Platform", "platform"), *(("agentstack:agents:Agent", one) for one in within))
    return Object(manifest(kind, name, spec=spec), within=components, **options)


def test_added_removed_and_changed() -> None:
    before = snapshot(known("A", "stays"), known("A", "goes"), known("A", "changes"))
    after = snapshot(known("A", "stays"), known("B", "comes"), known("A", "changes", spec={"a": 2}))
    found = {(change.action, change.object.title) for change in compare(before, after)}
    assert found == {("removed", "A/space/goes"), ("added", "B/space/comes"), ("changed", "A/space/changes")}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"urn": "urn:pulumi:dev::p::k:A::one"}, {"urn": "urn:pulumi:dev::p::k:A::one"}),
        ({"urn": "urn:pulumi:dev::p::k:A::one"}, {"aliases": ("urn:pulumi:dev::p::k:A::one",)}),
        ({"urn": "urn:pulumi:dev::p::k:A::one"}, {"aliases": ("", "one")}),
    ],
)
def test_an_object_that_the_engine_knows_as_the_same_is_renamed(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = snapshot(known("A", "one", **old)), snapshot(known("A", "other", spec={"b": 5}, **new))
    [change] = compare(before, after)
    assert (change.action, change.before and change.before.key[2], change.object.key[2]) == ("renamed", "one", "other")


def test_an_object_with_a_hash_in_its_name_is_recreated() -> None:
    before = snapshot(known("Job", "topics-1b4041b091"))
    after = snapshot(known("Job", "topics-473835876d", spec={"a": 2}))
    [change] = compare(before, after)
    assert change.action == "renamed"
    assert [field.kind for field in change.fields] == ["hash", "value"]


def agent(name: str, image: str = "x:1") -> list[Object]:
    labels = {"app": name, "part": "x"}
    containers = [{"name": name, "image": image, "env": [{"name": "A", "value": "1"}], "command": ["a", "b", "c"]}]
    pod = {"spec": {"containers": containers, "serviceAccountName": name, "securityContext": {"runAsUser": 1}}}
    spec = {"selector": labels, "template": {**pod, "metadata": {"labels": labels}}}
    return [known("Deployment", name, name, spec=spec), known("ServiceAccount", name, name, spec={})]


def test_an_agent_with_another_name_is_renamed_with_all_that_belongs_to_it() -> None:
    changes = compare(snapshot(*agent("learner")), snapshot(*agent("tutor")))
    assert [change.action for change in changes] == ["renamed", "renamed"]
    assert {field.kind for change in changes for field in change.fields} == {"name"}


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("password: hunter2 and more", "password: (secret)"),
        ('  "password": "hunter2",', '  "password": (secret)'),
        ("requirepass hunter2", "requirepass (secret)"),
        ("rm -rf /data; password=hunter2; true", "rm -rf /data; password=(secret); true"),
        ("curl https://h/?token=hunter2&b=1", "curl https://h/?token=(secret)&b=1"),
        ("redis://:hunter2@h/0", "redis://:(secret)@h/0"),
        ("password: $(PASSWORD)", "password: $(PASSWORD)"),
        ("secretName: tokens", "secretName: tokens"),
    ],
)
def test_a_line_of_a_file_hides_its_secret_and_nothing_else(line: str, seen: str) -> None:
    before, after = (manifest("ConfigMap", "x", data={"a.conf": f"{one}\nb\n"}) for one in ("a", line))
    [field] = fields(before, after)
    assert field.after == f"{seen}\nb\n"


def test_another_image_is_seen_even_where_it_follows_the_name() -> None:
    changes = compare(snapshot(*agent("learner", "acme/learner:1")), snapshot(*agent("tutor", "acme/tutor:1")))
    images = [field for change in changes for field in change.fields if field.path.endswith(".image")]
    assert [(field.kind, field.after) for field in images] == [("value", "acme/tutor:1")]


def test_another_agent_is_not_the_one_that_goes() -> None:
    other = [
        dataclasses.replace(one, manifest={**one.manifest, "spec": {"entirely": {"different": [1, 2, 3]}}})
        for one in agent("planner")
    ]
    assert {change.action for change in compare(snapshot(*agent("learner")), snapshot(*other))} == {"added", "removed"}


def test_what_holds_next_to_nothing_is_not_taken_for_another() -> None:
    changes = compare(snapshot(known("ServiceAccount", "a")), snapshot(known("ServiceAccount", "b")))
    assert {change.action for change in changes} == {"removed", "added"}


# --- properties ---

WORDS = st.sampled_from(["a", "b", "c", "api", "x/y", "1", "1000m", "1h", "60m", "two\nlines", "s p", 'q"]'])
SCALARS = st.one_of(WORDS, st.integers(-2, 2), st.booleans(), st.none())
KEYS = st.sampled_from(["name", "env", "ports", "port", "rules", "limits", "type", "cpu", "hash", "a.b/c", "key", "x"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)
CONTENTS = st.dictionaries(KEYS, VALUES, max_size=4).map(lambda content: manifest("Any", "x", spec=content))


def rebuilt(comparison: _Comparison, keys: tuple[str, ...], path: str, pair: tuple[Any, Any], left: Any) -> Any:
    """Apply changes to the first of a pair; the second one only tells which items belong together."""
    before, after = pair
    if path in left:
        return left.pop(path).after
    if not any(name.startswith(path) for name in left):
        return before
    if isinstance(before, dict):
        built = {}
        for key in {**before, **after}:
            step = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'["{key}"]'
            inner = f"{path}.{step}" if path and step == key else f"{path}{step}"
            sides = (before.get(key, ABSENT), after.get(key, ABSENT))
            built[key] = rebuilt(comparison, (*keys, key), inner, sides, left)
        return {key: value for key, value in built.items() if value is not ABSENT}
    built_items = []
    for label, old, new in comparison.items(keys, before, after):
        inner = rebuilt(comparison, keys, f"{path}[{label}]".replace("\n", "\\n"), (old, new), left)
        built_items.append((old, new, inner))
    left.pop(f"{path} (order)", None)
    return Unordered(inner for _, _, inner in built_items if inner is not ABSENT)


class Unordered(list[Any]):
    """Items whose order is not that of a list."""


def canonical(value: Any) -> Any:
    """What is compared: null is absent, and the order of lists of mappings is told apart."""
    if isinstance(value, dict):
        return ("map", tuple(sorted((key, canonical(item)) for key, item in value.items() if item is not None)))
    if isinstance(value, list):
        items = [canonical(item) for item in value]
        if isinstance(value, Unordered) or (value and all(isinstance(item, dict) for item in value)):
            return ("list", tuple(sorted(items, key=repr)))
        return ("list", tuple(items))
    if isinstance(value, str):
        return {"1000m": "1", "60m": "1h"}.get(value, value)
    return (type(value).__name__, value)


@given(CONTENTS)
def test_a_manifest_does_not_differ_from_itself(content: dict[str, Any]) -> None:
    assert list(fields(content, copy.deepcopy(content))) == []


@given(CONTENTS, CONTENTS)
def test_the_changes_lead_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = list(fields(before, after))
    left = {field.path: field for field in found}
    assert len(left) == len(found)
    result = rebuilt(_Comparison("Any"), (), "", (before, after), left)
    assert canonical(result) == canonical(after)
    assert left == {}


@given(st.lists(st.dictionaries(KEYS, SCALARS, min_size=1, max_size=3), min_size=2, max_size=5), st.randoms())
def test_no_path_has_the_position_of_an_item(items: list[dict[str, Any]], random: Any) -> None:
    """Whatever comes before an item, its path is the same."""
    target = {"name": "target", "value": "old"}
    others = [item for item in items if item.get("name") != "target"]

    def spec(value: str, *first: dict[str, Any]) -> dict[str, Any]:
        listed = [*first, {**target, "value": value}]
        return manifest("Any", "x", spec={"env": [*listed, {"name": "last", "value": "z"}]})

    named = [{**item, "name": f"n{number}"} for number, item in enumerate(others)]
    [alone] = [field.path for field in fields(spec("old"), spec("new"))]
    among = [field.path for field in fields(spec("old", *named), spec("new", *named))]
    assert among == [alone] == ["spec.env[target].value"]
