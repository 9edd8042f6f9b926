"""What is declared as a graph, and the graph as Mermaid and SVG."""

from __future__ import annotations

import itertools
import json
import pathlib
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from agentstack.commands import cli
from agentstack.compare.changes import compare
from agentstack.drawing.difference import Difference, condense, difference, owner, published, unchanged
from agentstack.drawing.layout import HEIGHT, cut, layout, text_width
from agentstack.drawing.mermaid import MOST_CHARACTERS, MOST_EDGES, mermaid, section
from agentstack.drawing.svg import MOST_NODES, svg
from agentstack.graph.declared import declared
from agentstack.graph.model import NODE_KINDS, Graph
from agentstack.output.document import Fenced, Lines, Section
from agentstack.rendering.environment import Environment
from components.agent.topology import AGENT
from components.kafka.topology import TOPIC
from components.parts import PARTS
from components.topology import CALLS, EXTERNAL, PRODUCES, USES, Edge, Node
from settings import AgentSettings, Settings
from settings.errors import SettingsError

from .graphs import HOSTILE, deployment, revision, stack, thing

ROOT = pathlib.Path(__file__).parents[2]
EVERYTHING = ROOT / "tests" / "manifests" / "everything.yaml"
SVG = "{http://www.w3.org/2000/svg}"


def settings_of(name: str, file: pathlib.Path | None = None) -> Settings:
    return Environment.find(ROOT, name, file=file).settings()


def graph_of(name: str, file: pathlib.Path | None = None) -> Graph:
    return declared(settings_of(name, file))


# --- what is declared ---


def test_prod_is_drawn_as_its_files_declare_it() -> None:
    graph = graph_of("prod")
    assert {node.id: node.detail for node in graph.nodes if node.kind is AGENT} == {
        "agent/executor": "3 to 20 pods",
        "agent/ingestion": "2 to 10 pods",
        "agent/learner": "1 pod",
        "agent/orchestrator": "3 to 20 pods",
        "agent/state-manager": "2 to 6 pods",
    }
    found = {edge.key for edge in graph.edges if "agent/orchestrator" in (edge.source, edge.target)}
    assert found == {
        ("agent/orchestrator", "topic/tasks", "produces"),
        ("agent/orchestrator", "topic/events", "produces"),
        ("agent/orchestrator", "topic/dead-letters", "produces"),
        ("topic/events", "agent/orchestrator", "consumes"),
        ("topic/results", "agent/orchestrator", "consumes"),
        ("agent/orchestrator", "redis", "uses"),
        ("prometheus", "agent/orchestrator", "scrapes"),
    }
    details = {node.id: node.detail for node in graph.nodes}
    assert details["kafka"] == "3 brokers, 3 controllers"
    assert details["topic/state-changes"] == "12 partitions, event log"
    assert details["gateway"] == "Ingress traefik, TLS"
    ids = set(details)
    assert all({edge.source, edge.target} <= ids for edge in graph.edges)


def test_what_only_some_environments_have() -> None:
    graph = graph_of("everything", EVERYTHING)
    edges = {edge.key: edge.label for edge in graph.edges}
    assert edges["agent/executor", "external/search.example.com:8443", "egress"] == ""
    assert ("agent/executor", "external/203.0.113.0/24:5432", "egress") in edges
    assert edges["agent/executor", "model-server", "inference"] == "Qwen/Qwen3-8B"
    assert edges["agent/ingestion", "model/azure/acme.openai.azure.com", "inference"] == "gpt"
    # An ONNX model runs in the agent's own process.
    assert not any(key[0] == "agent/state-manager" and key[2] == "inference" for key in edges)
    assert next(node.detail for node in graph.nodes if node.id == "model-server") == "1 pod, 2 GPUs each"


_IMAGE = "ghcr.io/acme/a:1.0.0"
EACH_KIND = Settings(
    agents={
        "cameras": AgentSettings.model_validate(
            {"kind": "fleet", "image": _IMAGE, "fleet": {"range": {"last": 249}}, "team": "vision"}
        ),
        "index": AgentSettings.model_validate({"kind": "job", "image": _IMAGE, "job": {"completions": 4}}),
        "report": AgentSettings.model_validate({"kind": "cron", "image": _IMAGE, "cron": {"schedule": "0 3 * * *"}}),
        "writer": AgentSettings.model_validate(
            {
                "image": _IMAGE,
                "replicas": 4,
                "rollout": "canary",
                "release": {"version": "1.1.0", "share": 25},
                "uses": ["kafka"],
            }
        ),
    }
)


def test_agents_of_each_kind_say_how_many_there_are() -> None:
    graph = declared(EACH_KIND)
    assert [
        (node.kind.name, node.label, node.detail, node.team) for node in graph.nodes if node.id.startswith("agent/")
    ] == [
        ("fleet", "cameras", "250 devices", "vision"),
        ("job", "index", "runs once, 1 pod", ""),
        ("job", "report", "at 0 3 * * *", ""),
        ("agent", "writer", "4 pods, 1.1.0 at 25 %", ""),
    ]
    assert Edge("agent/writer", "kafka", USES) in graph.edges
    # Without a public agent nobody comes in.
    assert not {"client", "gateway"} & {node.id for node in graph.nodes}


def test_external_parts_are_outside_of_every_namespace() -> None:
    settings = Settings.model_validate(
        {
            "redis": {
                "mode": "external",
                "external": {"host": "redis.example.com", "urlSecret": {"name": "redis", "key": "url"}},
            },
            "kafka": {"mode": "external", "external": {"brokers": ["kafka.example.com:9092"]}},
            "agents": {"a": AgentSettings(image="x/y:1", uses=("redis",), consumes=("tasks",))},
        },
        by_name=False,
    )
    nodes = {node.id: node for node in declared(settings).nodes}
    assert (nodes["redis"].detail, nodes["redis"].group) == ("external, redis.example.com:6379", "")
    assert (nodes["kafka"].detail, nodes["kafka"].group) == ("external, kafka.example.com:9092", "")
    assert nodes["topic/tasks"].detail == ""


def test_a_part_declares_all_its_kinds_and_nodes_and_no_others() -> None:
    stacks = [EACH_KIND, settings_of("everything", EVERYTHING), *map(settings_of, ("dev", "staging", "prod"))]
    for part in PARTS:
        items = [item for settings in stacks for item in part.topology(settings)]
        nodes = [item for item in items if isinstance(item, Node)]
        assert {node.kind for node in nodes} - {EXTERNAL} == set(part.node_kinds), part.name
        behind = {part.node, *part.node_of_program.values()} - {""}
        assert behind <= {node.id for node in nodes}, part.name
    for graph in map(declared, stacks):
        ids = {node.id for node in graph.nodes}
        assert all({edge.source, edge.target} <= ids for edge in graph.edges)
    names = [kind.name for part in PARTS for kind in part.node_kinds]
    assert sorted([*names, EXTERNAL.name]) == sorted(NODE_KINDS)


def test_a_graph_survives_json_and_another_version() -> None:
    graph = graph_of("prod")
    content = json.loads(json.dumps(graph.as_json()))
    assert Graph.from_json(content) == graph
    content["nodes"][0]["colour"] = "a field of a later version"
    content["nodes"].append({"id": "x", "kind": "a kind of a later version", "label": "x"})
    content["edges"].append({"source": "redis", "target": "x", "kind": "uses"})
    assert Graph.from_json(content) == graph
    for unreadable in (None, {}, {"nodes": 1, "edges": []}, {"nodes": [{"kind": "agent"}], "edges": []}):
        assert Graph.from_json(unreadable) is None


# --- differences ---


def test_a_node_has_changed_where_it_or_one_of_its_objects_has() -> None:
    old = stack(4)
    new = Graph(
        tuple(
            replace(node, detail="3 to 20 pods") if node.id == "agent/a0" else node
            for node in (*old.nodes, Node("topic/new", TOPIC, "new"))
            if node.id != "topic/t1"
        ),
        (*(edge for edge in old.edges if "topic/t1" not in edge.key), Edge("agent/a2", "topic/new", PRODUCES)),
    )
    before = revision(old, [deployment("a0"), deployment("a1")])
    after = revision(new, [deployment("a0"), deployment("a1", "ghcr.io/acme/agent:1.1.0")])
    found = difference(before, after, compare(before, after))
    assert {name: state for name, state in found.nodes.items() if state != "same"} == {
        "agent/a0": "changed",
        "agent/a1": "changed",
        "topic/new": "added",
        "topic/t1": "removed",
    }
    assert found.edges["agent/a2", "topic/new", "produces"] == "added"
    assert {key for key, state in found.edges.items() if state == "removed"} == {
        edge.key for edge in old.edges if "topic/t1" in edge.key
    }


def test_of_a_revision_without_a_graph_only_changed_objects_are_known() -> None:
    before, after = revision(None, [deployment("a1")]), revision(stack(2), [deployment("a1", "a:2")])
    found = difference(before, after, compare(before, after))
    assert {name for name, state in found.nodes.items() if state != "same"} == {"agent/a1"}
    assert set(found.edges.values()) == {"same"}


def test_of_a_new_environment_everything_is_added() -> None:
    after = revision(stack(2), [deployment("a1")])
    before = revision(None, [])
    found = difference(before, after, compare(before, after))
    assert set(found.nodes.values()) == set(found.edges.values()) == {"added"}


def test_a_difference_in_json_names_what_is_not_the_same() -> None:
    found = difference(revision(stack(2)), revision(stack(3)))
    assert json.loads(published(found).text()) == {
        "nodes": {"added": ["agent/a2"], "changed": [], "removed": []},
        "edges": {
            "added": [
                {"source": "topic/t0", "target": "agent/a2", "kind": "consumes"},
                {"source": "agent/a2", "target": "topic/t1", "kind": "produces"},
                {"source": "agent/a2", "target": "model/openai/api.openai.com", "kind": "inference"},
            ],
            "changed": [],
            "removed": [],
        },
    }


def test_objects_belong_to_what_they_are_for() -> None:
    ids = {"agent/a1", "redis", "kafka", "prometheus", "exporters"}
    monitor = thing("Service", "node-exporter")
    for known, expected in (
        (deployment("a1"), "agent/a1"),
        (replace(thing("Secret", "a1.redis"), within=(("agentstack:data:RedisCluster", "redis"),)), "agent/a1"),
        (replace(thing("StatefulSet", "redis"), within=(("agentstack:data:RedisCluster", "redis"),)), "redis"),
        (replace(thing("Job", "try"), within=(("agentstack:data:Preflight", "kafka"),)), "kafka"),
        (replace(monitor, within=(("agentstack:observability:Observability", "observability"),)), "exporters"),
        (thing("ResourceQuota", "quota"), "stack"),
        (deployment("gone"), "stack"),
    ):
        assert owner(known, ids) == expected, known.title


# --- too large to draw ---


@pytest.mark.parametrize("teams", [0, 3])
def test_a_thousand_agents_are_drawn_as_groups_that_name_all(teams: int) -> None:
    graph = stack(1000, teams)
    shown = condense(unchanged(graph), MOST_NODES)
    assert len(shown.graph.nodes) <= MOST_NODES
    members = [member for node in shown.graph.nodes for member in node.members or (node.id,)]
    assert sorted(members) == sorted(node.id for node in graph.nodes)
    assert len({node.team for node in shown.graph.nodes if node.kind is AGENT}) == max(1, teams)
    text = svg(unchanged(graph), "large")
    assert f"{len(graph.nodes):,} parts are drawn as {len(shown.graph.nodes)}" in text


def test_a_group_holds_only_what_fares_alike() -> None:
    before = stack(1000)
    after = revision(before, [deployment("a7", "a:2")])
    old = revision(before, [deployment("a7")])
    shown = condense(difference(old, after, compare(old, after)), MOST_NODES)
    changed = [node for node in shown.graph.nodes if shown.nodes[node.id] == "changed"]
    assert [node.members or node.id for node in changed] == ["agent/a7"]


# --- Mermaid ---

_ID = r"n_\w+"
_WORDS = r'"(?:[^"\\`\[\]{}<>|;]|<br/>|#\d+;)*"'
_OPEN, _CLOSE = r"(?:\(\[|\{\{|\[\[|\[/|\[\(|\[|>)", r"(?:\]\)|\}\}|\]\]|/\]|\)\]|\])"
_LINES = re.compile(
    rf"flowchart LR|  subgraph g\d+\[{_WORDS}\]|  end| +{_ID}{_OPEN}{_WORDS}{_CLOSE}|"
    rf'  {_ID} (?:-->|-\.->)(?:\|"#\d+;"\|)? {_ID}|  classDef \w+ [\w:#, -]+|  class {_ID}(?:,{_ID})* \w+|'
    r"  linkStyle \d+(?:,\d+)* [\w:#, -]+"
)


def assert_valid(text: str) -> None:
    """Check the subset of Mermaid that is written; Mermaid itself has read each of its forms."""
    for line in text.splitlines():
        assert _LINES.fullmatch(line), line
    edges = re.findall(rf"^  {_ID} -", text, re.MULTILINE)
    for indexes in re.findall(r"linkStyle ([\d,]+)", text):
        assert all(int(index) < len(edges) for index in indexes.split(","))
    assert len(edges) <= MOST_EDGES
    assert len(text) <= MOST_CHARACTERS


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_mermaid_of_each_environment_is_valid(name: str) -> None:
    graph = graph_of(name)
    text = mermaid(unchanged(graph))
    assert_valid(text)
    assert len(re.findall(rf"^  {_ID} -", text, re.MULTILINE)) == len(graph.drawn().edges)
    assert text == mermaid(unchanged(graph_of(name)))


def test_hostile_labels_are_only_text() -> None:
    nodes = tuple(
        Node(f"agent/{label}", AGENT, label, label, label)
        for label in (HOSTILE, "1. list", "- dash", "* star", "_em_", "a\nb", "%%{init: {}}%%", "www.x.org", "$$x$$")
    )
    found = Difference(
        Graph(nodes, (Edge(nodes[0].id, nodes[1].id, CALLS),)),
        {node.id: "added" for node in nodes},
        {(nodes[0].id, nodes[1].id, "calls"): "removed"},
    )
    text = mermaid(found)
    assert_valid(text)
    assert "<script" not in text
    assert not re.search(r'"(?:[-*+]|\d+\.)|www\.|\$\$', text)


def comment(before: Graph, after: Graph, *images: tuple[str, str]) -> Section | None:
    old = revision(before, [deployment(name) for name, _ in images], name="1a2b3c4")
    new = revision(after, [deployment(name, image) for name, image in images])
    return section(old, new, compare(old, new))


def test_a_section_shows_what_changes_with_its_neighbours() -> None:
    found = comment(stack(30), stack(30), ("a7", "a:2"))
    assert found is not None
    assert found.title == "Picture: 1 changed"
    picture, legend = found.blocks
    assert isinstance(picture, Fenced)
    assert picture.language == "mermaid"
    assert_valid(picture.text)
    shown = set(re.findall(rf"^ +({_ID})[^ ]*\"", picture.text, re.MULTILINE))
    assert shown == {"n_agent_a7", "n_topic_t7", "n_topic_t5", "n_model_openai_api_openai_com"}
    assert "a7<br/>2 to 10 pods<br/>(changed)" in picture.text
    assert isinstance(legend, Lines)
    assert "4 of 50 parts" in str(legend.items[1])


def test_without_a_change_there_is_no_picture() -> None:
    assert comment(stack(3), stack(3)) is None


@pytest.mark.parametrize("agents", [60, 1000])
def test_a_section_stays_within_its_room(agents: int) -> None:
    for before, after in ((stack(2), stack(agents)), (stack(agents), stack(2)), (Graph(), stack(agents))):
        found = comment(before, after)
        assert found is not None
        picture = found.blocks[0]
        assert isinstance(picture, Fenced)
        assert_valid(picture.text)
        assert len(picture.text) <= 15_000
        assert "classDef" in picture.text


# --- SVG ---


@pytest.mark.parametrize("agents", [3, 12, 60])
def test_nothing_overlaps(agents: int) -> None:
    graph = stack(agents, teams=3)
    placed = layout(graph)
    boxes = [box for part in placed.sections for box in part.boxes]
    assert {box.node.id for box in boxes} == {node.id for node in graph.nodes}
    for one, other in itertools.combinations(boxes, 2):
        apart = one.x + one.width < other.x or other.x + other.width < one.x or abs(one.y - other.y) > HEIGHT
        assert apart, (one, other)
    for box in boxes:
        assert 0 < box.x < box.x + box.width < placed.width
        assert 0 < box.y < box.y + HEIGHT < placed.height
    frames = sorted((part.column, part.y, part.y + part.height) for part in placed.sections)
    for (column, _, bottom), (next_column, top, _) in itertools.pairwise(frames):
        assert column != next_column or bottom < top
    assert set(placed.paths) == {edge.key for edge in graph.edges}


def test_svg_is_well_formed_self_contained_and_the_same_each_time() -> None:
    text = svg(unchanged(graph_of("prod")), "Agent Stack · prod")
    assert text == svg(unchanged(graph_of("prod")), "Agent Stack · prod")
    root = ElementTree.fromstring(text)
    assert root.findtext(f"{SVG}title") == "Agent Stack · prod"
    assert "parts and" in (root.findtext(f"{SVG}desc") or "")
    labels = {item.text for item in root.iter(f"{SVG}text") if item.get("class") == "label"}
    assert labels >= {"orchestrator", "state-changes", "Redis", "Kafka", "Prometheus"}
    assert len([item for item in root.iter(f"{SVG}path") if "data-source" in item.attrib]) == 27
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"@import|url\((?!#head-)|(?:href|src)=|<(?:image|script|foreignObject|use)\b", text)
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_svg_escapes_and_marks_by_sign_and_word() -> None:
    node = Node("agent/x", AGENT, HOSTILE, "\x00\x1b[31m", "agents")
    text = svg(Difference(Graph((node,)), {node.id: "removed"}, {}), HOSTILE, links=True)
    root = ElementTree.fromstring(text)
    assert root.findtext(f"{SVG}title") == HOSTILE
    assert not list(root.iter(f"{SVG}script"))
    words = [item.text for item in root.iter(f"{SVG}text")]
    assert "\u2212" in words
    assert "removed" in words
    card = next(item for item in root.iter(f"{SVG}a"))
    assert "(removed)" in card.attrib["aria-label"]


def test_long_names_are_cut_to_their_card() -> None:
    assert cut("short", 100, 13) == "short"
    name = cut("w" * 63, 100, 13, bold=True)
    assert name.endswith("…")
    assert text_width(name, 13, bold=True) <= 100


def test_the_picture_in_the_documentation_is_current() -> None:
    file = ROOT / "docs" / "pictures" / "graph-prod.svg"
    current = svg(unchanged(graph_of("prod")), "Agent Stack · prod")
    assert file.read_text(encoding="utf-8") == current, f"run `agentstack graph prod --out {file.relative_to(ROOT)}`"


# --- the command ---


def test_the_format_follows_the_name_of_the_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = CliRunner().invoke
    result = run(cli.app, ["graph", "dev"])
    assert result.exit_code == 0
    assert result.output == mermaid(unchanged(graph_of("dev")))
    assert run(cli.app, ["graph", "dev", "--out", str(tmp_path / "dev.mmd")]).output == ""
    assert (tmp_path / "dev.mmd").read_text() == result.output
    run(cli.app, ["graph", "dev", "--out", str(tmp_path / "dev.svg")])
    assert (tmp_path / "dev.svg").read_text().startswith("<svg ")


def test_bad_input_writes_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for out, message in (
        (tmp_path / "dev.png", r"none of the endings \.mmd \(Mermaid\), \.svg \(SVG\), \.html \(a page\): choose"),
        (tmp_path / "none" / "dev.svg", "cannot be written: No such file or directory: name another file"),
    ):
        error = CliRunner().invoke(cli.app, ["graph", "dev", "--out", str(out)]).exception
        assert isinstance(error, SettingsError)
        assert re.search(message, str(error))
    assert not list(tmp_path.iterdir())
