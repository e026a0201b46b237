"""What every page of the HTML report shares: its style, for light and dark and for narrow windows, and its search."""

from __future__ import annotations

from typing import Final

CSS: Final = """
:root { --page: #fff; --ink: #1a1a1a; --dim: #555; --line: #bbb; --link: #0b57d0;
  --proved: #cfe8cf; --refuted: #b3261e; --refused: #f2c94c; --odd: #bfe3ea; --undecided: #d7b8e8; --on-bad: #fff; }
@media (prefers-color-scheme: dark) { :root { --page: #141414; --ink: #ececec; --dim: #b5b5b5; --line: #555;
  --link: #8ab4f8; --proved: #1f4d2b; --refuted: #a32a22; --refused: #7a5c00; --odd: #1d5561; --undecided: #5b3a75; } }
* { box-sizing: border-box; }
body { background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; margin: 0 auto;
  max-width: 70rem; padding: 1rem; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, input:focus-visible { outline: 3px solid var(--link); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2rem; } h3 { font-size: 1.05rem; }
code, .map, pre { font-family: ui-monospace, monospace; } .dim { color: var(--dim); }
.scroll { margin: 1rem 0; overflow-x: auto; }
table { border-collapse: collapse; } caption { text-align: left; font-weight: 600; }
th, td { border: 1px solid var(--line); padding: .2rem .5rem; text-align: left; vertical-align: top; }
td.number { text-align: right; } .map th, .map td { padding: 0; text-align: center; height: 1.7rem; min-width: 1.7rem; }
.map td a { color: inherit; display: block; line-height: 1.7rem; text-decoration: none; }
.proved { background: var(--proved); } .odd { background: var(--odd); } .refused { background: var(--refused); }
.refuted { background: var(--refuted); color: var(--on-bad); } .unknown, .vacuous { background: var(--undecided); }
.verdict { border-radius: .2rem; padding: 0 .3rem; } dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; }
details { border-top: 1px solid var(--line); padding: .2rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
input { background: var(--page); border: 1px solid var(--line); color: var(--ink); font: inherit; padding: .3rem;
  width: 100%; max-width: 30rem; } td { overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; margin: 0; padding: 0; }
.maps { display: flex; flex-wrap: wrap; gap: 0 2rem; } .maps > section { min-width: 0; }
.map td.differs { outline: 3px solid var(--ink); outline-offset: -3px; font-weight: 700; }
select, button { background: var(--page); border: 1px solid var(--line); color: var(--ink); font: inherit;
  padding: .2rem .6rem; max-width: 100%; } button:disabled { color: var(--dim); }
button:focus-visible, select:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link); }
svg text { fill: var(--ink); font-size: 13px; } .bar { fill: var(--link); } .tick { stroke: var(--line); }
.sequence th { text-align: center; } .sequence td:last-child, .sequence th:last-child { text-align: left; }
.sequence td:not(:last-child) { background: linear-gradient(var(--line), var(--line)) center / 1px 100% no-repeat;
  min-width: 6rem; text-align: center; vertical-align: middle; }
.sequence td b { background: var(--page); border: 1px solid var(--line); border-radius: .3rem; display: inline-block;
  padding: 0 .3rem; white-space: nowrap; }
.sequence tr.now { outline: 3px solid var(--link); outline-offset: -3px; }
.sequence tr.later > * { color: var(--dim); font-weight: 400; } .sequence tr.later b { font-weight: 400; }
.values { min-height: 3em; }
@media (max-width: 30rem) { body { padding: .5rem; }
  .map th, .map td { min-width: 1rem; height: 1.3rem; font-size: .75rem; } }
"""

SEARCH: Final = """
function found(rows, query, most) {
  const wanted = query.trim().toLowerCase(), bytes = wanted.replace(/\\s|0x/g, "");
  if (!wanted) return [];
  const score = r => r[1] === wanted ? 0 : bytes && r[2] && (r[2] === bytes) ? 1 : r[1].startsWith(wanted) ? 2
    : bytes.length > 1 && r[2] && r[2].startsWith(bytes) ? 3 : r[0].toLowerCase().includes(wanted) ? 4 : 5;
  return rows.map(r => [score(r), r]).filter(x => x[0] < 5).sort((a, b) => a[0] - b[0]).slice(0, most).map(x => x[1]);
}
function listen(box, list) {
  let asked = false;
  const show = () => {
    list.replaceChildren();
    if (!window.ROWS) return;
    for (const r of found(window.ROWS, box.value, 40)) {
      const a = document.createElement("a"), li = document.createElement("li");
      a.href = r[3]; a.textContent = r[0] + " (" + r[4] + ")"; li.append(a); list.append(li);
    }
  };
  box.addEventListener("input", () => {
    if (!asked) {
      asked = true;
      const s = document.createElement("script"); s.src = "search.js"; s.onload = show; document.head.append(s);
    }
    show();
  });
}
function opened() {
  const at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (at && at.tagName === "DETAILS") at.open = true;
}
function kept() {
  for (const a of document.querySelectorAll("a.same-place"))
    a.addEventListener("click", () => { a.href = a.href.split("#")[0] + location.hash; });
}
if (typeof window !== "undefined") {
  kept();
  const box = document.getElementById("search");
  if (box) listen(box, document.getElementById("found"));
  window.addEventListener("hashchange", opened); opened();
}
"""

COMPARING: Final = """
const left = document.getElementById("left"), right = document.getElementById("right"), HEX = "0123456789abcdef";
function made(name, words, attributes = {}) {
  const e = document.createElement(name);
  e.textContent = words;
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}
function grid(scheme, other, name) {
  const mine = MAPS.schemes[scheme][name] || " ".repeat(256), theirs = MAPS.schemes[other][name] || " ".repeat(256);
  const table = made("table", "", {class: "map"}), head = table.insertRow();
  table.prepend(made("caption", name + ": " + scheme));
  head.append(made("td", ""), ...Array.from(HEX, h => made("th", "_" + h, {scope: "col"})));
  for (let high = 0; high < 16; high++) {
    const row = table.insertRow();
    row.append(made("th", HEX[high] + "_", {scope: "row"}));
    for (let low = 0; low < 16; low++) {
      const at = 16 * high + low, letter = mine[at], td = row.insertCell();
      if (letter !== theirs[at]) td.classList.add("differs");
      if (letter === " ") continue;
      const says = name + " " + HEX[high] + HEX[low] + " under " + scheme + ": " + MAPS.words[letter];
      td.classList.add(MAPS.words[letter]);
      td.append(made("a", letter, {href: scheme + "/" + MAPS.files[name] + "#b" + HEX[high] + HEX[low],
        "aria-label": says, title: says}));
    }
  }
  return table;
}
function draw() {
  const place = document.getElementById("maps"), names = Object.keys(MAPS.files);
  let differ = 0;
  place.replaceChildren();
  for (const name of names) {
    const pair = made("div", "", {class: "maps"});
    for (const [one, other] of [[left.value, right.value], [right.value, left.value]]) {
      const part = made("div", "", {class: "scroll"});
      part.append(grid(one, other, name));
      pair.append(part);
    }
    differ += pair.firstChild.querySelectorAll(".differs").length;
    place.append(pair);
  }
  document.getElementById("differs").textContent = differ + " cells differ.";
  history.replaceState(null, "", "#" + left.value + "," + right.value);
}
const asked = decodeURIComponent(location.hash.slice(1)).split(",");
if (asked.length === 2 && asked.every(s => s in MAPS.schemes)) [left.value, right.value] = asked;
left.addEventListener("change", draw); right.addEventListener("change", draw); draw();
"""

STEPPING: Final = """
function stepped(trace) {
  const steps = JSON.parse(trace.dataset.steps), rows = Array.from(trace.querySelectorAll(".sequence tr")).slice(1);
  const bar = document.createElement("p"), said = document.createElement("p"), values = document.createElement("p");
  let at = steps.length;
  const go = to => {
    at = Math.max(0, Math.min(steps.length, to));
    rows.forEach((r, i) => { r.classList.toggle("now", i === at - 1); r.classList.toggle("later", i >= at); });
    const now = {};
    for (const [, , changes] of steps) for (const [name, before] of changes) if (!(name in now)) now[name] = before;
    for (const [, , changes] of steps.slice(0, at)) for (const [name, , after] of changes) now[name] = after;
    said.textContent = at ? ["Step", at, "of", steps.length + ":", steps[at - 1][0] + ",", steps[at - 1][1]].join(" ")
      : "Before the first step.";
    values.textContent = Object.entries(now).map(([n, v]) => n + " = " + v).join(", ");
    buttons.forEach(([b, , end]) => { b.disabled = at === end; });
  };
  const buttons = [["First", () => 0, 0], ["Back", () => at - 1, 0], ["Forward", () => at + 1, steps.length],
    ["Last", () => steps.length, steps.length]].map(([words, to, end]) => {
    const b = document.createElement("button");
    b.type = "button"; b.textContent = words; b.addEventListener("click", () => go(to()));
    bar.append(b, " ");
    return [b, to, end];
  });
  said.setAttribute("aria-live", "polite"); said.className = "said"; values.className = "values";
  trace.querySelector(".sequence").before(bar, said, values);
  trace.addEventListener("keydown", e => {
    const by = {ArrowLeft: -1, ArrowRight: 1}[e.key];
    if (by) { e.preventDefault(); go(at + by); }
  });
  go(0);
}
document.querySelectorAll(".trace").forEach(stepped);
"""
