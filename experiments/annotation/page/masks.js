// Turns a label map into colours and outlines. Every mask pixel is exactly one pixel of the video.

const STRIPES = 48; // so many diagonal stripes would cross the shorter side of the video

export class MaskLayer {
  #canvas = document.createElement("canvas");
  #outlines = new Map(); // object -> Path2D in pixels of the video
  #of = null; // what the layer was made from

  get canvas() {
    return this.#canvas;
  }

  get outlines() {
    return this.#outlines;
  }

  /** `objects` of the session; `shown` as in state.js; made anew only where something changed. */
  update(shown, objects, hidden, width, height) {
    const colours = objects.map((object) => object.colour).join();
    const same = this.#of && this.#of.labels === shown.labels && this.#of.hidden === hidden
      && this.#of.colours === colours;
    if (same) {
      return;
    }
    this.#of = { labels: shown.labels, hidden, colours };
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    const context = this.#canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    this.#outlines = new Map();
    const bounds = boundsOf(shown.labels, width, height);
    if (bounds && shown.labels.length === width * height) {
      const table = colourTable(objects, shown.objects, hidden);
      const picture = paint(shown.labels, width, bounds, table, Math.min(width, height));
      context.putImageData(picture, bounds.left, bounds.top);
      this.#outlines = trace(shown.labels, width, height, bounds, hidden);
    }
  }
}

/** Whether a mask is older than what was said since. */
export const isStale = (answer) => answer?.state === "stale";

/** RGBA of each label as one 32-bit number, on a little-endian machine as all browsers run on. */
function colourTable(objects, answers, hidden) {
  const full = new Uint32Array(256);
  const thin = new Uint32Array(256);
  for (const { id, colour } of objects) {
    if (!hidden.has(id)) {
      const rgb = parseInt(colour.slice(1), 16);
      const value = ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16);
      full[id] = (value | 0xff000000) >>> 0;
      thin[id] = isStale(answers[id]) ? (value | 0x38000000) >>> 0 : full[id];
    }
  }
  return { full, thin };
}

function paint(labels, width, { left, top, right, bottom }, { full, thin }, shorter) {
  const period = Math.max(2, Math.round(shorter / STRIPES));
  const image = new ImageData(right - left, bottom - top);
  const out = new Uint32Array(image.data.buffer);
  let at = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++, at++) {
      const label = labels[y * width + x];
      if (label) {
        out[at] = (x + y) % (2 * period) < period ? full[label] : thin[label];
      }
    }
  }
  return image;
}

/** The smallest box around all labels, or null without any. */
function boundsOf(labels, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let first = 0;
    while (first < width && labels[row + first] === 0) {
      first++;
    }
    if (first < width) {
      let last = width - 1;
      while (labels[row + last] === 0) {
        last--;
      }
      left = Math.min(left, first);
      right = Math.max(right, last + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return bottom ? { left, top, right, bottom } : null;
}

/**
 * The edges between pixels of different labels, as long straight lines; a mask at the edge of the
 * frame is open there. Between two objects the line is that of the one below or on the right.
 * One row and one column past the bounds are looked at, where every line has come to its end.
 */
function trace(labels, width, height, { left, top, right, bottom }, hidden) {
  const paths = new Map();
  const line = (label, x0, y0, x1, y1) => {
    if (!hidden.has(label)) {
      if (!paths.has(label)) {
        paths.set(label, new Path2D());
      }
      paths.get(label).moveTo(x0, y0);
      paths.get(label).lineTo(x1, y1);
    }
  };
  const owner = (before, here) => (before === here ? 0 : here || before);
  const upright = new Uint8Array(width + 1); // owner of the vertical line at each x, 0 for none
  const since = new Int32Array(width + 1);
  for (let y = top; y <= bottom; y++) {
    let level = 0; // owner of the horizontal line that is being drawn
    let start = left;
    for (let x = left; x <= right; x++) {
      const inside = x < width && y < height;
      const here = inside ? labels[y * width + x] : 0;
      const above = inside && y > 0 ? labels[(y - 1) * width + x] : here;
      const horizontal = inside ? owner(above, here) : 0;
      if (horizontal !== level) {
        if (level) {
          line(level, start, y, x, y);
        }
        [level, start] = [horizontal, x];
      }
      const before = inside && x > 0 ? labels[y * width + x - 1] : here;
      const vertical = inside ? owner(before, here) : 0;
      if (vertical !== upright[x]) {
        if (upright[x]) {
          line(upright[x], x, since[x], x, y);
        }
        [upright[x], since[x]] = [vertical, y];
      }
    }
  }
  return paths;
}
