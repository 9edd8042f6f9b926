"use strict";
// Shows what is behind each part of the picture. All text goes through textContent: nothing of the data is markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const picture = document.querySelector("#picture svg");
  const panel = document.getElementById("panel");
  const parts = document.getElementById("parts");
  const search = document.getElementById("search");
  const matches = document.getElementById("matches");
  const nodes = new Map(data.nodes.map((node) => [node.id, node]));
  const groups = new Map(Object.entries(data.groups));
  const cards = new Map([...picture.querySelectorAll(".node")].map((card) => [card.dataset.id, card]));
  const lines = [...picture.querySelectorAll(".edges .edge")];
  const links = new Map();

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const chip = (words, kind = "") => make("span", { class: `chip ${kind}` }, words);
  const stateChip = (state) => (state === "same" ? null : chip(`${data.signs[state]} ${state}`, state));
  const money = (span) => {
    const write = (text) =>
      Number(text).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    const [low, high] = [write(span.min), write(span.max)];
    return `${low === high ? low : `${low} to ${high}`} ${data.currency} a month`;
  };
  const link = (id) =>
    make("a", { href: `#${encodeURIComponent(id)}` }, nodes.has(id) ? nodes.get(id).label : id.split("/").pop());
  const findingsOf = (node) => node.objects.flatMap((object) => object.findings.map((one) => [object, one]));
  const open = (findings) => findings.filter(([, one]) => one.severity !== "waived");
  const plural = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

  function finding(one, where = null) {
    const text = make("p", { class: `finding ${one.severity}` }, make("b", {}, one.rule), `: ${one.message}`);
    for (const words of [where, one.place, one.waived]) {
      if (words) text.append(make("span", { class: "soft" }, words));
    }
    return text;
  }

  function connections(node) {
    const found = new Map();
    for (const [source, target, kind, label, state] of data.edges) {
      const [other, verb] =
        source === node.id ? [target, data.verbs[kind][0]] : target === node.id ? [source, data.verbs[kind][1]] : [null, null];
      if (other === null) continue;
      const item = make("li", {}, `${verb} `, link(other));
      if (label) item.append(" ", make("span", { class: "soft" }, label));
      if (state !== "same") item.append(" ", stateChip(state));
      found.set(`${verb} ${other}`, item);
    }
    return [...found.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, item]) => item);
  }

  function workloads(node) {
    const head = ["", "pods", "CPU", "memory"];
    const rows = node.workloads.map((one) =>
      make(
        "tr",
        {},
        make("td", {}, `${one.kind} ${one.name}`, make("div", { class: "soft" }, one.where)),
        make("td", { class: "amount" }, one.min === one.max ? `${one.min}` : `${one.min} to ${one.max}`),
        ...["cpu", "memory"].map((resource) =>
          make(
            "td",
            { class: "amount" },
            one[`requests.${resource}`],
            make("div", { class: "soft" }, `limit ${one[`limits.${resource}`]}`),
          ),
        ),
      ),
    );
    return table(head, rows);
  }

  function namespaces() {
    const head = ["namespace", "pods", "CPU", "memory"];
    const rows = data.namespaces.map((one) => {
      const cells = ["pods", "requests.cpu", "requests.memory"].map((resource) => {
        const { min, max, quota } = one[resource];
        const cell = make("td", { class: "amount" }, min === max ? min : `${min} to ${max}`);
        if (quota) cell.append(make("div", { class: "soft" }, `of ${quota}`));
        return cell;
      });
      return make("tr", {}, make("td", {}, one.name), ...cells);
    });
    return table(head, rows);
  }

  function table(head, rows) {
    return make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...head.map((name, at) => make("th", { class: at ? "amount" : "" }, name)))),
      make("tbody", {}, ...rows),
    );
  }

  function object(one) {
    const place = one.namespace ? `${one.namespace}/${one.name}` : one.name;
    const summary = make("summary", {}, make("span", {}, make("b", {}, one.kind), ` ${place}`), stateChip(one.state));
    const flaws = one.findings.filter((each) => each.severity !== "waived");
    if (flaws.length) summary.append(chip(plural(flaws.length, "finding"), flaws[0].severity));
    const details = make("details", {}, summary);
    // Only when it is opened: a stack has some hundred objects.
    details.addEventListener("toggle", () => {
      if (details.childElementCount > 1) return;
      const inside = make("div", { class: "inside" }, ...one.findings.map((each) => finding(each)));
      for (const [path, before, after] of one.fields) {
        const field = make("div", { class: "field" }, make("code", {}, path));
        if (before !== null) field.append(make("del", {}, before));
        if (after !== null) field.append(make("ins", {}, after));
        inside.append(field);
      }
      inside.append(make("pre", { tabindex: "0", "aria-label": `YAML of ${one.kind} ${place}` }, one.yaml));
      details.append(inside);
    });
    return details;
  }

  const part = (title, ...children) => (children.length ? [make("h3", {}, title), ...children] : []);
  const list = (items) => (items.length ? [make("ul", {}, ...items)] : []);

  const before = (text, differs) => (differs && text ? [make("span", { class: "soft" }, ` (before: ${text})`)] : []);

  function cost(node) {
    if (!node.cost && !node.costBefore) return [];
    const [now, was] = [node.cost, node.costBefore].map((span) => (span ? money(span) : "nothing"));
    return part("Cost", make("p", { class: "about" }, now, ...before(was, data.compared && now !== was)));
  }

  function about(node) {
    const found = findingsOf(node);
    const words = [node.kind, node.namespace && `namespace ${node.namespace}`, node.team && `team ${node.team}`];
    const close = make("button", { class: "close", type: "button", }, "Close");
    close.addEventListener("click", () => choose(null));
    const changed = node.objects.filter((one) => one.state !== "same");
    const same = node.objects.filter((one) => one.state === "same");
    return [
      close,
      make("h2", {}, node.label, " ", stateChip(node.state)),
      make("p", { class: "about" }, words.filter(Boolean).join(", ")),
      make("p", { class: "about" }, node.detail, ...before(node.was, node.was !== null && node.was !== node.detail)),
      ...part("Findings", ...found.map(([one, each]) => finding(each, `${one.kind} ${one.name}`))),
      ...(node.workloads.length ? part("Capacity of each pod", workloads(node)) : []),
      ...cost(node),
      ...part(`What changes in ${plural(changed.length, "object")}`, ...(changed.length ? changed.map(object) : [])),
      ...part("Connections", ...list(connections(node))),
      ...part(plural(same.length, "object") + (changed.length ? " without a change" : ""), ...same.map(object)),
    ];
  }

  function aboutGroup(id) {
    const members = groups.get(id);
    return [
      make("h2", {}, cards.get(id).querySelector(".label").textContent),
      make("p", { class: "about" }, "Drawn as one, since there are too many to draw."),
      ...list(members.map((member) => make("li", {}, link(member), " ", stateChip(nodes.get(member).state)))),
    ];
  }

  function overview() {
    const changed = data.nodes.filter((node) => node.state !== "same");
    const found = data.nodes.flatMap((node) => findingsOf(node).map(([one, each]) => [node, one, each]));
    return [
      make("h2", {}, changed.length ? "What changes" : "What is declared"),
      make("p", { class: "about" }, "Choose a part to see its capacity, its cost, its findings and its objects."),
      ...list(changed.map((node) => make("li", {}, link(node.id), " ", stateChip(node.state)))),
      ...(data.namespaces.length ? part("Asked for, of the quota", namespaces()) : []),
      ...part("Findings", ...data.elsewhere.map((each) => finding(each)),
        ...found.slice(0, 50).map(([node, one, each]) => {
          const text = finding(each, `${one.kind} ${one.name} of `);
          text.querySelector(".soft").append(link(node.id));
          return text;
        })),
    ];
  }

  function choose(id) {
    history.pushState(null, "", id === null ? "#" : `#${encodeURIComponent(id)}`);
    show();
  }

  function chosen() {
    let id = "";
    try {
      id = decodeURIComponent(location.hash.slice(1));
    } catch {
      // A link that somebody has mistyped leads nowhere.
    }
    return nodes.has(id) || groups.has(id) ? id : null;
  }

  function show() {
    const id = chosen();
    const card = id === null ? null : nodes.has(id) ? nodes.get(id).drawn : id;
    panel.replaceChildren(...(id === null ? overview() : nodes.has(id) ? about(nodes.get(id)) : aboutGroup(id)).filter(Boolean));
    panel.classList.toggle("chosen", id !== null);
    panel.scrollTop = 0;
    for (const [name, element] of cards) element.classList.toggle("chosen", name === card);
    // Beside the panel, that is: on a narrow screen the panel itself is what was asked for.
    if (matchMedia("(min-width: 901px)").matches) cards.get(card)?.scrollIntoView({ block: "nearest" });
    for (const [name, element] of links) {
      if (name === id) element.setAttribute("aria-current", "true");
      else element.removeAttribute("aria-current");
    }
    focus(card);
  }

  function focus(id) {
    picture.classList.toggle("focused", id !== null && cards.has(id));
    const near = new Set([id]);
    for (const line of lines) {
      const { source, target } = line.dataset;
      const touches = source === id || target === id;
      line.classList.toggle("near", touches);
      if (touches) near.add(source).add(target);
    }
    for (const [name, element] of cards) element.classList.toggle("near", near.has(name));
  }

  function matching(words) {
    return data.nodes.filter((node) => {
      const objects = node.objects.map((one) => `${one.kind} ${one.namespace} ${one.name}`);
      const text = [node.label, node.kind, node.detail, node.namespace, node.team, node.state, ...objects].join("\n");
      return words.every((word) => text.toLowerCase().includes(word));
    });
  }

  function find() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = matching(words);
    const ids = new Set(found.map((node) => node.id));
    const drawn = new Set(found.map((node) => node.drawn));
    matches.textContent = words.length ? plural(found.length, "part") : "";
    picture.classList.toggle("searched", words.length > 0);
    for (const [name, element] of cards) element.classList.toggle("match", drawn.has(name));
    for (const [name, element] of links) element.closest("li").hidden = !ids.has(name);
    for (const section of parts.children) section.hidden = !section.querySelector("li:not([hidden])");
    return found;
  }

  // On the card of each part that policies found something on.
  function flag(node) {
    const card = cards.get(node.drawn);
    const found = open(findingsOf(node)).map(([, one]) => one.severity);
    if (!card || !found.length || card.querySelector(".flag")) return;
    const frame = [...card.querySelectorAll(".card")].at(-1);
    const [x, y] = [frame.x.baseVal.value + frame.width.baseVal.value - 14, frame.y.baseVal.value + 34];
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "text");
    for (const [name, value] of Object.entries({ class: `flag ${found.includes("error") ? "error" : "warning"}`, x, y })) {
      mark.setAttribute(name, value);
    }
    mark.textContent = "!";
    card.append(mark);
    card.setAttribute("aria-label", `${card.getAttribute("aria-label")}, ${plural(found.length, "finding")}`);
  }

  function fill() {
    data.nodes.forEach(flag);
    const kinds = new Map();
    for (const node of data.nodes) {
      if (!kinds.has(node.kind)) kinds.set(node.kind, []);
      kinds.get(node.kind).push(node);
    }
    for (const [kind, members] of kinds) {
      const items = members.map((node) => {
        const anchor = link(node.id);
        links.set(node.id, anchor);
        return make("li", {}, anchor, make("span", { class: "soft" }, node.detail), stateChip(node.state));
      });
      parts.append(make("section", {}, make("h3", {}, kind.endsWith("stack") || members.length === 1 ? kind : `${kind}s`), make("ul", {}, ...items)));
    }
    const all = data.nodes.flatMap((node) => open(findingsOf(node))).length + data.elsewhere.length;
    const objects = data.nodes.reduce((sum, node) => sum + node.objects.length, 0);
    const facts = [chip(plural(objects, "object"))];
    if (data.whole) facts.push(chip(money(data.whole)));
    facts.push(all ? chip(plural(all, "finding"), "warning") : chip("no findings"));
    for (const state of ["added", "changed", "removed"]) {
      const number = data.nodes.filter((node) => node.state === state).length;
      if (number) facts.push(chip(`${data.signs[state]} ${plural(number, "part")} ${state}`, state));
    }
    document.getElementById("facts").append(...facts.map((fact) => make("li", {}, fact)));
  }

  fill();
  show();
  window.addEventListener("hashchange", show);
  window.addEventListener("popstate", show);
  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !search.value.trim()) return;
    const first = find()[0];
    if (first) {
      choose(first.id);
      panel.focus();
    }
  });
  for (const [id, card] of cards) {
    card.addEventListener("mouseenter", () => focus(id));
    card.addEventListener("mouseleave", () => {
      const now = chosen();
      focus(now === null ? null : nodes.has(now) ? nodes.get(now).drawn : now);
    });
    // A reader who came by the keyboard goes on in the panel.
    card.addEventListener("keydown", (event) => {
      if (event.key === "Enter") setTimeout(() => panel.focus());
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape") {
      const id = chosen();
      if (search.value) {
        search.value = "";
        find();
      } else if (id !== null) {
        choose(null);
        cards.get(nodes.has(id) ? nodes.get(id).drawn : id)?.focus();
      }
    }
  });
})();
