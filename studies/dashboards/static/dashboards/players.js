"use strict";

/* One sound at a time: starting a player pauses the others of the page. "play" does not bubble, so it is caught. */

document.addEventListener(
  "play",
  (started) => {
    for (const player of document.querySelectorAll("audio")) {
      if (player !== started.target) player.pause();
    }
  },
  true,
);
