"""How the page of a report on originality looks and moves: its style sheet and its one script."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1a1a1a; --soft: #4d4d4a; --paper: #ffffff; --rule: #d9d9d6; --accent: #005a8f; --grey: #8c8c88;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #f2f2ef; --soft: #c4c4bf; --paper: #161616; --rule: #3d3d3a; --accent: #7fc4ee; --grey: #8c8c88;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.5 system-ui, sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 16px 0; overflow-wrap: anywhere; }
h2 { font-size: 21px; margin: 48px 0 8px; }
h3 { font-size: 17px; margin: 0 0 4px; overflow-wrap: anywhere; }
p, ul, ol { max-width: 65ch; overflow-wrap: anywhere; }
li { margin: 4px 0; }
.small, caption, figcaption, .pair li { font-size: 14px; color: var(--soft); }
.figures { display: flex; flex-wrap: wrap; gap: 16px; margin: 16px 0 8px; padding: 0; }
.figures div {
  border: 1px solid var(--rule); border-radius: 8px; padding: 8px 16px; min-width: 8em; flex: 1;
}
.figures dt { font-size: 14px; color: var(--soft); }
.figures dd { margin: 0; font-size: 28px; line-height: 1.3; font-variant-numeric: tabular-nums; }
figure { margin: 16px 0; }
.plot { overflow: hidden; }
.wide { overflow-x: auto; }
.wide:focus-visible, button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 16px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 8px 0; }
th, td { border-bottom: 1px solid var(--rule); padding: 6px 8px; text-align: right; vertical-align: top; }
th { font-size: 14px; }
th[scope=row] { min-width: 7em; overflow-wrap: anywhere; }
th[scope=row], thead th:first-child, .words { text-align: left; overflow-wrap: break-word; }
td { font-size: 15px; white-space: nowrap; }
td.words { white-space: normal; min-width: 8em; overflow-wrap: anywhere; }
th button {
  font: inherit; color: var(--accent); background: none; border: 0; padding: 4px 0; text-align: inherit;
  text-decoration: underline; cursor: pointer; min-height: 24px;
}
th button::after { content: " \\2195"; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.pair { border: 1px solid var(--rule); border-radius: 8px; padding: 16px; margin: 16px 0; }
.pair p { margin: 0 0 8px; }
.pair figure { margin: 8px 0 0; }
.pair svg { display: block; width: 100%; min-width: 640px; height: auto; }
.pair audio { display: block; width: 100%; margin-top: 4px; }
@media print {
  body { font-size: 12px; }
  main { max-width: none; }
  h2, figure, .pair { break-inside: avoid; }
  .pair svg { min-width: 0; }
  audio { display: none; }
  th button::after { content: ""; }
}
"""

#: Draws the plots in the page's own colours, sorts the table, and plays one sound at a time.
SCRIPT = """
"use strict";
const THEME = { "#1a1a1a": "--ink", "#ffffff": "--paper", "#d9d9d6": "--rule", "#0072b2": "--accent" };
const NARROW = 560;

function themed(value, style) {
  if (typeof value === "string") {
    const name = THEME[value.toLowerCase()];
    return name ? style.getPropertyValue(name).trim() : value;
  }
  if (Array.isArray(value)) return value.map((each) => themed(each, style));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, themed(each, style)]));
}

function narrowed(layout) {
  const small = (note) => ({ ...note, font: { ...note.font, size: 11 } });
  const annotations = (layout.annotations || []).map(small);
  return { ...layout, font: { ...layout.font, size: 11 }, annotations };
}

function draw(onPaper) {
  const style = getComputedStyle(document.documentElement);
  for (const drawing of document.querySelectorAll("[data-figure]")) {
    const stored = JSON.parse(document.getElementById(drawing.dataset.figure).textContent);
    const figure = onPaper ? stored : themed(stored, style);
    const layout = drawing.clientWidth < NARROW ? narrowed(figure.layout) : figure.layout;
    const options = { displayModeBar: false, responsive: true };
    Plotly.react(drawing, figure.data, { ...layout, autosize: true }, options);
  }
}

function order(table, column, direction) {
  const body = table.tBodies[0];
  const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
  const rows = [...body.rows].sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if ((a === "") !== (b === "")) return a === "" ? 1 : -1; // what has no figure comes last, either way
    const difference = Number(a) - Number(b);
    return direction * (Number.isNaN(difference) ? a.localeCompare(b, "en", { numeric: true }) : difference);
  });
  body.append(...rows);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const first = button.dataset.first;
    const now = head.getAttribute("aria-sort");
    const next = now ? (now === "ascending" ? "descending" : "ascending") : first;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", next);
    order(head.closest("table"), head.cellIndex, next === "ascending" ? 1 : -1);
  });
}

document.addEventListener("play", (started) => {
  for (const player of document.querySelectorAll("audio")) {
    if (player !== started.target) player.pause();
  }
}, true);

draw(false);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(false));
matchMedia(`(max-width: ${NARROW}px)`).addEventListener("change", () => draw(false));
addEventListener("beforeprint", () => draw(true));
addEventListener("afterprint", () => draw(false));
"""
