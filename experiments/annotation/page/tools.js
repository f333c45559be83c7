// What pointer and cross-hair do to the picture: points, boxes, strokes, zoom and pan.

import { boxOf } from "./marks.js";

const DRAG = 4; // CSS pixels from which on a press is a drag
const LARGEST_RADIUS = 400;
const LONGEST = 4096; // points of a stroke that the session takes at once
const HOW_TO_AIM = "I, J, K and L show the cross-hair.";

export class Tools {
  #press = null; // {id, button, kind, x, y, pixel, negative}
  spaceHeld = false; // space and a drag pan
  spaceUsed = false;

  constructor(state, view, canvas, link, playback) {
    this.state = state;
    this.view = view;
    this.canvas = canvas;
    this.link = link;
    this.playback = playback;
    const listen = (name, handler, options) => canvas.addEventListener(name, handler, options);
    listen("pointerdown", (event) => this.#down(event));
    listen("pointermove", (event) => this.#move(event));
    listen("pointerup", (event) => this.#up(event));
    listen("pointercancel", () => this.abandon());
    listen("pointerleave", () => state.set({ hover: null }));
    listen("contextmenu", (event) => event.preventDefault());
    listen("mousedown", (event) => event.button === 1 && event.preventDefault()); // no autoscroll
    listen("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #at(event) {
    return this.view.inCanvas(event, this.canvas.getBoundingClientRect());
  }

  #down(event) {
    const { state, view } = this;
    if (this.#press || !state.shown) {
      return;
    }
    const [x, y] = this.#at(event);
    const pixel = view.pixelAt(x, y);
    const pan = event.button === 1 || (event.button === 0 && this.spaceHeld);
    const negative = event.button === 2 || event.altKey || event.ctrlKey;
    if (!pan && event.button !== 0 && event.button !== 2) {
      return;
    }
    this.canvas.setPointerCapture(event.pointerId);
    this.playback.stop();
    state.set({ cross: null, corner: null });
    const { pointerId: id, button } = event;
    this.#press = { id, button, kind: "click", x, y, pixel, negative };
    if (pan) {
      this.spaceUsed = this.spaceHeld;
      this.#press.kind = "pan";
      this.canvas.dataset.panning = "";
    } else if (state.tool !== "point" && view.contains(pixel)) {
      this.#press.kind = "stroke";
      const erase = negative || state.tool === "erase";
      state.set({ gesture: { kind: "stroke", stroke: [pixel], erase } });
    }
  }

  #move(event) {
    const { state, view } = this;
    const [x, y] = this.#at(event);
    const pixel = view.pixelAt(x, y);
    const press = this.#press;
    const same = state.hover && state.hover[0] === pixel[0] && state.hover[1] === pixel[1];
    if (!same) {
      state.set({ hover: view.contains(pixel) ? pixel : null });
    }
    if (!press || event.pointerId !== press.id) {
      return;
    }
    const far = Math.hypot(x - press.x, y - press.y) >= DRAG;
    if (press.kind === "pan") {
      view.pan(x - press.x, y - press.y);
      [press.x, press.y] = [x, y];
      state.set({ view: state.view + 1 });
    } else if (press.kind === "stroke") {
      this.#extend(event);
    } else if (press.kind === "box" || (far && press.button === 0 && state.tool === "point")) {
      press.kind = "box";
      const box = boxOf(view.clampPixel(press.pixel), view.clampPixel(pixel));
      state.set({ gesture: { kind: "box", box } });
    } else if (far) {
      press.kind = "nothing"; // a drag with the right button
    }
  }

  /** All places since the last event: a browser gives one event per screen refresh. */
  #extend(event) {
    const { stroke, erase } = this.state.gesture;
    const coalesced = event.getCoalescedEvents?.() ?? [];
    const longer = [...stroke];
    for (const each of coalesced.length ? coalesced : [event]) {
      const pixel = this.view.clampPixel(this.view.pixelAt(...this.#at(each)));
      const [x, y] = longer.at(-1);
      if (pixel[0] !== x || pixel[1] !== y) {
        longer.push(pixel);
      }
    }
    this.state.set({ gesture: { kind: "stroke", stroke: longer, erase } });
  }

  #up(event) {
    const press = this.#press;
    if (!press || event.pointerId !== press.id) {
      return;
    }
    this.#move(event);
    const { gesture } = this.state;
    this.abandon();
    if (press.kind === "stroke") {
      this.#paint(gesture.stroke, gesture.erase);
    } else if (press.kind === "box") {
      this.#box(gesture.box);
    } else if (press.kind === "click" && this.state.tool === "point") {
      if (this.view.contains(press.pixel)) {
        this.#point(press.pixel, !press.negative);
      }
    }
  }

  /** Ends a drag without an edit; says whether there was one. */
  abandon() {
    const press = this.#press;
    this.#press = null;
    delete this.canvas.dataset.panning;
    this.state.set({ gesture: null });
    return press !== null;
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    // A pinch arrives as Ctrl and the wheel, in much smaller steps.
    const speed = event.ctrlKey && Math.abs(event.deltaY) < 50 ? 0.01 : 0.0018;
    this.zoom(Math.exp(-event.deltaY * lines * speed), ...this.#at(event));
  }

  zoom(factor, x, y) {
    this.view.zoom(factor, x, y);
    this.state.set({ view: this.state.view + 1 });
  }

  fit() {
    this.view.fit();
    this.state.set({ view: this.state.view + 1 });
  }

  changeRadius(sign) {
    const { radius } = this.state;
    const step = Math.max(1, Math.round(radius / 5));
    this.state.set({ radius: Math.min(Math.max(radius + sign * step, 1), LARGEST_RADIUS) });
  }

  // The same without a pointer.

  moveCross(dx, dy) {
    const { state, view } = this;
    const { width, height } = state.session.video;
    const [x, y] = state.cross ?? [Math.floor(width / 2), Math.floor(height / 2)];
    // The first key shows the cross-hair where it is.
    const cross = state.cross ? view.clampPixel([x + dx, y + dy]) : [x, y];
    view.reveal(...cross);
    state.set({ cross, hover: null, view: state.view + 1 });
  }

  pointAtCross(positive) {
    const { cross, tool } = this.state;
    if (cross && tool === "point") {
      this.#point(cross, positive);
    } else {
      this.#explain(cross ? "V chooses points and boxes." : HOW_TO_AIM);
    }
  }

  cornerAtCross() {
    const { cross, corner } = this.state;
    if (!cross) {
      this.#explain(HOW_TO_AIM);
    } else if (corner) {
      this.state.set({ corner: null });
      this.#box(boxOf(corner, cross));
    } else {
      this.state.set({ corner: cross });
      this.#explain("Move the cross-hair to the other corner and press B again; Esc leaves it.");
    }
  }

  dabAtCross() {
    const { cross, tool } = this.state;
    if (cross && tool !== "point") {
      this.#paint([cross], tool === "erase");
    } else {
      this.#explain(cross ? "G chooses the brush, E the eraser." : HOW_TO_AIM);
    }
  }

  #explain(text) {
    this.state.say(text);
  }

  #point([x, y], positive) {
    this.#edit("add_point", { x, y, label: positive ? 1 : 0 });
  }

  #box(box) {
    if (box[2] > box[0] && box[3] > box[1]) {
      this.#edit("set_box", { box });
    } else {
      this.#explain("A box needs two corners apart in both directions.");
    }
  }

  #paint(stroke, erase) {
    const { radius } = this.state;
    // Longer ones go in parts: the last point of one is the first of the next.
    for (let from = 0; from === 0 || from < stroke.length - 1; from += LONGEST - 1) {
      this.#edit("paint", { stroke: stroke.slice(from, from + LONGEST), radius, erase });
    }
  }

  /** For the object chosen now and the frame that is seen now, also where another is on its way. */
  #edit(op, values) {
    const { object, shown, pending } = this.state;
    if (shown) {
      this.state.set({ wanted: shown.frame });
      // An object that was asked for and has not come yet is the one that is meant.
      const id = pending.some((each) => each.op === "add_object") ? null : object;
      this.link.edit(op, { id, frame: shown.frame, ...values });
    }
  }
}
