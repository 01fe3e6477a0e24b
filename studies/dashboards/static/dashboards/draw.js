"use strict";

/* Draws every figure of a page from the JSON beside it, in the page's own colours. */

const THEME = { "#1a1a1a": "--ink", "#5c5c58": "--ink-soft", "#ffffff": "--paper", "#d9d9d6": "--rule" };

/** The figure with the theme's colours as the page has them now; text inside bars keeps the colour chosen for the bar. */
function inPageColours(value, style) {
  if (typeof value === "string") {
    const variable = THEME[value.toLowerCase()];
    return variable ? style.getPropertyValue(variable).trim() : value;
  }
  if (Array.isArray(value)) return value.map((each) => inPageColours(each, style));
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([key, each]) => [key, key === "textfont" ? each : inPageColours(each, style)]));
}

/* Under this width names stand in short lines beside a plot, so that the plot keeps its room. */
const NARROW = 480;
const LINE = { name: 12, note: 27 }; // characters
const LINE_HEIGHT = 16;

/** Text in lines of at most so many characters where it has spaces, hyphens or slashes to break at. */
function inLines(text, longest) {
  return text
    .split("<br>")
    .flatMap((line) => {
      const lines = [""];
      for (const word of line.match(/[^\s/-]*(?:[/-]|\s+|$)/g).filter(Boolean)) {
        if (lines.at(-1) && (lines.at(-1) + word).trimEnd().length > longest) lines.push("");
        lines[lines.length - 1] += word;
      }
      return lines.map((each) => each.trimEnd());
    })
    .join("<br>");
}

/** A layout for a narrow window: smaller type, names in lines, and rows high enough for them. */
function narrowed(layout) {
  const names = layout.yaxis?.ticktext?.map((name) => inLines(name, LINE.name));
  const n_lines = Math.max(0, ...(names ?? []).map((name) => name.split("<br>").length));
  const taller = Math.max(0, n_lines - 3) * LINE_HEIGHT * (names ?? []).length;
  return {
    ...layout,
    font: { ...layout.font, size: 12 },
    margin: { ...layout.margin, l: 8, r: Math.min(layout.margin?.r ?? 8, 80) },
    height: layout.height + taller,
    ...(names ? { yaxis: { ...layout.yaxis, ticktext: names } } : {}),
    annotations: layout.annotations?.map((note) => ({ ...note, text: inLines(note.text, LINE.note) })),
  };
}

function draw(onPaper = false) {
  for (const drawing of document.querySelectorAll("[data-figure]")) {
    const source = document.getElementById(drawing.dataset.figure);
    const asStored = JSON.parse(source.textContent);
    const figure = onPaper ? asStored : inPageColours(asStored, getComputedStyle(document.documentElement));
    const isNarrow = drawing.clientWidth < NARROW;
    const layout = { ...(isNarrow ? narrowed(figure.layout) : figure.layout), autosize: true };
    delete layout.width;
    Plotly.react(drawing, figure.data, layout, { displayModeBar: false, responsive: true });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
  matchMedia(`(max-width: ${NARROW}px)`).addEventListener("change", () => draw());
  addEventListener("beforeprint", () => draw(true));
  addEventListener("afterprint", () => draw());
});
