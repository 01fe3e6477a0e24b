"use strict";

/* Refreshes the live counts of an open study. Stops when the page is hidden, the login ends or the server is gone. */

const EVERY_MS = 15000;

function show(counts) {
  for (const place of document.querySelectorAll("[data-count]")) {
    const value = counts[place.dataset.count];
    if (value !== undefined && value !== null) place.textContent = value;
  }
}

async function refresh(section, note) {
  if (document.hidden) return;
  try {
    const answer = await fetch(section.dataset.counts, { redirect: "error", headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
    note.textContent = `As of ${new Date().toLocaleTimeString()}. The counts refresh by themselves.`;
  } catch {
    note.textContent = "The counts no longer refresh: load the page again.";
    clearInterval(timer);
  }
}

let timer;
document.addEventListener("DOMContentLoaded", () => {
  const section = document.querySelector("[data-counts]");
  if (!section) return;
  const note = document.querySelector("[data-refreshed]");
  timer = setInterval(() => refresh(section, note), EVERY_MS);
});
