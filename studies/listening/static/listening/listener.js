/**
 * The listener's screens. The server knows where each listener stands; this page plays, asks, saves, and then
 * shows whatever screen the server says is next.
 */

import { fetchInTime, Outbox } from "./outbox.js";
import { Player, Preloader } from "./player.js";

const SAVED_MS = 350;
const STANDS_MS = 1800;
const words = document.getElementById("words").dataset;
const audio = document.getElementById("audio");
const preloader = new Preloader();
const home = document.getElementById("main").dataset.home;
const outbox = new Outbox({
  home,
  eventsUrl: document.getElementById("main").dataset.events,
  token: () => document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "",
  report: (what, facts) => screen?.report(what, facts),
});

/** What is on the screen now; each screen replaces the one before. */
let screen = null;

/** A screen with one form whose answer is kept until the server has it. */
class AnswerScreen {
  constructor(main) {
    this.main = main;
    this.form = main.querySelector("form[data-answer]:not([data-answer=skip])");
    this.note = main.querySelector("#note");
    this.saved = main.querySelector(".saved");
    this.live = main.querySelector("[data-live]");
    this.next = main.querySelector("[data-next]");
    this.isBusy = false;
    this.isKept = false; // whether its answer waits on this device, and no other tab's
    this.hasTrouble = false;
    this.player = null;
    this.trial = this.form.dataset.trial ?? null;
    if (this.form.dataset.audio) this.#addPlayer();
    this.form.noValidate = true;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.form.addEventListener("change", () => {
      this.say("");
      this.changed();
    });
    const skip = main.querySelector("form[data-answer=skip]");
    skip?.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#skip(skip);
    });
    this.changed();
  }

  #addPlayer() {
    const { audio: address, nextAudio } = this.form.dataset;
    this.player = new Player({
      audio,
      button: this.main.querySelector("[data-sound]"),
      bar: this.main.querySelector("[data-seek]"),
      source: preloader.take(address),
      words,
      playWord: this.main.querySelector("[data-play-word]")?.dataset.playWord,
      note: (kind, facts) => outbox.note(kind, { ...facts, trial: this.trial }),
      progress: () => this.heardMore(),
      flush: () => outbox.send(),
      trouble: (what) => this.#trouble(what),
      started: () => {
        this.#trouble(null);
        preloader.fetch(nextAudio);
      },
    });
  }

  /** Say that the sound does not play, and offer to leave the piece out; null once it plays. */
  #trouble(what) {
    const help = this.main.querySelector("[data-trouble]");
    if (what === null) {
      if (!this.hasTrouble) return;
      this.say("");
    } else {
      this.say(what === "refused" ? words.soundRefused : words.soundFailed, true);
      outbox.send();
    }
    this.hasTrouble = what !== null;
    if (help) help.open = what === "failed";
  }

  #skip(skip) {
    if (this.isBusy) return;
    skip.elements.reason.value = this.hasTrouble ? "the page saw it fail" : "the listener said so";
    this.sendForm(skip, words.skipping);
  }

  /** Say why the page waits, or what went wrong. */
  say(text, isError = false) {
    this.note.textContent = text;
    this.note.classList.toggle("error", isError);
  }

  /** The first question that needs an answer and has none, or null. */
  missing() {
    const questions = [...this.form.querySelectorAll("fieldset")];
    const isMissing = (one) => one.querySelector("input[required]") && !one.querySelector("input:checked");
    return questions.find(isMissing) ?? null;
  }

  changed() {
    this.next.setAttribute("aria-disabled", String(this.missing() !== null));
  }

  heardMore() {}

  submit() {
    if (this.isBusy) return;
    const missing = this.missing();
    if (missing) {
      this.say(words.missing, true);
      missing.querySelector("input:enabled")?.focus();
      return;
    }
    const time = this.form.elements.response_time_ms;
    if (time && this.player?.firstPlayedAt) {
      time.value = String(Math.round(performance.now() - this.player.firstPlayedAt));
    }
    this.sendForm(this.form, words.saving);
  }

  sendForm(form, word) {
    this.isBusy = true;
    this.next.setAttribute("aria-disabled", "true");
    this.player?.takeHeard();
    audio.pause();
    const fields = Object.fromEntries(new FormData(form));
    delete fields.csrfmiddlewaretoken;
    this.sentTo = form.getAttribute("action");
    this.isKept = outbox.keep(this.sentTo, fields);
    this.say("");
    this.showSaved(this.isKept ? word : words.stands);
    outbox.send().then(() => outbox.waiting(this.sentTo) && outbox.send()); // one under way may have left it out
  }

  showSaved(text, isTrouble = false) {
    this.saved.textContent = text;
    this.saved.classList.toggle("trouble", isTrouble);
  }

  /** Show an answer again that waits on this device since before a reload. */
  restore(answer) {
    for (const [name, value] of Object.entries(answer.fields)) {
      const field = this.form.elements[name];
      if (field) field.value = value;
    }
    this.changed();
    this.isBusy = this.isKept = true;
    this.sentTo = answer.url;
    this.next.setAttribute("aria-disabled", "true");
    this.showSaved(words.kept, true);
  }

  /** What the outbox has to say; of answers, those that this screen has sent. */
  report(what, facts) {
    if (what === "lost") {
      moveOn(this);
    } else if (facts.url && facts.url !== this.sentTo) {
      return;
    } else if (what === "saved") {
      this.showSaved(words.saved);
      this.say("");
      moveOn(this, { shownUntil: performance.now() + SAVED_MS });
    } else if (what === "waiting" && this.isKept && outbox.waiting(this.sentTo)) {
      this.showSaved(words.kept, true);
    } else if (what === "refused") {
      this.refused(facts);
    }
  }

  refused(facts) {
    this.isBusy = false;
    this.showSaved("");
    if (facts.error) {
      const attempt = this.form.elements.attempt;
      if (attempt) attempt.value = String(Number(attempt.value) + 1);
      this.changed();
      this.say(facts.error, true);
    } else if (facts.stands) {
      this.isBusy = true;
      this.showSaved(words.stands);
      moveOn(this, { shownUntil: performance.now() + STANDS_MS });
    } else {
      moveOn(this);
    }
  }

  close() {
    this.player?.close();
  }
}

/** A question whose answers open once enough was heard. */
class LockedScreen extends AnswerScreen {
  constructor(main) {
    super(main);
    this.lockable = main.querySelector("[data-lockable]");
    this.secondsLeft = Number(this.form.dataset.secondsToHear); // as the server last said
    this.heardAtWord = 0; // what the player had heard when it said so
    this.toldBefore = outbox.toldOf(this.trial); // in the first pass, where this is the second
    this.isLocked = this.secondsLeft > 0;
    this.lockable.disabled = this.isLocked;
    if (this.isLocked) this.say(fill(words.lockedStart, this.shownSeconds()));
    this.changed();
  }

  estimate() {
    return Math.max(0, this.secondsLeft - ((this.player?.secondsHeard ?? 0) - this.heardAtWord));
  }

  shownSeconds() {
    return Math.max(1, Math.ceil(this.estimate()));
  }

  heardMore() {
    if (!this.isLocked) return;
    this.say(fill(words.locked, this.shownSeconds()));
    if (this.estimate() === 0 && !this.isAsking) {
      // The server has the last word on what was heard; without it, the answer waits and is checked later.
      this.isAsking = true;
      this.player.takeHeard();
      outbox.send().finally(() => {
        this.isAsking = false;
      });
    }
  }

  unlock() {
    if (!this.isLocked) return;
    this.isLocked = false;
    this.lockable.disabled = false;
    this.say("");
    this.live.textContent = words.unlocked;
    this.changed();
  }

  report(what, facts) {
    if (what === "heard" && facts.trial === this.trial && typeof facts.seconds_left === "number") {
      this.secondsLeft = facts.seconds_left;
      this.heardAtWord = facts.told - this.toldBefore;
      if (this.secondsLeft <= 0) this.unlock();
      else if (this.isLocked && this.player.firstPlayedAt) this.say(fill(words.locked, this.shownSeconds()));
    } else if (what === "waiting" && this.isLocked && this.estimate() === 0) {
      this.unlock();
    }
    super.report(what, facts);
  }

  refused(facts) {
    if (typeof facts.seconds_left === "number") {
      this.isBusy = false;
      this.isLocked = true;
      this.lockable.disabled = true;
      this.secondsLeft = facts.seconds_left;
      this.heardAtWord = this.player.secondsHeard;
      this.showSaved("");
      this.say(fill(words.locked, this.shownSeconds()), true);
      this.changed();
    } else {
      super.refused(facts);
    }
  }

  submit() {
    if (this.isLocked) {
      this.say(fill(words.locked, this.shownSeconds()), true);
      this.live.textContent = this.note.textContent;
      return;
    }
    super.submit();
  }
}

/** One question after the other, so that each is answered for itself. */
class StepwiseScreen extends LockedScreen {
  constructor(main) {
    super(main);
    this.questions = [...main.querySelectorAll("fieldset[data-question]")];
    this.changed();
  }

  changed() {
    super.changed();
    if (!this.questions) return;
    const first = this.questions.findIndex((question) => !question.querySelector("input:checked"));
    const shown = first < 0 ? this.questions.length : first + 1;
    for (const [index, question] of this.questions.entries()) {
      const isNew = question.hidden && index < shown;
      question.hidden = index >= shown;
      if (isNew) {
        this.live.textContent = question.querySelector("legend").textContent;
        bringIntoView(question);
      }
    }
  }
}

/** The debrief: each piece can be heard again, one at a time. */
class DebriefScreen {
  constructor(main) {
    this.buttons = [...main.querySelectorAll("[data-replay]")];
    this.playing = null;
    for (const button of this.buttons) {
      button.hidden = false;
      button.addEventListener("click", () => this.toggle(button));
    }
    this.stopped = () => {
      this.#show(this.playing, words.play);
      this.playing = null;
    };
    audio.addEventListener("ended", this.stopped);
    audio.addEventListener("error", this.stopped);
  }

  async toggle(button) {
    const wasPlaying = this.playing === button;
    audio.pause();
    this.#show(this.playing, words.play);
    this.playing = null;
    if (wasPlaying) return;
    this.playing = button;
    this.#show(button, words.pause);
    audio.src = button.dataset.replay;
    try {
      await audio.play();
    } catch (error) {
      if (error.name !== "AbortError") this.stopped();
    }
  }

  #show(button, word) {
    if (button) button.querySelector(".word").textContent = word;
  }

  report() {}

  close() {
    audio.removeEventListener("ended", this.stopped);
    audio.removeEventListener("error", this.stopped);
    audio.pause();
  }
}

const SCREENS = {
  trial: LockedScreen,
  attribution: StepwiseScreen,
  "sound-check": AnswerScreen,
  form: AnswerScreen,
  debrief: DebriefScreen,
};

/** Begin the screen that stands in the page. */
function begin(main) {
  screen?.close();
  const Screen = SCREENS[main.dataset.screen];
  if (main.dataset.screen === "withdrawn") outbox.forget();
  screen = Screen ? new Screen(main) : null;
  for (const waiting of main.querySelectorAll(".loading")) waiting.remove();
  for (const form of main.querySelectorAll("form[data-once]")) sendOnce(form);
  for (const button of main.querySelectorAll("[data-copy]")) offerToCopy(button);
  main.querySelector("h1")?.focus({ preventScroll: true });
  if (!screen?.form) return;
  const forms = [...main.querySelectorAll("form[data-answer]")];
  const answer = forms.map((form) => outbox.waiting(form.getAttribute("action"))).find((kept) => kept !== null);
  if (answer) screen.restore(answer);
  outbox.send();
}

/** Begin a screen; where that fails, its forms go to the server without a script. */
function beginOrGiveUp(main) {
  try {
    begin(main);
  } catch (error) {
    console.error(error);
    outbox.note("error", { detail: `begin: ${error}` });
    screen = null;
    const plain = main.cloneNode(true); // without any listener
    for (const waiting of plain.querySelectorAll(".loading")) waiting.remove();
    for (const question of plain.querySelectorAll("fieldset")) question.disabled = question.hidden = false;
    for (const button of plain.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
    const note = document.createElement("p");
    note.className = "note error";
    note.setAttribute("role", "alert");
    note.textContent = words.broken;
    plain.querySelector("h1")?.after(note);
    main.replaceWith(plain);
  }
}

/** A button that copies its text, where the browser lets a page do so. */
function offerToCopy(button) {
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = words.copied;
    } catch {
      button.hidden = true; // refused: the code can still be marked and copied by hand
    }
  });
}

/** A form that goes to the server by itself goes once, however often its button is pressed. */
function sendOnce(form) {
  let isSent = false;
  form.addEventListener("submit", (event) => {
    if (isSent) event.preventDefault();
    isSent = true;
  });
  addEventListener("pageshow", () => {
    isSent = false;
  });
}

/** Ask the server for the screen where the listener now stands, and show it. */
async function moveOn(from, { shownUntil = 0, failures = 0 } = {}) {
  if (screen !== from) return;
  let page;
  try {
    const response = await fetchInTime(home);
    if (!response.ok) throw new Error(`status ${response.status}`);
    page = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    from.showSaved?.(words.waiting, true);
    setTimeout(() => moveOn(from, { failures: failures + 1 }), Math.min(15_000, 1000 * 2 ** failures));
    return;
  }
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, shownUntil - performance.now())));
  if (screen !== from) return;
  const main = page.getElementById("main");
  if (!main) {
    location.assign(home);
    return;
  }
  document.title = page.title;
  document.getElementById("main").replaceWith(document.adoptNode(main));
  scrollTo(0, 0);
  beginOrGiveUp(main);
}

/** Bring a question that has just appeared above the bar, gliding there unless the reader wants no motion. */
function bringIntoView(question) {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  question.scrollIntoView({ block: "nearest", behavior: isStill ? "instant" : "smooth" });
}

/** Fill the one number of a sentence. */
function fill(sentence, seconds) {
  return sentence.replace("{seconds}", String(seconds));
}

/** Space plays and pauses, 1 to 9 and 0 choose, Enter goes on; keys that fields need stay theirs. */
addEventListener("keydown", (event) => {
  const target = event.target;
  if (!screen?.form || event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
  if (target.closest("textarea, a, summary, input:not([type=radio])")) return;
  const isButton = target.closest("button") !== null;
  if (event.key === " " && screen.player && !isButton) {
    // On a radio that is not yet chosen, Space chooses it, as everywhere.
    if (target.matches("input[type=radio]:not(:checked)")) return;
    event.preventDefault();
    if (!event.repeat) screen.player.toggle();
  } else if (event.key === "Enter" && !isButton) {
    event.preventDefault();
    if (!event.repeat) screen.submit();
  } else if (/^[0-9]$/.test(event.key)) {
    choose(event.key, target);
  }
});

/** Choose by number: in the first question without an answer, then in the one that has the focus. */
function choose(digit, target) {
  const open = [...screen.form.querySelectorAll("fieldset:not([hidden], :disabled)")];
  const question =
    open.find((one) => !one.querySelector("input:checked")) ?? target.closest("fieldset") ?? open.at(-1);
  const choices = [...(question?.querySelectorAll("input[type=radio]:enabled") ?? [])];
  const choice =
    choices.find((one) => one.value === digit) ??
    choices.find((one) => one.value === "10" && digit === "0") ??
    choices[Number(digit) - 1];
  if (!choice || screen.isBusy) return;
  choice.checked = true;
  choice.focus();
  choice.dispatchEvent(new Event("change", { bubbles: true }));
}

addEventListener("visibilitychange", () => {
  if (!screen?.form) return;
  screen.player?.takeHeard();
  outbox.note(document.visibilityState, { trial: screen.trial });
  if (document.visibilityState === "hidden") outbox.leave();
  else outbox.send();
});

addEventListener("pagehide", () => {
  if (!screen?.form) return;
  screen.player?.takeHeard();
  outbox.leave();
});

// A page that the browser brings back from its memory may be long past: the server knows better.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

beginOrGiveUp(document.getElementById("main"));
