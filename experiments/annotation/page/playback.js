// Plays by the clock: what is not here in time is left out, so that the speed is right.

const AT_ONCE = 4; // requests on their way

export class Playback {
  #start = 0; // when frame #from was due
  #from = 0;
  #took = 100; // milliseconds that a frame takes to come, about
  #failed = false;

  constructor(state, frames) {
    this.state = state;
    this.frames = frames;
  }

  toggle() {
    if (this.state.playing) {
      this.stop();
    } else {
      this.#begin();
    }
  }

  stop() {
    if (this.state.playing) {
      this.state.set({ playing: false });
      this.frames.goTo(this.state.frame);
    }
  }

  #begin() {
    const { state } = this;
    if (!state.shown || state.frames === 1) {
      return;
    }
    const last = state.frames - 1;
    this.#from = state.frame === last ? 0 : state.frame;
    this.#start = performance.now();
    this.#failed = false;
    state.set({ playing: true });
    requestAnimationFrame(() => this.#tick());
  }

  #tick() {
    const { state, frames } = this;
    if (!state.playing) {
      return;
    }
    if (this.#failed || state.connection !== "open") {
      this.stop();
      return;
    }
    const { fps } = state.session.video;
    const last = state.frames - 1;
    const due = this.#from + Math.floor(((performance.now() - this.#start) * fps) / 1000);
    this.#showNewest(Math.min(due, last));
    if (state.frame === last && due >= last) {
      this.stop();
      return;
    }
    // Those that will be due when they are here.
    const ahead = Math.ceil((this.#took * fps) / 1000);
    const first = frames.ready(due + 1) ? due + 1 : due + Math.max(1, ahead);
    for (let next = first; next <= first + 2 * AT_ONCE && frames.underWay < AT_ONCE; next++) {
      this.#prefetch(Math.min(next, last));
    }
    requestAnimationFrame(() => this.#tick());
  }

  /** The newest that is here, not before the one on the screen: if it is late, better than none. */
  #showNewest(due) {
    const { state, frames } = this;
    const oldest = this.#from === 0 && state.frame > due ? 0 : state.frame + 1;
    for (let frame = due; frame >= oldest && frame > due - 100; frame--) {
      if (frames.ready(frame)) {
        state.set({ wanted: frame });
        frames.show(frame);
        return;
      }
    }
  }

  async #prefetch(frame) {
    if (this.frames.ready(frame)) {
      return;
    }
    const start = performance.now();
    try {
      await this.frames.load(frame);
      this.#took = 0.8 * this.#took + 0.2 * (performance.now() - start);
    } catch (error) {
      this.#failed = true;
      this.state.say(`Playing stopped. ${error.message}`, "error");
    }
  }
}
