/** One sound at a time: the round button, the ring that fills with time, and which seconds were heard. */

const BATCH_MS = 2000;
const STUCK_MS = 10_000;

export class Player {
  #from = null; // the stretch that is being heard
  #to = null;
  #at = 0;
  #frame = 0;
  #batch = null;
  #stuck = null;
  #gone = new AbortController();

  /**
   * @param {{audio: HTMLAudioElement, button: HTMLButtonElement, source: string, words: DOMStringMap,
   *   bar?: HTMLInputElement,
   *   playWord?: string, started: () => void, note: (kind: string, facts?: object) => void, progress: () => void,
   *   flush: () => void, trouble: (what: string) => void}} options
   */
  constructor(options) {
    Object.assign(this, options);
    this.playWord ??= this.words.play;
    this.secondsHeard = 0; // of this page, repeats counted
    this.firstPlayedAt = null;
    this.ring = this.button.querySelector(".filled");
    this.word = this.button.querySelector(".word");
    const signal = this.#gone.signal;
    const on = (target, kind, listener) => target.addEventListener(kind, listener, { signal });
    on(this.button, "click", () => this.toggle());
    on(this.audio, "playing", () => this.#playing());
    on(this.audio, "waiting", () => this.#show("loading"));
    on(this.audio, "timeupdate", () => this.#listen());
    on(this.audio, "pause", () => this.#paused());
    on(this.audio, "ended", () => this.#ended());
    on(this.audio, "seeking", () => this.#close());
    on(this.audio, "seeked", () => this.#goOn());
    if (this.bar) {
      this.bar.hidden = false;
      on(this.bar, "input", () => this.#seek());
    }
    on(this.audio, "error", () => this.#failed());
    this.#load(this.source);
    this.#show("ready");
  }

  /** Play what is paused, pause what plays. */
  async toggle() {
    // A sound that failed while it was to play is not "paused": pressing again must try again.
    if (!this.audio.paused && !this.audio.ended && !this.audio.error) {
      this.audio.pause();
      return;
    }
    if (this.audio.error || !this.audio.src) this.#load(this.source);
    this.#show("loading");
    clearTimeout(this.#stuck);
    this.#stuck = setTimeout(() => this.#failed("stuck"), STUCK_MS);
    try {
      await this.audio.play();
    } catch (error) {
      clearTimeout(this.#stuck);
      if (error.name === "AbortError" || this.#gone.signal.aborted) return;
      this.note("error", { detail: `play: ${error.name}` });
      this.#show("ready");
      this.trouble(error.name === "NotAllowedError" ? "refused" : "failed");
    }
  }

  /** Stop, and forget the screen that this player belonged to. */
  close() {
    this.audio.pause();
    this.#close();
    clearInterval(this.#batch);
    clearTimeout(this.#stuck);
    cancelAnimationFrame(this.#frame);
    this.#gone.abort();
    if (this.source.startsWith("blob:")) URL.revokeObjectURL(this.source);
  }

  /** Note the stretch heard so far; it goes on from there. */
  takeHeard() {
    if (this.#from !== null && this.#to > this.#from) {
      this.note("heard", { from: round(this.#from), to: round(this.#to) });
      this.#from = this.#to;
    }
  }

  #load(source) {
    this.audio.src = source;
    this.audio.load();
  }

  #playing() {
    clearTimeout(this.#stuck);
    this.firstPlayedAt ??= performance.now();
    this.#close();
    this.#from = this.#to = this.audio.currentTime;
    this.#at = performance.now();
    this.note("play", { from: round(this.audio.currentTime) });
    this.#show("playing");
    clearInterval(this.#batch);
    this.#batch = setInterval(() => {
      this.takeHeard();
      this.flush();
    }, BATCH_MS);
    this.#draw();
    this.started();
  }

  #listen() {
    if (this.#from === null || this.audio.seeking) return;
    const now = performance.now();
    const step = this.audio.currentTime - this.#to;
    if (step < 0 || step > (now - this.#at) / 1000 + 0.5) {
      // Not played but jumped, by some key or gadget that we do not know of.
      this.takeHeard();
      this.note("seek", { from: round(this.#to), to: round(this.audio.currentTime) });
      this.#from = this.audio.currentTime;
    } else {
      this.secondsHeard += step;
    }
    this.#to = this.audio.currentTime;
    this.#at = now;
    this.progress();
  }

  /** Go to where the bar says; what was jumped over does not count as heard. */
  #seek() {
    const { currentTime, duration } = this.audio;
    if (!(duration > 0)) return;
    this.takeHeard();
    this.audio.currentTime = (Number(this.bar.value) / 100) * duration;
    this.note("seek", { from: round(currentTime), to: round(this.audio.currentTime) });
    this.#draw();
  }

  /** A stretch begins where a jump has led to. */
  #goOn() {
    if (this.audio.paused || this.#from !== null) return;
    this.#from = this.#to = this.audio.currentTime;
    this.#at = performance.now();
  }

  #close() {
    if (this.#from === null) return;
    this.takeHeard();
    this.#from = this.#to = null;
  }

  #paused() {
    clearInterval(this.#batch);
    clearTimeout(this.#stuck);
    cancelAnimationFrame(this.#frame);
    if (this.audio.ended) return; // `ended` follows
    this.#listen();
    this.#close();
    this.note("pause", { to: round(this.audio.currentTime) });
    this.#show("ready");
    this.flush();
  }

  #ended() {
    this.#listen();
    this.#close();
    clearInterval(this.#batch);
    this.note("ended", { to: round(this.audio.currentTime) });
    this.button.classList.add("heard");
    this.#draw();
    this.#show("again");
    this.flush();
  }

  #failed(why = "") {
    if (!this.audio.currentSrc && !this.audio.src) return;
    clearTimeout(this.#stuck);
    const code = this.audio.error?.code ?? 0;
    this.note("error", { detail: why || `media error ${code}` });
    this.#show("ready");
    this.trouble("failed");
  }

  #show(state) {
    const words = { playing: this.words.pause, loading: this.words.loading, again: this.words.again };
    this.word.textContent = words[state] ?? this.playWord;
    this.button.classList.toggle("playing", state === "playing");
  }

  #draw() {
    if (!this.ring) return;
    const { currentTime, duration, ended, paused } = this.audio;
    const share = ended ? 1 : duration > 0 && Number.isFinite(duration) ? currentTime / duration : 0;
    if (this.bar) this.bar.value = String(100 * share);
    this.ring.setAttribute("stroke-dasharray", `${(100 * share).toFixed(2)} 200`);
    cancelAnimationFrame(this.#frame);
    if (!paused && !ended) this.#frame = requestAnimationFrame(() => this.#draw());
  }
}

/** Hundredths of a second are enough. */
function round(seconds) {
  return Math.round(seconds * 100) / 100;
}

/** The next sound, fetched while this one plays, so that nobody waits for it. */
export class Preloader {
  #address = "";
  #ready = null;

  /** Start to fetch a sound, unless it is there already. */
  fetch(address) {
    if (!address || address === this.#address) return;
    this.take("");
    this.#address = address;
    fetch(address, { credentials: "same-origin" })
      .then((response) => (response.ok ? response.blob() : null))
      .then((blob) => {
        if (blob && this.#address === address) this.#ready = URL.createObjectURL(blob);
      })
      .catch(() => {
        if (this.#address === address) this.#address = "";
      });
  }

  /** Where to play a sound from: this device if it is here by now, else the server. */
  take(address) {
    const isHere = this.#ready !== null && address === this.#address;
    if (this.#ready && !isHere) URL.revokeObjectURL(this.#ready);
    const source = isHere ? this.#ready : address;
    this.#address = "";
    this.#ready = null;
    return source;
  }
}
