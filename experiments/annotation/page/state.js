// What the page knows, in one place; modules watch the fields that they show.

export class State {
  #watchers = [];
  #changed = new Set();

  constructor() {
    // From the server.
    this.connection = "connecting"; // "open", "lost", "denied"
    this.retry = 0; // seconds until the next try, where lost
    this.session = null;
    this.timeline = null;
    this.job = null;
    // What is seen. `shown` is the picture on the screen, which prompts belong to; `wanted` the
    // frame that was asked for, which may still be on its way.
    this.wanted = 0;
    this.shown = null; // {frame, bitmap, labels, objects, revision}
    this.playing = false;
    this.view = 0; // counts changes of zoom, pan and size
    // What the user chose.
    this.object = null;
    this.hidden = new Set();
    this.tool = "point"; // "brush", "erase"
    this.radius = 8; // of brush and eraser, in pixels of the video
    this.opacity = 0.4;
    this.limit = null; // at most so many frames at a time; null: all
    this.follow = true; // the picture follows the tracking that is begun here
    // What is under way.
    this.pending = []; // edits on their way: {op, frame, ...}
    this.following = false; // such tracking is followed, until the user goes elsewhere
    this.hover = null; // pixel under the pointer
    this.cross = null; // pixel of the cross-hair
    this.corner = null; // the first corner of a box by keyboard
    this.gesture = null; // {kind: "box" | "stroke", ...}
    this.message = { kind: "info", text: "" };
  }

  set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (this[name] !== value) {
        this[name] = value;
        if (this.#changed.size === 0) {
          queueMicrotask(() => this.#tell());
        }
        this.#changed.add(name);
      }
    }
  }

  /** Calls back once for any number of changes of these fields, soon after them. */
  watch(names, callback) {
    this.#watchers.push([names, callback]);
  }

  say(text, kind = "info") {
    this.set({ message: { kind, text: text.charAt(0).toUpperCase() + text.slice(1) } });
  }

  get frames() {
    return this.session?.video.frames ?? 1;
  }

  get frame() {
    return this.shown?.frame ?? this.wanted;
  }

  objectById(id) {
    return this.session?.objects.find((object) => object.id === id);
  }

  #tell() {
    const changed = this.#changed;
    this.#changed = new Set();
    for (const [names, callback] of this.#watchers) {
      if (names.some((name) => changed.has(name))) {
        callback();
      }
    }
  }
}

export const nameOf = (object) => object.name || `Object ${object.id}`;
