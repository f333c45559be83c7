// Brings frames and masks from the server, keeps some of them, and puts one on the screen.

const BYTES = 400e6; // of decoded frames and masks that are kept

export class Frames {
  #state;
  #api;
  #kept = new Map(); // frame -> {bitmap, masks}; the least recently used comes first
  #loading = new Map(); // frame -> promise
  #busy = false;

  constructor(state, api) {
    this.#state = state;
    this.#api = api;
    state.watch(["session", "connection"], () => this.#pump());
  }

  /** Asks for a frame; where many are asked for in a row, as by a held key, some are left out. */
  goTo(frame) {
    const wanted = Math.min(Math.max(Math.round(frame), 0), this.#state.frames - 1);
    this.#state.set({ wanted });
    this.#pump();
  }

  /** Loads a frame and its masks, unless they are here. */
  load(frame) {
    const revision = this.#state.session.revision;
    if (this.#upToDate(this.#kept.get(frame), revision)) {
      return Promise.resolve();
    }
    if (!this.#loading.has(frame)) {
      const done = () => this.#loading.delete(frame);
      this.#loading.set(frame, this.#fetch(frame, revision).finally(done));
    }
    return this.#loading.get(frame);
  }

  get underWay() {
    return this.#loading.size;
  }

  /** Whether the frame can be shown at once. While masks change all the time older ones will do. */
  ready(frame) {
    const kept = this.#kept.get(frame);
    return kept && (this.#state.job || this.#upToDate(kept, this.#state.session.revision));
  }

  show(frame) {
    const kept = this.#kept.get(frame);
    this.#kept.delete(frame);
    this.#kept.set(frame, kept); // now the most recently used
    this.#state.set({ shown: { frame, bitmap: kept.bitmap, ...kept.masks } });
  }

  #upToDate(kept, revision) {
    return kept !== undefined && kept.revision >= revision;
  }

  async #fetch(frame, revision) {
    const before = this.#kept.get(frame);
    const [bitmap, masks] = await Promise.all([
      before?.bitmap ?? this.#api.frame(frame),
      this.#api.masks(frame),
    ]);
    // They are at least as new as what was known when they were asked for.
    this.#kept.delete(frame);
    this.#kept.set(frame, { bitmap, masks, revision: Math.max(revision, masks.revision || 0) });
    this.#forget();
  }

  #forget() {
    const each = 5 * this.#state.session.video.width * this.#state.session.video.height;
    const most = Math.max(12, Math.floor(BYTES / each));
    for (const [frame, { bitmap }] of this.#kept) {
      if (this.#kept.size <= most) {
        return;
      }
      // Nor the picture of one whose masks are on their way: it is used again when they are here.
      if (frame !== this.#state.shown?.frame && !this.#loading.has(frame)) {
        this.#kept.delete(frame);
        bitmap.close();
      }
    }
  }

  /** After a restart of the server its revisions count anew, so what was kept says nothing. */
  forgetMasks() {
    for (const kept of this.#kept.values()) {
      kept.revision = -1;
    }
  }

  async #pump() {
    const state = this.#state;
    if (this.#busy || !state.session || state.connection !== "open") {
      return;
    }
    this.#busy = true;
    let frame = state.wanted;
    try {
      while (!this.#settled()) {
        frame = state.wanted;
        await this.load(frame);
        this.show(frame);
      }
    } catch (error) {
      state.set({ wanted: state.shown?.frame ?? state.wanted });
      state.say(`Frame ${frame} could not be loaded. ${error.message}`, "error");
    } finally {
      this.#busy = false;
    }
  }

  #settled() {
    const { shown, wanted, session } = this.#state;
    const kept = this.#kept.get(wanted);
    return shown?.frame === wanted && shown.labels === kept?.masks.labels
      && this.#upToDate(kept, session.revision);
  }
}
