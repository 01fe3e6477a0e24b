/**
 * Answers and events on their way to the server.
 *
 * Everything is written to this device first and taken off it when the server has said that it has it,
 * so a lost connection, a reload or a restarted server costs nothing. The server drops repeats.
 */

const LONGEST_WAIT_MS = 15_000;
const PATIENCE_MS = 12_000;
const EVENTS_PER_BATCH = 100;

/** localStorage where the browser allows it, else the memory of this page. */
class Store {
  #memory = new Map();

  read(key) {
    try {
      return JSON.parse(localStorage.getItem(key) ?? "null") ?? this.#memory.get(key) ?? null;
    } catch {
      return this.#memory.get(key) ?? null;
    }
  }

  write(key, value) {
    this.#memory.set(key, value);
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Private windows may refuse; the memory has it.
    }
  }

  remove(key) {
    this.#memory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch {
      // Nothing was written there.
    }
  }

  keys(prefix) {
    let kept = [];
    try {
      kept = Object.keys(localStorage);
    } catch {
      // Only the memory then.
    }
    return [...new Set([...kept, ...this.#memory.keys()])].filter((key) => key.startsWith(prefix));
  }
}

/** The server could not be reached, or was not itself; to be tried again. */
class Unreachable extends Error {}

export class Outbox {
  #store = new Store();
  #sending = null;
  #timer = null;
  #failures = 0;
  #sequence = 0;
  #started = performance.now();
  #heardSent = new Map(); // of each trial, the seconds that the server was told of

  /**
   * @param {{home: string, eventsUrl: string, token: () => string, report: (what: string, facts: object) => void}} options
   *   `report` is told: "heard" (with the server's seconds left), "saved", "refused", "waiting", "lost".
   */
  constructor({ home, eventsUrl, token, report }) {
    this.home = home;
    this.prefix = `earwitness ${home} `;
    this.eventsUrl = eventsUrl;
    this.token = token;
    this.report = report;
    this.page = randomId();
    addEventListener("online", () => this.send());
  }

  /** Note something that this page did. */
  note(kind, { trial = null, from = null, to = null, detail = "" } = {}) {
    const key = `${this.prefix}events ${this.page}`;
    const kept = this.#store.read(key) ?? { trial, events: [] };
    kept.trial = trial ?? kept.trial;
    kept.events.push({
      sequence: this.#sequence++,
      kind,
      trial,
      from_seconds: from,
      to_seconds: to,
      detail: String(detail).slice(0, 200),
      client_ms: Math.round(performance.now() - this.#started),
    });
    this.#store.write(key, kept);
  }

  /** The answer to an address that waits on this device, or null. */
  waiting(url) {
    return this.#store.read(`${this.prefix}answer ${url}`);
  }

  /** All answers that wait on this device, of whichever tab, in the order in which they were given. */
  get #answers() {
    const answers = this.#store.keys(`${this.prefix}answer `).map((key) => this.#store.read(key));
    return answers.filter((answer) => answer !== null).sort((one, other) => one.at - other.at);
  }

  /** Keep an answer until the server has it. Another tab's answer to the same question stands: then false. */
  keep(url, fields) {
    if (this.waiting(url)) return false;
    this.#store.write(`${this.prefix}answer ${url}`, { url, fields, at: Date.now() });
    return true;
  }

  /** Take everything of this study off this device. */
  forget() {
    for (const key of this.#store.keys(this.prefix)) this.#store.remove(key);
  }

  /** Seconds of a trial that the server was told of since this page was loaded, repeats counted. */
  toldOf(trial) {
    return this.#heardSent.get(trial) ?? 0;
  }

  /** Send all that waits: events first, since an answer may need them. One sending at a time. */
  send() {
    clearTimeout(this.#timer);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null;
    });
    return this.#sending;
  }

  /** The page may go: hand its events to the browser, which sends them without us. */
  leave() {
    const kept = this.#store.read(`${this.prefix}events ${this.page}`);
    if (!kept?.events.length) return;
    const fields = this.#batch(this.page, kept.trial, kept.events.slice(0, EVENTS_PER_BATCH));
    navigator.sendBeacon?.(this.eventsUrl, new URLSearchParams({ ...fields, csrfmiddlewaretoken: this.token() }));
  }

  #batch(page, trial, events) {
    return { page, trial: trial ?? "", events: JSON.stringify(events) };
  }

  async #sendAll() {
    try {
      for (const key of this.#store.keys(`${this.prefix}events `)) await this.#sendEvents(key);
      for (const answer of this.#answers) {
        const reply = await this.#post(answer.url, answer.fields);
        this.#store.remove(`${this.prefix}answer ${answer.url}`);
        this.report(reply.ok ? "saved" : "refused", { ...reply.facts, url: answer.url });
      }
      this.#failures = 0;
    } catch (error) {
      if (!(error instanceof Unreachable)) console.error(error); // a fault of ours: nothing is lost by trying again
      this.#failures += 1;
      const wait = Math.min(LONGEST_WAIT_MS, 1000 * 2 ** (this.#failures - 1));
      this.#timer = setTimeout(() => this.send(), wait);
      this.report("waiting", {});
    }
  }

  async #sendEvents(key) {
    const page = key.split(" ").at(-1);
    for (;;) {
      const kept = this.#store.read(key);
      if (!kept?.events?.length) {
        if (page !== this.page) this.#store.remove(key);
        return;
      }
      const events = kept.events.slice(0, EVENTS_PER_BATCH);
      const reply = await this.#post(this.eventsUrl, this.#batch(page, kept.trial, events));
      const sent = new Set(events.map((event) => event.sequence));
      if (reply.status === 410) {
        this.forget(); // nobody whom the server knows: they withdrew
        this.report("lost", {});
        return;
      }
      const now = this.#store.read(key) ?? kept;
      now.events = now.events.filter((event) => !sent.has(event.sequence));
      this.#store.write(key, now);
      if (page !== this.page) continue;
      for (const event of events) {
        if (event.kind !== "heard") continue;
        const before = this.#heardSent.get(event.trial) ?? 0;
        this.#heardSent.set(event.trial, before + event.to_seconds - event.from_seconds);
      }
      if (reply.ok) this.report("heard", { ...reply.facts, trial: kept.trial, told: this.toldOf(kept.trial) });
    }
  }

  /** Post, and give the server's reply; Unreachable where there is none that could be meant. */
  async #post(url, fields, mayRenew = true) {
    let response;
    try {
      response = await fetchInTime(url, {
        method: "POST",
        body: new URLSearchParams({ ...fields, csrfmiddlewaretoken: this.token() }),
        headers: { Accept: "application/json" },
      });
    } catch (error) {
      throw new Unreachable(String(error));
    }
    if (response.status === 403 && mayRenew) {
      await this.#renewToken();
      return this.#post(url, fields, false);
    }
    if (response.status >= 500 || response.status === 408 || response.status === 429) {
      throw new Unreachable(`status ${response.status}`);
    }
    let facts = {};
    try {
      facts = await response.json();
    } catch {
      // Somebody between us and the server answered, such as the sign-in page of a network.
      if (response.ok) throw new Unreachable("not the server's answer");
    }
    return { ok: response.ok, status: response.status, facts };
  }

  /** The form's token went stale: take the one of a fresh page. */
  async #renewToken() {
    try {
      const response = await fetchInTime(this.home);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.querySelector("[name=csrfmiddlewaretoken]")?.value;
      if (!fresh) return;
      for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = fresh;
    } catch (error) {
      throw new Unreachable(String(error));
    }
  }
}

/** Fetch from our own server, and give up after a while. */
export function fetchInTime(address, options = {}) {
  const late = new AbortController(); // AbortSignal.timeout is younger than many phones
  setTimeout(() => late.abort(), PATIENCE_MS);
  return fetch(address, { ...options, credentials: "same-origin", signal: late.signal });
}

/** 16 random letters and digits. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
