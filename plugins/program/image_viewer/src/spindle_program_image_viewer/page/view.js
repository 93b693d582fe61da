// One view: an image under a camera, the overlays above it, and the pointer.

import { askArrays, report } from "./api.js";
import { table } from "./colours.js";

const BUDGET = 270000; // bytes of one image on the wire
const KEPT = 40; // answers that are kept
const AT_ONCE = 4; // questions for images that are under way before no more are asked ahead
const PATIENCE = 700; // ms, after which the page says that it waits

// Answers of the server by question; the oldest are forgotten.
class Answers {
  constructor() { this.found = new Map(); this.running = new Map(); }

  get(key) {
    const answer = this.found.get(key);
    if (answer) { this.found.delete(key); this.found.set(key, answer); }
    return answer;
  }

  ask(key, name, words) {
    const known = this.get(key);
    if (known) return Promise.resolve(known);
    if (this.running.has(key)) return this.running.get(key);
    const promise = askArrays(name, words)
      .then((answer) => {
        this.found.set(key, answer);
        while (this.found.size > KEPT) this.found.delete(this.found.keys().next().value);
        return answer;
      })
      .finally(() => this.running.delete(key));
    this.running.set(key, promise);
    return promise;
  }
}

export class View {
  constructor(canvas, app) {
    this.canvas = canvas;
    this.app = app;
    this.context = canvas.getContext("2d", { alpha: false });
    this.camera = { x: 0, y: 0, zoom: 1 };
    this.answers = new Answers();
    this.shown = null; // what is on the screen: answer, colours, painted canvas, which image
    this.values = null; // values of pixels, when zoomed in
    this.perPixel = 0.35; // bytes on the wire for each byte of an image, as seen last
    this.scene = null;
    this.image = 0;
    this.painters = [];
    this.anchor = null; // quantiles that brightness refers to
    this.busy = 0;
    this.asked = 0; // wishes so far
    this.pending = false;
    new ResizeObserver(() => { this.draw(); this.update(); }).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("dblclick", (event) => app.twice?.(this, this.toPicture(...this.at(event)), event));
    canvas.addEventListener("pointerleave", () => { this.pointer = null; app.pointed(this, null); });
  }

  get width() { return this.canvas.clientWidth || 1; }
  get height() { return this.canvas.clientHeight || 1; }

  // -- coordinates: pixels of the screen (of style sheets) and pixels of the picture
  toScreen(x, y) {
    const c = this.camera;
    return [(x - c.x) * c.zoom + this.width / 2, (y - c.y) * c.zoom + this.height / 2];
  }

  toPicture(x, y) {
    const c = this.camera;
    return [(x - this.width / 2) / c.zoom + c.x, (y - this.height / 2) / c.zoom + c.y];
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  fit() {
    if (!this.scene) return;
    const { rows, columns } = this.scene;
    this.setCamera({ x: columns / 2, y: rows / 2, zoom: Math.min(this.width / columns, this.height / rows) * 0.98 });
  }

  setCamera(camera, quiet) {
    const zoom = Math.min(160, Math.max(0.005, camera.zoom));
    this.camera = { x: camera.x, y: camera.y, zoom };
    this.draw();
    this.update();
    if (!quiet) this.app.cameraMoved(this);
  }

  zoomAt(x, y, factor) {
    const [px, py] = this.toPicture(x, y);
    const zoom = Math.min(160, Math.max(0.005, this.camera.zoom * factor));
    this.setCamera({ x: px - (x - this.width / 2) / zoom, y: py - (y - this.height / 2) / zoom, zoom });
  }

  // -- what to ask for
  setScene(set, scene) {
    this.set = set;
    this.scene = scene;
    this.shown = null;
    this.values = null;
    this.anchor = null;
    this.answers = new Answers();
  }

  show(image) {
    this.image = image;
    this.values = null;
    return this.update();
  }

  // The part of the picture that is seen, and how coarse: {x0, y0, width, height, binning}.
  wanted() {
    const { rows, columns } = this.scene;
    const inverse = 1 / (this.camera.zoom * Math.min(window.devicePixelRatio || 1, 1));
    let binning = Math.max(1, Math.ceil(inverse - 0.05));
    for (;;) {
      const margin = binning * (this.camera.zoom > 8 ? 1 : 8);
      const [left, top] = this.toPicture(0, 0);
      const [right, bottom] = this.toPicture(this.width, this.height);
      // To multiples of a grid that is wider than the margin, so that small moves need nothing new.
      const grid = binning * (this.camera.zoom > 8 ? 4 : 32);
      const x0 = Math.max(0, Math.floor((left - margin) / grid) * grid);
      const y0 = Math.max(0, Math.floor((top - margin) / grid) * grid);
      const x1 = Math.min(columns, Math.ceil((right + margin) / grid) * grid);
      const y1 = Math.min(rows, Math.ceil((bottom + margin) / grid) * grid);
      const width = Math.max(1, Math.ceil((x1 - x0) / binning));
      const height = Math.max(1, Math.ceil((y1 - y0) / binning));
      if (width * height * this.perPixel < BUDGET || binning >= 1000) {
        // Pixels that are turned or tilted in the picture are drawn with their true edges once they are large.
        const finer = this.scene.is_projected && binning === 1 ? Math.min(16, Math.max(1, Math.floor(this.camera.zoom))) : 1;
        if (finer === 1 || width * height * finer * finer * 0.15 > BUDGET) return { x0, y0, width, height, binning, finer: 1 };
        return { x0, y0, width: width * finer, height: height * finer, binning, finer };
      }
      binning += 1;
    }
  }

  words(image, region) {
    const { mode, stack, stackMode } = this.app.look;
    return { set: this.set, image, ...region, mode, stack, stack_mode: stackMode, ...this.app.display(this) };
  }

  // Ask for what is seen now, unless it is there; show it when it comes.
  async update() {
    if (!this.scene) return;
    if (this.busy >= 2) { this.pending = true; return; } // the latest wish waits, those before it are forgotten
    const words = this.words(this.image, this.wanted());
    const key = JSON.stringify(words);
    if (this.shown && this.shown.key === key) { this.updateValues(); return; }
    this.busy += 1;
    const wish = (this.asked += 1);
    const waiting = setTimeout(() => this.app.waits(true), PATIENCE);
    try {
      const answer = await this.answers.ask(key, "view", words);
      if (answer.bytes && words.finer === 1) this.perPixel = Math.max(0.02, answer.bytes / (words.width * words.height));
      // Whoever steps faster than images come sees those that came, in their order.
      if (words.set === this.set && !(this.shown && this.shown.wish > wish)) this.take(answer, key, words.image, wish);
    } catch (error) {
      report(error);
    } finally {
      this.busy -= 1;
      clearTimeout(waiting);
      if (!this.busy) this.app.waits(false);
      if (this.pending) { this.pending = false; this.update(); }
    }
    this.updateValues();
  }

  // Ask for images that will be shown soon.
  prefetch(image) {
    const words = this.words(image, this.wanted());
    return this.answers.ask(JSON.stringify(words), "view", words);
  }

  // Ask for the images that follow in steps of n, as long as images come as fast as they are wanted.
  askAhead(n) {
    if (this.pending) return;
    for (const image of [this.image + n, this.image + 2 * n]) {
      if (image < 0 || image >= this.scene.n_images || this.answers.running.size >= AT_ONCE) return;
      this.prefetch(image).catch(() => {}); // told when it is to be shown
    }
  }

  take(answer, key, image, wish) {
    const { header, data, offset } = answer;
    const codes = new Uint8Array(data, offset, header.width * header.height);
    if (!this.anchor || this.app.look.followContrast) this.anchor = header.quantiles;
    this.shown = { answer, key, image, codes, header, wish };
    this.paint();
    this.app.shown(this);
  }

  paint() {
    if (!this.shown) return;
    const { codes, header } = this.shown;
    const colours = table(header, this.app.lookOf(this));
    const canvas = this.painted && this.painted.width === header.width && this.painted.height === header.height
      ? this.painted : new OffscreenCanvas(header.width, header.height);
    // Where no panel is the ground is seen: the picture keeps its transparency. Memory is used again for the next.
    if (canvas !== this.painted) this.pixels = canvas.getContext("2d").createImageData(header.width, header.height);
    const out = new Uint32Array(this.pixels.data.buffer), n = codes.length;
    for (let i = 0; i < n; i += 1) out[i] = colours[codes[i]];
    canvas.getContext("2d").putImageData(this.pixels, 0, 0);
    this.painted = canvas;
    this.draw();
  }

  // -- values of pixels
  async updateValues() {
    if (!this.scene || this.camera.zoom < 26) { if (this.values) { this.values = null; this.draw(); } return; }
    const [left, top] = this.toPicture(0, 0).map(Math.floor);
    const [right, bottom] = this.toPicture(this.width, this.height).map(Math.ceil);
    const region = { x0: left, y0: top, width: right - left, height: bottom - top };
    const key = JSON.stringify([this.set, this.image, region, this.app.look.stack, this.app.look.stackMode]);
    if (this.values && this.values.key === key) return;
    try {
      const values = await this.app.pixels(this.set, this.image, region);
      values.key = key;
      this.values = values;
      this.draw();
    } catch (error) { report(error); }
  }

  // -- drawing
  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.drawNow(); });
  }

  drawNow() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.ground ||= getComputedStyle(this.canvas).backgroundColor;
    context.fillRect(0, 0, this.width, this.height);
    if (this.shown && this.painted) {
      const { x0, y0, width: w, height: h, binning } = this.shown.header;
      const [left, top] = this.toScreen(x0, y0);
      const scale = this.camera.zoom * binning;
      context.imageSmoothingEnabled = scale < 1;
      context.drawImage(this.painted, left, top, w * scale, h * scale);
    }
    if (this.values) this.drawValues(context);
    for (const painter of this.painters) painter(context, this);
  }

  drawValues(context) {
    const { header, numbers, states } = this.values;
    const zoom = this.camera.zoom;
    context.font = `${Math.min(15, zoom / 3.2)}px ui-monospace, monospace`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 2.5;
    for (let i = 0; i < header.height; i += 1) {
      for (let j = 0; j < header.width; j += 1) {
        const k = i * header.width + j;
        if (states[k] === 0) continue;
        const [x, y] = this.toScreen(header.x0 + j + 0.5, header.y0 + i + 0.5);
        const text = this.app.number(numbers[k]);
        context.strokeStyle = "rgba(255,255,255,0.8)";
        context.strokeText(text, x, y);
        context.fillStyle = states[k] === 1 ? "#a0148c" : "#10151c";
        context.fillText(text, x, y);
      }
    }
  }

  // -- pointer
  wheel(event) {
    event.preventDefault();
    this.zoomAt(...this.at(event), Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0018)));
  }

  down(event) {
    this.canvas.focus();
    const [x, y] = this.at(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { x, y, camera: this.camera, moved: false, button: event.button };
    if (event.button === 0 && this.app.toolDown?.(this, this.toPicture(x, y), event)) this.drag.tool = true;
  }

  move(event) {
    const [x, y] = this.at(event);
    const drag = this.drag;
    if (drag) {
      drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 3;
      if (drag.tool) this.app.toolMove?.(this, this.toPicture(x, y), event);
      else if (drag.moved) {
        const { camera } = drag;
        this.setCamera({ x: camera.x - (x - drag.x) / camera.zoom, y: camera.y - (y - drag.y) / camera.zoom, zoom: camera.zoom });
      }
    }
    this.pointer = this.toPicture(x, y);
    this.app.pointed(this, this.pointer);
  }

  up(event) {
    const drag = this.drag;
    this.drag = null;
    const place = this.toPicture(...this.at(event));
    if (!drag) return;
    if (drag.tool) this.app.toolUp?.(this, place, event);
    else if (!drag.moved) this.app.clicked?.(this, place, event);
  }
}
