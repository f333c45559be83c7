// The picture: the frame, masks over it, and what marks.js draws; at most once per screen refresh.

import { MaskLayer, isStale } from "./masks.js";
import { drawCross, drawGesture, drawPointer, drawPrompts } from "./marks.js";

const SHOWN_BY = [
  "shown", "session", "object", "hidden", "opacity", "tool", "radius", "pending", "hover", "cross",
  "corner", "gesture", "view",
];

export class Picture {
  #canvas;
  #context;
  #layer = new MaskLayer();
  #asked = false;

  constructor(state, view, canvas) {
    this.state = state;
    this.view = view;
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    state.watch(SHOWN_BY, () => this.#ask());
    this.#followSize();
  }

  #followSize() {
    const observer = new ResizeObserver(() => this.#measure());
    observer.observe(this.#canvas.parentElement);
    // A window that moves to another screen may keep its size in CSS pixels.
    const watchRatio = () => {
      const query = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
      query.addEventListener("change", () => {
        this.#measure();
        watchRatio();
      }, { once: true });
    };
    watchRatio();
    this.#measure();
  }

  /**
   * One stored pixel for each of the device. Where a pixel of the device is no whole number of CSS
   * pixels the room for the canvas ends between two: it is laid on those that are wholly inside, or
   * the browser would resample it.
   */
  #measure() {
    const room = this.#canvas.parentElement.getBoundingClientRect();
    const ratio = window.devicePixelRatio;
    const left = Math.ceil(room.left * ratio);
    const top = Math.ceil(room.top * ratio);
    const width = layable(Math.floor(room.right * ratio) - left, ratio);
    const height = layable(Math.floor(room.bottom * ratio) - top, ratio);
    if (width > 0 && height > 0) {
      const { style } = this.#canvas;
      style.left = `${left / ratio - room.left}px`;
      style.top = `${top / ratio - room.top}px`;
      style.width = `${width / ratio}px`;
      style.height = `${height / ratio}px`;
      this.#canvas.width = width;
      this.#canvas.height = height;
      this.view.resize(width, height, ratio);
      this.state.set({ view: this.state.view + 1 });
      this.#draw(); // a canvas with a new size is empty: not one refresh without a picture
    }
  }

  #ask() {
    if (!this.#asked) {
      this.#asked = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  #draw() {
    this.#asked = false;
    const { state, view } = this;
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#0b0d0f";
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    if (!state.shown || !state.session) {
      return;
    }
    const { width, height } = state.session.video;
    view.useVideoPixels(context);
    context.imageSmoothingEnabled = !view.crisp;
    context.imageSmoothingQuality = "medium";
    context.drawImage(state.shown.bitmap, 0, 0, width, height);
    this.#layer.update(state.shown, state.session.objects, state.hidden, width, height);
    context.imageSmoothingEnabled = false;
    context.globalAlpha = state.opacity;
    context.drawImage(this.#layer.canvas, 0, 0);
    context.globalAlpha = 1;
    this.#drawOutlines(context);
    view.useCssPixels(context);
    drawPrompts(context, view, state);
    drawGesture(context, view, state);
    drawPointer(context, view, state);
    drawCross(context, view, state);
    this.#canvas.dataset.drawn = `${state.shown.frame}:${state.shown.revision}`;
  }

  #drawOutlines(context) {
    const { state, view } = this;
    context.lineCap = "square";
    for (const object of state.session.objects) {
      const path = this.#layer.outlines.get(object.id);
      if (path) {
        const width = object.id === state.object ? 2.25 : 1.5;
        const stale = isStale(state.shown.objects[object.id]);
        context.lineWidth = (width + 1.5) / view.scale;
        context.strokeStyle = stale ? "rgba(0, 0, 0, 0.2)" : "rgba(0, 0, 0, 0.4)";
        context.stroke(path);
        context.lineWidth = width / view.scale;
        context.strokeStyle = object.colour;
        context.stroke(path);
      }
    }
  }
}

/** The next smaller number of device pixels that layout, which counts in 64ths, can lay exactly. */
function layable(size, ratio) {
  const isExact = (each) => Math.abs((each / ratio) * 64 - Math.round((each / ratio) * 64)) < 1e-3;
  for (let each = size; each > size - 16; each--) {
    if (isExact(each)) {
      return each;
    }
  }
  return size;
}
