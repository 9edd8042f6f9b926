"""The page of a graph in a real browser: it opens, fetches nothing, and shows what is behind each part."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from agentstack.compare.changes import compare
from agentstack.compare.snapshot import Snapshot
from agentstack.drawing.page import page
from agentstack.graph.model import Graph
from agentstack.rendering.environment import Environment
from components.agent.topology import AGENT
from components.kafka.topology import TOPIC
from components.topology import Node

from .graphs import HOSTILE, deployment, revision, stack, thing

ROOT = pathlib.Path(__file__).parents[2]
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_DRIVER = os.environ.get("SE_CHROMEDRIVER") or os.environ.get("CHROMEDRIVER") or shutil.which("chromedriver")
_BROWSER = next((found for found in map(shutil.which, _BROWSERS) if found), None)
_OVERLAPS = """
const texts = [...document.querySelectorAll('.picture text')].map((text) => ({
  words: text.textContent,
  sign: text.closest('.sign') !== null,
  box: text.getBoundingClientRect(),
  card: text.closest('.node')?.querySelector('.card').getBoundingClientRect(),
}));
const found = [];
texts.forEach(({words, sign, box, card}, index) => {
  if (card && !sign && (box.left < card.left || box.right > card.right)) found.push(words);
  for (const {words: others, box: other} of texts.slice(index + 1)) {
    const beside = box.right <= other.left || other.right <= box.left;
    if (!beside && box.top < other.bottom - 2 && other.top < box.bottom - 2) found.push(`${words} over ${others}`);
  }
});
return found;
"""

Browser = webdriver.Chrome


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if _DRIVER is None or _BROWSER is None:
        pytest.skip("no chromium and chromedriver on PATH: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = _BROWSER
    # Chromium has no sandbox for root, which most containers run as.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory() as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = Browser(options=options, service=Service(_DRIVER))
        yield driver
        driver.quit()


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The page of dev."""
    folder = tmp_path_factory.mktemp("dev")
    file = folder / "dev.html"
    file.write_text(page(Snapshot.rendered(Environment.find(ROOT, "dev"))), encoding="utf-8")
    return file


def requests(browser: Browser) -> list[str]:
    """The URLs that were asked for since the last time."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


def open_page(browser: Browser, file: pathlib.Path, fragment: str = "") -> None:
    browser.get("about:blank")
    browser.get_log("browser")
    requests(browser)
    browser.get(f"{file.as_uri()}{fragment}")


def opened(browser: Browser, tmp_path: pathlib.Path, text: str) -> None:
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    open_page(browser, file)


def card(browser: Browser, name: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, f'.picture [data-id="{name}"]')


def panel(browser: Browser) -> str:
    return browser.find_element(By.ID, "panel").text


def parts(browser: Browser) -> list[str]:
    script = (
        "return [...document.querySelectorAll('#parts a')].filter(a => a.checkVisibility()).map(a => a.textContent)"
    )
    found: list[str] = browser.execute_script(script)
    return found


def open_object(browser: Browser, kind: str) -> WebElement:
    """Open the first object of a kind in the panel."""
    objects = browser.find_elements(By.CSS_SELECTOR, "#panel details")
    details = next(item for item in objects if item.text.startswith(kind))
    details.find_element(By.TAG_NAME, "summary").click()
    WebDriverWait(browser, 10).until(lambda _: details.find_elements(By.TAG_NAME, "pre"))
    return details


def assert_quiet(browser: Browser) -> None:
    """Nothing was said on the console, and nothing fetched but the page itself."""
    assert browser.get_log("browser") == []
    assert {url.partition(":")[0] for url in requests(browser)} <= {"file", "data"}


def test_a_part_shows_its_capacity_cost_and_objects(browser: Browser, dev: pathlib.Path) -> None:
    open_page(browser, dev)
    assert "What is declared" in panel(browser)
    assert "agents" in panel(browser)
    card(browser, "agent/orchestrator").click()
    text = panel(browser)
    assert "orchestrator\nagent, namespace agents\n1 to 2 pods" in text
    assert "Deployment orchestrator" in text
    assert "1 to 2" in text
    assert "0.05" in text
    assert "limit 256Mi" in text
    assert re.search(r"\d+\.\d\d( to \d+\.\d\d)? \w+ a month", text)
    assert "consumes events" in text
    assert "uses Redis conversation:*, checkpoint:*" in text
    yaml = open_object(browser, "Deployment").find_element(By.TAG_NAME, "pre").text
    assert "image: ghcr.io/agentstack/services:1.0.0" in yaml
    assert_quiet(browser)


def test_every_object_of_the_stack_is_behind_one_part(browser: Browser, dev: pathlib.Path) -> None:
    open_page(browser, dev)
    data = json.loads(browser.find_element(By.ID, "data").get_attribute("textContent") or "")
    shown = [(one["kind"], one["namespace"], one["name"]) for node in data["nodes"] for one in node["objects"]]
    assert len(shown) == len(set(shown)) == len(Snapshot.rendered(Environment.find(ROOT, "dev")).objects)
    placed = {node["id"]: {one["kind"] for one in node["objects"]} for node in data["nodes"]}
    assert "StatefulSet" in placed["redis"]
    assert "Ingress" in placed["gateway"]
    assert placed["agent/learner"] >= {"Deployment", "NetworkPolicy", "Secret", "ServiceAccount"}
    assert placed["stack"] >= {"Namespace", "ResourceQuota", "LimitRange"}
    assert placed["exporters"] >= {"DaemonSet", "Deployment"}


def test_search_narrows_picture_and_list(browser: Browser, dev: pathlib.Path) -> None:
    open_page(browser, dev)
    everything = parts(browser)
    search = browser.find_element(By.ID, "search")
    search.send_keys("statefulset prom")
    assert parts(browser) == ["Prometheus"]
    assert browser.find_element(By.ID, "matches").text == "1 part"
    assert "match" in card(browser, "prometheus").get_attribute("class").split()
    assert "match" not in card(browser, "redis").get_attribute("class").split()
    search.send_keys(Keys.ENTER)
    assert "Prometheus" in panel(browser)
    search.send_keys(Keys.ESCAPE)
    assert parts(browser) == everything


def test_the_keyboard_is_enough(browser: Browser, dev: pathlib.Path) -> None:
    open_page(browser, dev)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    assert browser.switch_to.active_element.get_attribute("id") == "search"
    for _ in range(20):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("data-id") == "agent/executor":
            break
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert "executor" in panel(browser)
    assert browser.current_url.endswith("#agent/executor")
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert "What is declared" in panel(browser)
    assert browser.switch_to.active_element.get_attribute("data-id") == "agent/executor"
    browser.back()
    assert "executor" in panel(browser)


def test_a_link_leads_to_a_part(browser: Browser, dev: pathlib.Path) -> None:
    open_page(browser, dev, "#topic%2Ftasks")
    assert "tasks" in panel(browser)
    assert "is consumed by executor" in panel(browser)
    open_page(browser, dev, "#%E0%A4%A")  # malformed
    assert "What is declared" in panel(browser)
    assert_quiet(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stays_in_its_card_and_is_easy_to_read(browser: Browser, dev: pathlib.Path, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    open_page(browser, dev)
    assert browser.execute_script(_OVERLAPS) == []
    assert contrast(browser, ".picture .label", ".picture .card") >= 7
    assert contrast(browser, ".picture .detail", ".picture .card") >= 4.5
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(browser: Browser, text: str, ground: str) -> float:
    """The ratio of WCAG 2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""

    def luminance(selector: str) -> float:
        colour = browser.find_element(By.CSS_SELECTOR, selector).value_of_css_property("fill")
        channels = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    one, other = sorted((luminance(text), luminance(ground)))
    return (other + 0.05) / (one + 0.05)


def test_the_chosen_part_of_a_tall_picture_is_in_sight(browser: Browser, tmp_path: pathlib.Path) -> None:
    opened(browser, tmp_path, page(revision(stack(60))))
    script = (
        "const box = document.querySelector('.picture .chosen').getBoundingClientRect(); return [box.top, box.bottom]"
    )
    for name in ("a59", "a0", "a30"):
        browser.execute_script("location.hash = '#agent/' + arguments[0]", name)
        assert f"{name}\nagent" in panel(browser)
        top, bottom = browser.execute_script(script)
        assert 0 <= top < bottom <= browser.execute_script("return innerHeight")


def test_a_narrow_screen_scrolls_the_picture_alone(browser: Browser, dev: pathlib.Path) -> None:
    size: dict[str, Any] = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    open_page(browser, dev, "#agent/orchestrator")
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert "Capacity" in panel(browser)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_changes_stands_out(browser: Browser, tmp_path: pathlib.Path) -> None:
    old, new = stack(4), stack(5)
    before = revision(old, [deployment("a0"), deployment("a1")], name="1a2b3c4")
    after = revision(new, [deployment("a0", "ghcr.io/acme/agent:1.1.0"), deployment("a1"), deployment("a4")])
    opened(browser, tmp_path, page(after, before, compare(before, after)))
    assert "What changes" in panel(browser)
    assert "1a2b3c4 to working tree" in browser.find_element(By.TAG_NAME, "header").text
    marks = {
        name: card(browser, f"agent/{name}").find_elements(By.CSS_SELECTOR, ".sign") for name in ("a0", "a1", "a4")
    }
    assert {name: [mark.text for mark in found] for name, found in marks.items()} == {
        "a0": ["~"],
        "a1": [],
        "a4": ["+"],
    }
    card(browser, "agent/a0").click()
    assert "What changes in 1 object" in panel(browser)
    field = open_object(browser, "Deployment").find_element(By.CSS_SELECTOR, ".field")
    assert field.find_element(By.TAG_NAME, "del").text == "ghcr.io/acme/agent:1.0.0"
    assert field.find_element(By.TAG_NAME, "ins").text == "ghcr.io/acme/agent:1.1.0"
    assert_quiet(browser)


def test_findings_are_on_the_card_the_object_and_the_page(browser: Browser, tmp_path: pathlib.Path) -> None:
    place = {"kind": "Deployment", "namespace": "agents", "name": "a1", "outcome": "violation"}
    found = [
        {"rule": "memory-limit", "severity": "error", "message": "a1 has no memory limit: set one", **place},
        {"rule": "probes", "severity": "warning", "message": "no probe", **place}
        | {
            "waived": {"owner": "ops", "until": "2027-01-01", "reason": "a batch"},
            "place": {"file": "a.yaml", "line": 7},
        },
        {"rule": "whole", "severity": "warning", "message": "not evaluated", "kind": "", "namespace": "", "name": ""},
    ]
    opened(browser, tmp_path, page(revision(stack(2), [deployment("a0"), deployment("a1")], policies=found)))
    assert "2 findings" in browser.find_element(By.TAG_NAME, "header").text
    assert "whole: not evaluated" in panel(browser)
    assert [mark.text for mark in browser.find_elements(By.CSS_SELECTOR, ".picture .flag.error")] == ["!"]
    assert (card(browser, "agent/a1").get_attribute("aria-label") or "").endswith(", 1 finding")
    card(browser, "agent/a1").click()
    assert "memory-limit: a1 has no memory limit: set one" in panel(browser)
    assert "no probe\nDeployment a1\na.yaml:7\nwaived by ops until 2027-01-01: a batch" in panel(browser)
    assert "1 finding" in browser.find_element(By.CSS_SELECTOR, "#panel summary").text
    assert_quiet(browser)


def test_hostile_names_and_values_are_only_text(browser: Browser, tmp_path: pathlib.Path) -> None:
    node = Node("agent/x", AGENT, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    other = Node(f"topic/{HOSTILE}", TOPIC, HOSTILE)
    settings = thing("ConfigMap", HOSTILE, agent="x", data={HOSTILE: HOSTILE})
    changed = thing("ConfigMap", HOSTILE, agent="x", data={HOSTILE: f"{HOSTILE} and more"})
    finding = {"rule": HOSTILE, "severity": HOSTILE, "kind": "ConfigMap", "namespace": "agents", "name": HOSTILE}
    before = revision(Graph((node,)), [settings], name=HOSTILE)
    after = revision(
        Graph((node, other)),
        [changed],
        name=HOSTILE,
        policies=[{**finding, "message": HOSTILE, "outcome": "violation"}],
    )
    opened(browser, tmp_path, page(after, before, compare(before, after)))
    for name in ("agent/x", other.id):
        browser.execute_script("location.hash = '#' + encodeURIComponent(arguments[0])", name)
        assert HOSTILE.split("\n")[0] in panel(browser)
    browser.execute_script("location.hash = '#agent%2Fx'")
    assert f"{HOSTILE} and more" in open_object(browser, "ConfigMap").find_element(By.TAG_NAME, "ins").text
    assert browser.title == "Agent Stack · prod"
    assert browser.find_elements(By.CSS_SELECTOR, "img, main script") == []
    assert_quiet(browser)


def test_the_page_itself_forbids_what_it_does_not_need(browser: Browser, dev: pathlib.Path) -> None:
    open_page(browser, dev)
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'document.title = `HACKED`';"
        "document.body.append(script); const image = new Image(); image.src = 'http://127.0.0.1:9/x'"
    )
    fetched = browser.execute_async_script(
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('yes'), (error) => done(error.name))"
    )
    assert fetched == "TypeError"
    assert browser.title == "Agent Stack · dev"
    refused = [entry["message"] for entry in browser.get_log("browser")]
    assert len([message for message in refused if "Content Security Policy" in message]) >= 3


def test_a_thousand_agents_are_in_the_list_and_in_groups(browser: Browser, tmp_path: pathlib.Path) -> None:
    opened(browser, tmp_path, page(revision(stack(1000), [deployment("a777")])))
    assert len(parts(browser)) == 1505
    browser.find_element(By.ID, "search").send_keys("a777", Keys.ENTER)
    assert "Deployment a777" in panel(browser)
    chosen = browser.find_element(By.CSS_SELECTOR, ".picture .chosen")
    assert "agents" in chosen.text
    chosen.click()
    assert "too many to draw" in panel(browser)
    assert "a777" in panel(browser)
    assert_quiet(browser)


def test_secrets_are_withheld_and_prod_stays_small(tmp_path: pathlib.Path) -> None:
    known = thing("Secret", "model", data={"OPENAI_API_KEY": "c2VjcmV0LXZhbHVl"}, stringData={"OTHER": "secret-value"})
    held = thing("ConfigMap", "a0", agent="a0", data={"API_TOKEN": "ghp_0123456789abcdefghijklmnopqrstuvwxyz"})
    text = page(revision(stack(1), [known, held]))
    assert "OPENAI_API_KEY" in text
    assert not re.search("c2VjcmV0|secret-value|ghp_", text)
    assert len(page(Snapshot.rendered(Environment.find(ROOT, "prod")))) < 2_000_000
