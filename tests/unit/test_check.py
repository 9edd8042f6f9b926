"""`agentstack check`: the rules on YAML that others wrote, whatever is in it."""

from __future__ import annotations

import io
import json
import os
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentstack.authoring.schema import schemas
from agentstack.check import objects
from agentstack.check.objects import Contents, UnreadableError, documents

Call = Callable[..., tuple[int, str, str]]

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: web
      image: web:1.0
      resources:
        requests: {cpu: 1, memory: 1Gi}
        limits: {cpu: 1, memory: 1Gi}
      readinessProbe: {tcpSocket: {port: 80}}
      livenessProbe: {httpGet: {port: 80}}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
"""


@pytest.fixture
def call(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Call:
    """Run `agentstack check` in an empty folder; return exit code, output and error output."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        return call("check", *arguments)

    return run


@pytest.fixture(autouse=True)
def _only_some_rules(tmp_path: pathlib.Path) -> None:
    """So that another rule of docs/policies.md changes nothing here."""
    errors = dict.fromkeys(("image-tag", "memory-limit", "namespace-quota"), "mandatory")
    (tmp_path / "some.json").write_text(json.dumps({"all": "disabled", "cpu-limit": "advisory"} | errors))


SOME = ("--config", "some.json")


def found(output: str) -> list[tuple[str, int, str]]:
    entries = json.loads(output)["findings"]
    return [(entry["place"]["file"], entry["place"]["line"], entry["rule"]) for entry in entries]


def test_findings_stand_at_their_fields(call: Call, tmp_path: pathlib.Path) -> None:
    text = POD.replace("web:1.0", "web:latest").replace("limits: {cpu: 1, ", "limits: {")
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "pod.yml").write_text(f"# first\n---\nplain: text\n---\n{text}")
    code, output, error = call("k8s", *SOME)
    assert (code, error) == (1, "")
    lines = output.splitlines()
    assert lines[0] == "Agent Stack · check k8s   1 object in 1 file, 4 rules"
    assert [line.split() for line in lines if "pod.yml" in line] == [
        ["k8s/pod.yml:14", "error", "image-tag"],
        ["k8s/pod.yml:17", "warning", "cpu-limit"],
    ]
    assert "found  1 error, 1 warning" in lines
    assert "note   1 document that is no Kubernetes object: passed over" in lines
    assert found(call("k8s", *SOME, "--json")[1]) == [("pod.yml", 14, "image-tag"), ("pod.yml", 17, "cpu-limit")]


def test_a_finding_on_a_container_stands_in_that_container(call: Call, tmp_path: pathlib.Path) -> None:
    # Two containers of one name, of which the message could not tell which is meant.
    second = POD[POD.index("    - name: web") :].replace("web:1.0", "web").replace("limits: {cpu: 1, ", "limits: {")
    (tmp_path / "pod.yaml").write_text(POD + second)
    found_ = found(call("pod.yaml", *SOME, "--json")[1])
    assert found_ == [("pod.yaml", 21, "image-tag"), ("pod.yaml", 24, "cpu-limit")]


def test_many_findings_are_counted_by_rule(call: Call, tmp_path: pathlib.Path) -> None:
    pods = [POD.replace("name: web\n", f"name: web-{number}\n", 1).replace("web:1.0", "web") for number in range(11)]
    (tmp_path / "pods.yaml").write_text("---\n".join([*pods, POD.replace("limits: {cpu: 1, ", "limits: {")]))
    assert "rules  image-tag 11, cpu-limit 1" in call("pods.yaml", *SOME)[1].splitlines()


def test_nothing_found(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD)
    code, output, error = call("pod.yaml", *SOME)
    assert (code, error) == (0, "")
    assert "found  nothing" in output
    assert "not part of this, so not judged: Namespace/shop" in output


def test_warnings_do_not_fail(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD.replace("limits: {cpu: 1, ", "limits: {"))
    assert call("pod.yaml", *SOME)[0] == 0


def test_a_namespace_that_is_part_of_it_is_judged(call: Call, tmp_path: pathlib.Path) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
    (tmp_path / "all.yaml").write_text(f"{POD}---\n{namespace}")
    code, output, _ = call("all.yaml", "--json")
    assert code == 1
    assert ("all.yaml", 21, "namespace-quota") in found(output)
    assert "not judged" not in output


def test_rules_that_need_all_objects_are_left_out_and_named(
    call: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentstack.judging import policy
    from policies.findings import Finding
    from policies.model import stack_rule

    @stack_rule("whole", "error", "Needs all.", subjects=lambda stack: stack.manifests, remedy="", complete=True)
    def whole(manifest: Any, stack: Any) -> Iterator[Finding]:
        yield Finding("found")

    read = policy.Policies.read
    monkeypatch.setattr(policy.Policies, "read", lambda *args, **kwargs: read(*args, **kwargs, rules=[whole]))
    (tmp_path / "pod.yaml").write_text(POD)
    code, output, _ = call("pod.yaml")
    assert code == 0
    assert "note   not applied, since they need all objects of a stack: whole" in output


def test_standard_input(call: Call, tmp_path: pathlib.Path) -> None:
    code, output, _ = call("-", "--json", *SOME, stdin=POD.replace("web:1.0", "web").encode())
    assert code == 1
    assert found(output) == [("stdin", 10, "image-tag")]


def test_lists_are_their_items(call: Call) -> None:
    pod = yaml.safe_load(POD.replace("web:1.0", "web"))
    bare = {key: value for key, value in pod.items() if key not in ("kind", "apiVersion")}
    inner = {"apiVersion": "v1", "kind": "List", "items": [pod, 3]}
    text = json.dumps(
        [
            {"apiVersion": "v1", "kind": "List", "items": [inner]},
            {"apiVersion": "v1", "kind": "PodList", "items": [bare]},
        ]
    )
    documents_ = "\n---\n".join(json.dumps(item, indent=1) for item in json.loads(text))
    code, output, _ = call("-", "--json", *SOME, stdin=documents_.encode())
    assert code == 1
    assert [rule for _, _, rule in found(output)] == ["image-tag", "image-tag"]
    assert len({line for _, line, _ in found(output)}) == 2
    assert json.loads(output)["notes"][0].startswith("1 document that is no")


def test_json_with_tabs(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod.json").write_text(json.dumps(yaml.safe_load(POD.replace("web:1.0", "web")), indent="\t"))
    assert [rule for _, _, rule in found(call("pod.json", "--json", *SOME)[1])] == ["image-tag"]


def test_what_the_cluster_made_or_set_is_not_held_against_anybody(call: Call) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": yaml.safe_load(POD)["spec"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "1"},
        "spec": {"replicas": 3, "template": template},
    }
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "shop", "uid": "2"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 9},
    }
    pod = yaml.safe_load(POD.replace("web:1.0", "web"))
    pod["metadata"] |= {"uid": "3", "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": True}]}

    def judged() -> tuple[list[str], list[str]]:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [deployment, scaler, pod]})
        content = json.loads(call("-", "--json", stdin=text.encode())[1])
        return [entry["rule"] for entry in content["findings"]], content["notes"]

    rules, notes = judged()
    assert not {"single-replicas-owner", "image-tag"} & set(rules)
    assert "1 object that others make, as a Deployment makes pods: passed over" in notes
    del deployment["metadata"]["uid"], pod["metadata"]["uid"]  # as written by a person
    rules, notes = judged()
    assert {"single-replicas-owner", "image-tag"} <= set(rules)
    assert not [note for note in notes if "others make" in note]


def test_overlays_are_pointed_out(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.yaml").write_text(POD)
    assert "there more than once: Pod/shop/web; of overlays judge the result" in " ".join(call(".", *SOME)[1].split())


def test_a_base_of_kustomize_is_pointed_out(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "kustomization.yaml").write_text("resources: [pod.yaml]\n")
    said = " ".join(call(".", *SOME)[1].split())
    assert "kustomize adds to what is here: kustomization.yaml; judge the result: `kubectl kustomize DIR" in said
    assert "kustomize" not in call("pod.yaml", *SOME)[1]


def test_configuration_and_waivers(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD.replace("web:1.0", "web"))
    entry = "rule: image-tag, resource: Pod/shop/*, reason: moved, owner: team-a, until: 9999-12-31"
    (tmp_path / "w.yml").write_text(f"- {{{entry}}}\n")
    code, output, _ = call("pod.yaml", *SOME, "--waivers", "w.yml")
    assert code == 0
    assert "waived until 9999-12-31, team-a: moved" in " ".join(output.split())
    assert "found  1 waived" in output

    (tmp_path / "w.yml").write_text(f"# none\n- {{{entry}, environments: [prod]}}\n")
    assert call("pod.yaml", *SOME, "--waivers", "w.yml")[0] == 1
    assert call("pod.yaml", *SOME, "--waivers", "w.yml", "--env", "prod")[0] == 0
    (tmp_path / "pod.yaml").write_text(POD)
    assert call("pod.yaml", *SOME, "--waivers", "w.yml", "--env", "prod")[0] == 0  # waiver-unused is in `all`
    code, output, _ = call("pod.yaml", "--json", "--waivers", "w.yml", "--env", "prod")
    assert code == 1
    assert ("w.yml", 2, "waiver-unused") in found(output)


def test_sarif_points_into_the_repository(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "repo" / "k8s").mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    (tmp_path / "repo" / "k8s" / "pod.yaml").write_text(POD.replace("web:1.0", "web"))
    assert call("repo/k8s", *SOME, "--sarif", "out/x.sarif")[0] == 1
    [result] = json.loads((tmp_path / "out" / "x.sarif").read_text())["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("k8s/pod.yaml", 10)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: is not there: name a folder or file, or `-` for standard input"),
        (["."], ".: holds no Kubernetes objects in 1 file (.yaml, .yml, .json): name the folder that does"),
        (["pod.txt", "--config", "nowhere.json"], "nowhere.json: is not a file: name one that is there"),
        (["pod.txt", "--waivers", "nowhere.yaml"], "nowhere.yaml: is not a file: name one that is there"),
        (["pod.txt", "--config", "bad.jsn"], "bad.jsn:1: unknown rule `image-tags`, did you mean `image-tag`?"),
        (["pod.txt", "--waivers", "bad.yml_"], "bad.yml_:1: must be a list: write one `- rule: ...` for each waiver"),
    ],
)
def test_bad_input_is_one_line(call: Call, tmp_path: pathlib.Path, arguments: list[str], message: str) -> None:
    (tmp_path / "pod.txt").write_text(POD)
    (tmp_path / "bad.jsn").write_text('{"image-tags": "disabled"}')
    (tmp_path / "bad.yml_").write_text("{}")
    assert call(*arguments) == (2, "", f"{message}\n")


HELM = "apiVersion: v1\nkind: Pod\n{{- if .Values.x }}\nmetadata: {}\n{{- end }}\n"
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HELM.encode(), ":3: malformed YAML: while parsing a block mapping"),
        (
            b"a: {{ .Values.x }}",
            ":1: malformed YAML: a key must be text: put `{{ ... }}` and the like in quotes: a template? Render it",
        ),
        (b"a: *b", ":1: malformed YAML: an alias for what is not there: name an anchor above it"),
        (b"a: &a {b: *a}", ":1: malformed YAML: an alias repeats the group that it is in"),
        (BOMB.encode(), ":6: malformed YAML: more than 1,000,000 values, with what aliases repeat"),
        (b"- " * 1000 + b"a", ":1: malformed YAML: more than 200 levels"),
        (b"{" * 100_000, ":1: "),
        (b"[" * 100_000, ":1: malformed YAML: more than 200 levels"),
        (b"\xff\xfe\x00", ": is not UTF-8 text: save it as UTF-8, or leave it out"),
        (b"a: \x00", ": malformed YAML: "),
        (b"a: [", ":2: malformed YAML: "),
        (b"%\x1b[31m", ""),
    ],
)
def test_what_cannot_be_read_is_one_line_and_the_rest_is_judged(
    call: Call, tmp_path: pathlib.Path, content: bytes, message: str
) -> None:
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / "a.yaml").write_bytes(content)
    (tmp_path / "k8s" / "b.yaml").write_text(POD.replace("web:1.0", "web"))
    code, output, error = call("k8s", *SOME)
    assert code == 2
    assert "k8s/b.yaml:10" in output
    [line] = error.splitlines()
    if content != HELM.encode():
        assert line.startswith(f"k8s/a.yaml{message}")
    assert line.isprintable()
    assert ("helm template" in line) == (b"{{" in content)


def test_what_stands_before_a_mistake_is_judged(call: Call) -> None:
    code, output, error = call("-", *SOME, stdin=f"{POD.replace('web:1.0', 'web')}---\na: [".encode())
    assert code == 2
    assert "stdin:10" in output
    assert error.startswith("stdin:")


def test_large_files_are_refused(call: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LARGEST_FILE", 1024**2)
    (tmp_path / "large.yaml").write_text(f"{POD}# {'x' * 1024**2}")
    code, _, error = call("large.yaml")
    assert code == 2
    assert error.splitlines()[0] == "large.yaml: is larger than 1 MiB: split it"


def test_links_out_of_the_folder_pipes_and_hidden_folders_are_left_out(call: Call, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "k8s"
    (folder / ".hidden").mkdir(parents=True)
    (folder / ".hidden" / "x.yaml").write_text("a: [")
    (tmp_path / "secret.yaml").write_text("password: [")
    (folder / "pod.yaml").write_text(POD)
    (folder / "same.yaml").symlink_to("pod.yaml")
    (folder / "out.yaml").symlink_to("../secret.yaml")
    (folder / "gone.yaml").symlink_to("nothing.yaml")
    (folder / "loop").symlink_to(".")
    (folder / "notes.txt").write_text("a: [")
    os.mkfifo(folder / "pipe.yaml")
    code, output, error = call("k8s", *SOME)
    assert code == 2
    assert error == "k8s/gone.yaml: cannot be read: No such file or directory\n"
    assert "1 object in " in output
    assert "note   k8s/out.yaml: leads out of the folder, and is left out" in output
    assert "note   k8s/pipe.yaml: is no file, and is left out" in output


def test_hostile_names_cannot_draw_on_the_terminal(call: Call, tmp_path: pathlib.Path) -> None:
    name = "\x1b[2J[red]\u202e"
    (tmp_path / "k8s").mkdir()
    (tmp_path / "k8s" / f"{name}.yaml").write_text(
        json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{}]}})
    )
    (tmp_path / "k8s" / f"{name}2.yaml").write_text("[")
    code, output, error = call("k8s", *SOME)
    assert code == 2
    assert "\\x1b[2J[red]\\u202e" in output
    assert not {char for char in output + error if not char.isprintable()} - {"\n"}


def test_it_starts_without_the_engines_sdk(tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD)
    code = (
        "import sys; sys.argv = ['agentstack', 'check', 'pod.yaml']; from agentstack.commands.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print({'pulumi', 'pulumi_kubernetes'} & set(sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_json_is_as_its_schema_says(call: Call, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pod.yaml").write_text(POD)
    content = json.loads(call("pod.yaml", "--json")[1])
    jsonschema.Draft202012Validator(schemas()["check.schema.json"] | {"additionalProperties": False}).validate(content)


# Reading


def read(text: str | bytes) -> list[Any]:
    return [value for value, _ in documents(text if isinstance(text, bytes) else text.encode())]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab\n'\"&*: é", max_size=6),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text("abc", min_size=1), children, max_size=3),
    max_leaves=10,
)


@given(st.lists(plain.filter(lambda value: value is not None), max_size=3))
def test_plain_data_survives(values: list[Any]) -> None:
    assert read(yaml.safe_dump_all(values)) == list(yaml.safe_load_all(yaml.safe_dump_all(values)))


@given(st.text("ab:-[]{}&*!|>'\"#%@,? \n\t0<.", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    contents = Contents()
    contents.read_stream(io.BytesIO(text.encode()), "x")
    assert all(mistake.startswith("x:") and mistake.isprintable() for mistake in contents.mistakes)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 1, a: 2}", {"a": 2}),
        ("{80: x, true: y, ~: z}", {"80": "x", "true": "y", "~": "z"}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: !custom x", {"a": "x"}),
        ("a: !!timestamp x", {"a": "x"}),
        ("a: !!binary x", {"a": "x"}),
        ("a: !!set {x}", {"a": {"x": None}}),
        ("a: !custom {b: 1}", {"a": {"b": 1}}),
        ("a: !!int x", {"a": "x"}),
        ("a: '1'", {"a": "1"}),
        (f"a: {'9' * 5000}", {"a": "9" * 5000}),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", {"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}}),
        ("- &x {a: 1}\n- {<<: [*x, {a: 2, c: 3}]}", [{"a": 1}, {"a": 1, "c": 3}]),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_values_are_read_as_kubernetes_reads_them(text: str, value: Any) -> None:
    assert read(text) == [value]


def test_lines_follow_aliases_and_merges() -> None:
    [(_, lines)] = documents(b"x: &x\n  a: 1\ny:\n  <<: *x\n  b:\n  - c\n  - d: 1\n")
    places = {
        ("x",): 1, ("x", "a"): 2, ("y", "a"): 2, ("y", "b", 1, "d"): 7, ("y", "b", 1, "z"): 7, ("z",): 1, (): 1,
    }  # fmt: skip
    assert {keys: lines.at(*keys).line for keys in places} == places


def test_refusals_name_the_line() -> None:
    with pytest.raises(UnreadableError) as caught:
        list(documents(b"a: 1\n---\nb: [\n"))
    assert caught.value.line == 4


def test_a_long_list_takes_no_longer_for_each_item() -> None:
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    text = json.dumps({"kind": "List", "apiVersion": "v1", "items": [item] * 20_000})
    contents = Contents()
    contents.read_stream(io.BytesIO(text.encode()), "x")
    assert len(contents.objects) == 20_000
    assert contents.objects[-1].line("metadata.name") == 1


@pytest.mark.parametrize("name", ["0x" + "f" * 5000, "1" + ":1" * 300_000, "1" + ":00" * 250 + ":0.5", "!!map foo"])
def test_what_is_no_number_is_text(call: Call, name: str) -> None:
    code, _, error = call("-", stdin=POD.replace("name: web", f"name: {name}", 1).encode())
    assert (code, error) == (0, "")


def test_a_closed_standard_input_is_one_line() -> None:
    command = f"exec {shlex.quote(sys.executable)} -m agentstack check - <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "-: standard input is closed: pipe YAML into it, or name a folder\n"
