// Keeps the page in step with the server: events in, edits and jobs out, what fails is said.

import { nameOf } from "./state.js";

const SLOW = 2000; // milliseconds after which an edit must be waiting for a compilation
const COMPILING = "Working. The first prompt compiles the model, which can take a minute.";

export class Link {
  #state;
  #api;
  #frames;
  #queue = Promise.resolve();
  #timelineBusy = false;
  #afterTracking = null; // what follows once tracking has ended well
  onExportRefused = () => {};

  constructor(state, api, frames) {
    this.#state = state;
    this.#api = api;
    this.#frames = frames;
    state.watch(["session", "connection"], () => this.#updateTimeline());
  }

  follow(onFirst) {
    let fresh = true; // the next session is the first of this connection
    return this.#api.follow({
      open: () => this.#state.set({ connection: "open" }),
      lost: (retry) => {
        fresh = true;
        this.#state.set({ connection: "lost", retry, job: null });
      },
      denied: () => this.#state.set({ connection: "denied" }),
      event: (event) => {
        if (event.type === "session" && fresh) {
          fresh = false;
          this.#frames.forgetMasks();
          this.#state.set({ timeline: null });
          const first = this.#state.session === null;
          this.#accept(event.session, true);
          if (first) {
            onFirst();
          }
        } else {
          this.#receive(event);
        }
      },
    });
  }

  #receive(event) {
    const state = this.#state;
    if (event.type === "session") {
      this.#accept(event.session);
    } else if (event.type === "job") {
      state.set({ job: event.job });
    } else if (event.type === "tracked" && state.following && !state.playing) {
      this.#frames.goTo(event.frame);
    } else if (event.type === "done") {
      this.#finish(event);
    }
  }

  /** Answers and events overtake each other: what is older than what is known is left out. */
  #accept(session, anyway = false) {
    const state = this.#state;
    if (!anyway && state.session && session.revision < state.session.revision) {
      return;
    }
    state.set({ session, job: session.job });
    if (!state.objectById(state.object)) {
      state.set({ object: session.objects[0]?.id ?? null });
    }
  }

  #finish({ kind, message, result, error, cancelled }) {
    const state = this.#state;
    state.set({ job: null });
    const next = this.#afterTracking;
    this.#afterTracking = null;
    if (error) {
      state.say(error, "error");
    } else if (kind === "export" && result && !cancelled) {
      const names = result.files.map((file) => file.split(/[/\\]/).at(-1));
      state.say(`Exported ${names.join(", ")} to ${result.folder}`, "good");
    } else {
      state.say(message || (cancelled ? "Stopped." : "Done."), cancelled ? "info" : "good");
      if (kind === "track" && !cancelled) {
        next?.();
      }
    }
  }

  async #updateTimeline() {
    const state = this.#state;
    if (this.#timelineBusy || state.connection !== "open" || !state.session) {
      return;
    }
    this.#timelineBusy = true;
    try {
      while (!state.timeline || state.timeline.revision < state.session.revision) {
        const asked = state.session.revision;
        const timeline = await this.#api.timeline();
        state.set({ timeline: { ...timeline, revision: Math.max(timeline.revision, asked) } });
        // While tracking it is always new, and of a long video it is not small.
        await new Promise((resolve) => setTimeout(resolve, state.job ? 500 : 200));
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#timelineBusy = false;
    }
  }

  /**
   * Sends an edit after those before it. An edit without an object, as the first click, is for the
   * object that the one before it has made, if it has.
   */
  edit(op, values = {}) {
    const edit = { op, values };
    this.#state.set({ pending: [...this.#state.pending, edit] });
    this.#queue = this.#queue.then(() => this.#send(edit));
    return this.#queue;
  }

  async #send(edit) {
    const state = this.#state;
    const values = { ...edit.values };
    if ("id" in values) {
      values.id ??= state.object;
    }
    const slow = setTimeout(() => state.say(COMPILING, "busy"), SLOW);
    try {
      const { result, session, milliseconds } = await this.#api.edit(edit.op, values);
      this.#accept(session);
      if (edit.op === "add_object" || ("id" in values && values.id === null)) {
        state.set({ object: result });
      }
      state.say(`${describe(edit, state)} (${Math.round(milliseconds)} ms)`);
      if (edit.op === "undo" || edit.op === "redo") {
        if (result !== null) {
          this.#frames.goTo(result);
        }
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      clearTimeout(slow);
      state.set({ pending: state.pending.filter((other) => other !== edit) });
    }
  }

  /** `then` is called once tracking has come to its end, not if it fails or is cancelled. */
  async track(direction, frames, then = null) {
    // Before the request: a short job can be done before its answer is here.
    this.#afterTracking = then;
    this.#state.set({ following: this.#state.follow });
    this.#state.say("Tracking. Esc stops it; what is done stays.");
    try {
      await this.#api.track(direction, frames);
    } catch (error) {
      this.#afterTracking = null;
      this.#fail(error);
    }
  }

  async cancel() {
    this.#afterTracking = null;
    try {
      await this.#api.cancel();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Whether masks are out of date now; the page may not have heard of the last ones tracked. */
  async hasStale() {
    const { objects } = await this.#api.timeline();
    return Object.values(objects).some((object) => object.stale.length > 0);
  }

  async export(formats, name, allowStale) {
    this.#state.say("Exporting.");
    try {
      await this.#api.export(formats, name, allowStale);
    } catch (error) {
      if (error.status === 409 && error.body.stale) {
        this.onExportRefused(error.body.stale);
      } else {
        this.#fail(error);
      }
    }
  }

  look(frame) {
    // Only to be quicker at the next click: if it fails, that click says why.
    this.#api.look(frame).catch(() => {});
  }

  #fail(error) {
    if (error.status === 403) {
      this.#state.set({ connection: "denied" });
    } else {
      this.#state.say(error.message, "error");
    }
  }
}

function describe({ op, values }, state) {
  const object = state.objectById(values.id ?? state.object);
  const name = object ? nameOf(object) : "";
  return {
    add_object: `Added ${name}; click on it in the picture`,
    rename_object: `Renamed to ${name}`,
    remove_object: "Removed; Undo brings it back",
    add_point: `Point ${values.label === 1 ? "on" : "off"} ${name}`,
    set_box: `Box around ${name}`,
    paint: `${values.erase ? "Erased from" : "Painted"} ${name}`,
    clear_prompts: `Took back the prompts of ${name} on this frame`,
    undo: "Undone",
    redo: "Redone",
  }[op];
}
