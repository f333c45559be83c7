// The one mapping between the pointer, the screen and the pixels of the video.
//
// Three kinds of pixels: of the video, CSS pixels (what pointer events and layout count in) and
// device pixels (what the canvas stores); `ratio` device pixels make one CSS pixel. `scale` is CSS
// pixels per video pixel; `left` and `top` are where the video's corner lies in the canvas, in CSS
// pixels. Nothing here touches the document, so every other module can only ask.

const LARGEST = 64; // CSS pixels per video pixel
const CRISP = 3; // from this scale on video pixels are shown as squares
const KEPT = 48; // so many CSS pixels of the video always stay in sight

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class View {
  constructor() {
    this.width = 1;
    this.height = 1;
    this.cssWidth = 1;
    this.cssHeight = 1;
    this.ratio = 1;
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.fitted = true;
    this.wanted = 1; // the scale before it was rounded: small turns of a wheel add up
  }

  setVideo(width, height) {
    this.width = width;
    this.height = height;
    this.fit();
  }

  /** A new size of the canvas, in device pixels, or a new ratio; what was in the middle stays. */
  resize(deviceWidth, deviceHeight, ratio) {
    const middle = this.#videoAt(this.cssWidth / 2, this.cssHeight / 2);
    this.ratio = ratio;
    this.cssWidth = deviceWidth / ratio;
    this.cssHeight = deviceHeight / ratio;
    if (this.fitted) {
      this.fit();
    } else {
      this.#place(this.wanted, middle, this.cssWidth / 2, this.cssHeight / 2);
    }
  }

  fit() {
    this.fitted = true;
    this.wanted = Math.min(this.cssWidth / this.width, this.cssHeight / this.height, LARGEST);
    const whole = Math.floor(this.wanted * this.ratio);
    this.scale = whole >= CRISP ? whole / this.ratio : this.wanted;
    this.left = this.#snap((this.cssWidth - this.width * this.scale) / 2);
    this.top = this.#snap((this.cssHeight - this.height * this.scale) / 2);
  }

  /** Zooms so that the video stays still under a point of the canvas; without one, its middle. */
  zoom(factor, x = this.cssWidth / 2, y = this.cssHeight / 2) {
    const fit = Math.min(this.cssWidth / this.width, this.cssHeight / this.height);
    const wanted = clamp(this.wanted * factor, Math.min(fit / 2, 1), LARGEST);
    this.#place(wanted, this.#videoAt(x, y), x, y);
  }

  pan(dx, dy) {
    this.#moveTo(this.left + dx, this.top + dy);
    this.fitted = false;
  }

  /** Moves just so far that this pixel of the video is in sight. */
  reveal(x, y) {
    const margin = Math.min(24, this.cssWidth / 4, this.cssHeight / 4);
    const [cssX, cssY] = this.toCss(x + 0.5, y + 0.5);
    const dx = clamp(cssX, margin, this.cssWidth - margin) - cssX;
    const dy = clamp(cssY, margin, this.cssHeight - margin) - cssY;
    if (dx || dy) {
      this.pan(dx, dy);
    }
  }

  /** Where a pointer event is in the canvas, whose getBoundingClientRect is `rect`. */
  inCanvas(event, rect) {
    return [event.clientX - rect.left, event.clientY - rect.top];
  }

  /** The index of the video pixel at a point of the canvas; beyond the video too. */
  pixelAt(cssX, cssY) {
    const [x, y] = this.#videoAt(cssX, cssY);
    return [Math.floor(x), Math.floor(y)];
  }

  contains([x, y]) {
    return x >= 0 && y >= 0 && x < this.width && y < this.height;
  }

  clampPixel([x, y]) {
    return [clamp(x, 0, this.width - 1), clamp(y, 0, this.height - 1)];
  }

  toCss(videoX, videoY) {
    return [this.left + videoX * this.scale, this.top + videoY * this.scale];
  }

  get crisp() {
    return this.scale >= CRISP;
  }

  /** Draw in pixels of the video. */
  useVideoPixels(context) {
    const scale = this.scale * this.ratio;
    context.setTransform(scale, 0, 0, scale, this.left * this.ratio, this.top * this.ratio);
  }

  /** Draw in CSS pixels, for what keeps its size on the screen. */
  useCssPixels(context) {
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
  }

  /** What brings this view back after a reload. */
  save() {
    const middle = this.#videoAt(this.cssWidth / 2, this.cssHeight / 2);
    return this.fitted ? null : { wanted: this.wanted, middle };
  }

  restore(saved) {
    if (saved) {
      this.#place(saved.wanted, saved.middle, this.cssWidth / 2, this.cssHeight / 2);
    }
  }

  #videoAt(cssX, cssY) {
    return [(cssX - this.left) / this.scale, (cssY - this.top) / this.scale];
  }

  /** Whole device pixels, so that the edges of magnified pixels are sharp. */
  #snap(css) {
    return Math.round(css * this.ratio) / this.ratio;
  }

  #place(wanted, [videoX, videoY], cssX, cssY) {
    this.wanted = wanted;
    const device = wanted * this.ratio;
    // Magnified pixels are all of one size: a whole number of device pixels.
    this.scale = device >= CRISP ? Math.round(device) / this.ratio : wanted;
    this.#moveTo(cssX - videoX * this.scale, cssY - videoY * this.scale);
    this.fitted = false;
  }

  #moveTo(left, top) {
    const wide = this.width * this.scale;
    const high = this.height * this.scale;
    const x = Math.min(KEPT, wide, this.cssWidth);
    const y = Math.min(KEPT, high, this.cssHeight);
    this.left = this.#snap(clamp(left, x - wide, this.cssWidth - x));
    this.top = this.#snap(clamp(top, y - high, this.cssHeight - y));
  }
}
