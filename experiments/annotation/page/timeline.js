// The timeline: a ruler, and one row per object. It draws runs, so its length costs nothing.

import { nameOf } from "./state.js";

const ROW = 18; // CSS pixels, as in style.css
const BAR = [5, 8]; // top and height of a bar in its row
const TEXT = "#b4bfc7";
const WARNING = "#ffc53d";

export class Timeline {
  #hover = null;
  #asked = false;
  #hatches = new Map();
  #sizes = new Map(); // canvas -> [width, height] in CSS pixels

  constructor(state, elements, goTo) {
    this.state = state;
    this.elements = elements; // {slider, ruler, rows, labels}
    this.goTo = goTo;
    this.ruler = elements.ruler.getContext("2d");
    this.rows = elements.rows.getContext("2d");
    state.watch(["session", "object", "hidden"], () => this.#labelRows());
    state.watch(["session", "timeline", "wanted", "shown", "object", "hidden"], () => this.#ask());
    const observer = new ResizeObserver(() => this.#ask());
    observer.observe(elements.slider);
    this.#listen();
  }

  #listen() {
    const { slider } = this.elements;
    const frameAt = (event) => {
      const box = this.elements.ruler.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      return Math.min(Math.max(Math.floor(share * this.state.frames), 0), this.state.frames - 1);
    };
    let dragging = false;
    slider.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && this.state.session) {
        dragging = true;
        slider.setPointerCapture(event.pointerId);
        this.goTo(frameAt(event));
      }
    });
    slider.addEventListener("pointermove", (event) => {
      this.#hover = frameAt(event);
      this.#ask();
      if (dragging) {
        this.goTo(frameAt(event));
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      slider.addEventListener(name, () => {
        dragging = false;
      });
    }
    slider.addEventListener("pointerleave", () => {
      this.#hover = null;
      this.#ask();
    });
    slider.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** The names on the left, each a button that chooses its object. */
  #labelRows() {
    const { state, elements } = this;
    const wanted = state.session.objects;
    while (elements.labels.children.length > wanted.length) {
      elements.labels.lastElementChild.remove();
    }
    wanted.forEach((object, i) => {
      let label = elements.labels.children[i];
      if (!label) {
        label = document.createElement("button");
        label.type = "button";
        label.tabIndex = -1; // the list of objects has the same buttons
        label.addEventListener("click", () => state.set({ object: Number(label.dataset.object) }));
        elements.labels.append(label);
      }
      const name = `${object.id} ${nameOf(object)}`;
      label.dataset.object = object.id;
      label.textContent = object.name ? name : `${object.id}`;
      label.title = name;
      label.setAttribute("aria-label", `Choose ${nameOf(object)}`);
      const chosen = object.id === state.object;
      if (chosen && !label.classList.contains("chosen")) {
        label.scrollIntoView({ block: "nearest" });
      }
      label.classList.toggle("chosen", chosen);
    });
  }

  #ask() {
    if (!this.#asked) {
      this.#asked = true;
      requestAnimationFrame(() => this.#draw());
    }
  }

  /** As large as its box in device pixels; then drawn in CSS pixels. */
  #clear(context, height) {
    const { canvas } = context;
    const ratio = window.devicePixelRatio;
    const width = this.elements.slider.clientWidth;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    this.#sizes.set(canvas, [width, height]);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  #x(frame) {
    return (frame * this.#sizes.get(this.elements.ruler)[0]) / this.state.frames;
  }

  #draw() {
    this.#asked = false;
    const { state, elements } = this;
    if (!state.session) {
      return;
    }
    const objects = state.session.objects;
    elements.rows.style.height = `${Math.max(objects.length, 1) * ROW}px`;
    this.#clear(this.ruler, elements.ruler.clientHeight);
    this.#clear(this.rows, Math.max(objects.length, 1) * ROW);
    objects.forEach((object, i) => this.#drawRow(object, i * ROW));
    this.#drawRuler();
    elements.slider.setAttribute("aria-valuemax", state.frames - 1);
    elements.slider.setAttribute("aria-valuenow", state.wanted);
    elements.slider.setAttribute("aria-valuetext", `Frame ${state.wanted} of ${state.frames - 1}`);
  }

  #drawRow(object, top) {
    const { state, rows } = this;
    const [width] = this.#sizes.get(this.elements.rows);
    const runs = state.timeline?.objects[object.id];
    rows.globalAlpha = state.hidden.has(object.id) ? 0.35 : 1;
    rows.fillStyle = object.id === state.object ? "#29323a" : "#1a2025";
    rows.fillRect(0, top + 1, width, ROW - 2);
    if (runs) {
      const [y, high] = [top + BAR[0], BAR[1]];
      rows.fillStyle = object.colour;
      if (runs.fresh) {
        this.#fillRuns([runs.fresh], y + high / 2 - 1, 2);
      }
      this.#fillRuns(runs.present, y, high);
      rows.fillStyle = "#1a2025"; // what is out of date has no solid bar
      this.#fillRuns(runs.stale, y, high);
      rows.fillStyle = this.#hatch(object.colour);
      this.#fillRuns(runs.stale, y, high);
      this.#drawWarnings(runs.low, top);
    }
    this.#drawPrompts(object.prompts, top + ROW / 2);
    rows.globalAlpha = 1;
  }

  #fillRuns(runs, y, height) {
    let reached = -1; // runs within a pixel that is filled already are left out
    for (const [first, last] of runs) {
      const [from, to] = [this.#x(first), this.#x(last + 1)];
      if (to > reached) {
        reached = Math.max(to, from + 1);
        this.rows.fillRect(from, y, reached - from, height);
      }
    }
  }

  #drawWarnings(runs, top) {
    const { rows } = this;
    rows.fillStyle = WARNING;
    this.#fillRuns(runs, top + 1, 2);
    let reached = -Infinity;
    for (const [first, last] of runs) {
      const middle = (this.#x(first) + this.#x(last + 1)) / 2;
      if (middle >= reached) {
        reached = middle + 10;
        rows.beginPath();
        rows.moveTo(middle - 5, top + 1);
        rows.lineTo(middle + 5, top + 1);
        rows.lineTo(middle, top + 8);
        rows.closePath();
        rows.lineWidth = 2;
        rows.strokeStyle = "#000000";
        rows.stroke();
        rows.fill();
      }
    }
  }

  #drawPrompts(prompts, y) {
    const { rows } = this;
    let reached = -Infinity;
    for (const { frame, correction } of prompts) {
      const x = this.#x(frame + 0.5);
      if (x >= reached) {
        reached = x + 1;
        rows.beginPath();
        rows.moveTo(x, y - 5);
        rows.lineTo(x + 5, y);
        rows.lineTo(x, y + 5);
        rows.lineTo(x - 5, y);
        rows.closePath();
        rows.lineWidth = 3;
        rows.strokeStyle = "#000000";
        rows.stroke();
        rows.lineWidth = 1.5;
        rows.strokeStyle = "#ffffff";
        rows.stroke();
        rows.fillStyle = correction ? "#000000" : "#ffffff";
        rows.fill();
      }
    }
  }

  #hatch(colour) {
    if (!this.#hatches.has(colour)) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 6;
      const context = tile.getContext("2d");
      context.strokeStyle = colour;
      context.lineWidth = 1.6;
      for (const shift of [-6, 0, 6]) {
        context.moveTo(shift - 1, 7);
        context.lineTo(shift + 7, -1);
      }
      context.stroke();
      this.#hatches.set(colour, this.rows.createPattern(tile, "repeat"));
    }
    return this.#hatches.get(colour);
  }

  #drawRuler() {
    const { ruler, state } = this;
    const [width, height] = this.#sizes.get(this.elements.ruler);
    ruler.font = "11px system-ui, sans-serif";
    ruler.textBaseline = "middle";
    ruler.fillStyle = TEXT;
    const step = roundStep((state.frames * 70) / width);
    for (let frame = 0; frame < state.frames; frame += step) {
      const x = this.#x(frame);
      ruler.fillRect(x, height - 5, 1, 5);
      const text = frame.toLocaleString("en");
      if (x + ruler.measureText(text).width + 4 < width) {
        ruler.fillText(text, x + 4, height / 2 - 1);
      }
    }
    if (this.#hover !== null) {
      this.#drawHead(this.#hover, "#3a444d", TEXT, false);
    }
    this.#drawHead(state.wanted, "#ffffff", "#000000", true);
  }

  /** A frame with its number on a plate, and its line through the rows. */
  #drawHead(frame, colour, ink, through) {
    const { ruler, rows } = this;
    const [width, height] = this.#sizes.get(this.elements.ruler);
    const middle = this.#x(frame + 0.5);
    const text = frame.toLocaleString("en");
    const wide = ruler.measureText(text).width + 10;
    const left = Math.min(Math.max(middle - wide / 2, 0), width - wide);
    ruler.fillStyle = colour;
    ruler.fillRect(left, 0, wide, height - 3);
    ruler.fillRect(middle - 1, height - 3, 2, 3);
    ruler.fillStyle = ink;
    ruler.fillText(text, left + 5, height / 2 - 1);
    if (through) {
      const cell = this.#x(1);
      rows.fillStyle = "rgba(255, 255, 255, 0.14)";
      rows.fillRect(this.#x(frame), 0, cell, rows.canvas.height);
      rows.fillStyle = "#ffffff";
      rows.fillRect(middle - 0.75, 0, 1.5, rows.canvas.height);
    }
  }
}

/** The smallest of 1, 2, 5, 10, 20, ... that is not less. */
function roundStep(least) {
  let step = 1;
  while (step < least) {
    step *= String(step).startsWith("2") ? 2.5 : 2;
  }
  return step;
}
