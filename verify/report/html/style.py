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
.scroll { overflow-x: auto; } table { border-collapse: collapse; } caption { text-align: left; font-weight: 600; }
th, td { border: 1px solid var(--line); padding: .2rem .5rem; text-align: left; vertical-align: top; }
td.number { text-align: right; } .map th, .map td { padding: 0; text-align: center; height: 1.7rem; min-width: 1.7rem; }
.map td a { color: inherit; display: block; line-height: 1.7rem; text-decoration: none; }
.proved { background: var(--proved); } .odd { background: var(--odd); } .refused { background: var(--refused); }
.refuted { background: var(--refuted); color: var(--on-bad); } .unknown, .vacuous { background: var(--undecided); }
.verdict { border-radius: .2rem; padding: 0 .3rem; } dt { font-weight: 600; } dd { margin: 0 0 .4rem 1rem; }
details { border-top: 1px solid var(--line); padding: .2rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
input { background: var(--page); border: 1px solid var(--line); color: var(--ink); font: inherit; padding: .3rem;
  width: 100%; max-width: 30rem; } td { overflow-wrap: anywhere; }
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
if (typeof window !== "undefined") {
  const box = document.getElementById("search");
  if (box) listen(box, document.getElementById("found"));
  window.addEventListener("hashchange", opened); opened();
}
"""
