// The page: its state, its controls, and what keys do.

import { ask, askArrays, Refused, report, start, traffic } from "./api.js";
import { schemes, table } from "./colours.js";
import { fromPanel, inVolume, norm, onPanel, scattering, sectionName, twoTheta } from "./geometry.js";
import { overlays } from "./overlays.js";
import { button, check, choice, line, make, numberField, section, slider, textField } from "./controls.js";
import { openFolder } from "./folder.js";
import { tools } from "./tools.js";
import { tuning } from "./tuning.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);

class App {
  constructor() {
    this.look = {
      scheme: "grayscale", brightness: 10, gamma: 1, low: null, high: null, mode: "max", stack: 1, stackMode: "sum",
      followContrast: false, showMask: false,
    };
    this.show = {};
    this.sets = [];
    this.tables = [];
    this.set = -1;
    this.image = 0;
    this.playing = false;
    this.toldAt = 0; // when it was last written which image is seen
    this.blocks = new Map();
    this.quiet = Promise.resolve();
  }

  async begin() {
    const wanted = Number(start.get("set") || 0);
    const state = await ask("state", { scene_of: wanted });
    this.early = { set: wanted, scene: state.scene };  // one question less before the first image
    this.settings = state.settings;
    Object.assign(this.look, {
      scheme: state.settings.color_scheme, brightness: state.settings.brightness || 10,
      stack: state.settings.stack_images || 1, stackMode: state.settings.stack_mode,
    });
    this.view = new View($("view"), this);
    this.views = [this.view];
    this.look.showMask = state.settings.show_mask;
    this.overlays = overlays(this, state.settings);
    this.tuning = tuning(this, state.settings);
    this.tools = tools(this, state.settings);
    for (const part of [this.overlays, this.tuning, this.tools]) part.attach(this.view);
    this.makeSide();
    this.makeHead();
    this.takeState(state);
    if (!this.sets.length) { await this.tuning.load(); this.started = true; return openFolder(this); }
    await this.openSet(wanted < this.sets.length ? wanted : 0, Number(start.get("image") || 0) - 1);
    if (start.has("zoom")) {
      this.view.setCamera({ x: Number(start.get("x")), y: Number(start.get("y")), zoom: Number(start.get("zoom")) });
    }
    await this.tuning.load();
    this.tuning.imageChanged();
    if (this.settings.masking.shapes.length || Object.keys(this.settings.masking.rules).length) await this.tools.masksChanged();
    this.started = true;
  }

  takeState(state) {
    this.sets = state.sets;
    this.tables = state.tables;
    this.hasCrystals = state.has_crystals;
    $("set").replaceChildren(...this.sets.map((s, k) => new Option(`${k + 1}: ${s.name.split("/").pop()} (${s.n_images})${s.has_geometry ? "" : ", no geometry"}`, k)));
    $("set").hidden = this.sets.length < 2;
  }

  async openSet(set, asked = -1) {
    this.set = set;
    $("set").value = set;
    const early = this.early?.set === set ? this.early.scene : null;
    this.early = null;
    const scene = early || (await ask("scene", { set }));
    this.scene = scene;
    const image = asked < 0 ? scene.begin : asked;
    this.blocks.clear();
    Object.assign($("slider"), { min: 0, max: scene.n_images - 1 });
    Object.assign($("number"), { min: scene.first, max: scene.first + scene.n_images - 1 });
    if (this.other) await this.compare(false);
    this.view.setScene(set, scene);
    this.view.image = Math.max(0, Math.min(scene.n_images - 1, image));
    this.view.fit();
    await this.overlays.setChanged();
    await this.go(image);
  }

  // -- images
  async go(image) {
    this.image = Math.max(0, Math.min(this.scene.n_images - 1, Math.round(image) || 0));
    const now = performance.now();
    if (!this.playing || now > this.toldAt + 100) { this.toldAt = now; this.tell(); }  // to write costs as much as to draw
    if (!this.playing) this.rememberSoon();
    this.view.image = this.image;
    if (this.other) this.follow();
    this.overlays.imageChanged();
    this.tuning.imageChanged();
    await this.view.show(this.image);
  }

  // Write which image is seen.
  tell() {
    $("slider").value = this.image;
    $("number").value = this.image + this.scene.first;
    const [begin, width] = this.scene.oscillation || [];
    const angle = width ? `, ${(begin + width * this.image).toFixed(2)}° to ${(begin + width * (this.image + 1)).toFixed(2)}°` : "";
    const warned = this.scene.has_geometry ? "" : ", no geometry in the file";
    $("label").title = warned && "distance, wavelength or pixel size are not in the header: 1 Å, 100 mm and 0.1 mm are assumed, and resolutions mean nothing";
    $("label").textContent = this.scene.section ? sectionName(this.scene, this.image) : `image ${this.image + this.scene.first}${angle}${warned}`;
  }

  step(n) {
    const going = this.go(this.image + n);
    this.view.askAhead(n);
    return going;
  }

  async play() {
    this.playing = !this.playing;
    $("play").textContent = this.playing ? "Stop" : "Play";
    const begun = performance.now();
    let shown = 0, toldAt = begun;
    while (this.playing) {
      const next = (this.image + 1) % this.scene.n_images;
      for (let k = 1; k <= 4; k += 1) this.view.prefetch((next + k) % this.scene.n_images).catch(report);
      await this.view.prefetch(next).catch((error) => { this.playing = false; report(error); });
      if (!this.playing) break;
      await this.go(next);
      await new Promise(requestAnimationFrame);
      shown += 1;
      if (this.toldAt > toldAt) { toldAt = this.toldAt; $("status").textContent = `${(shown / ((toldAt - begun) / 1000)).toFixed(1)} images/s`; }
    }
    $("play").textContent = "Play";
    this.tell();
    this.remember();
  }

  // -- what the view asks
  display(view) { return view === this.view ? this.tuning.display() : {}; }

  lookOf(view) {
    const q = view.anchor;
    const { low, high, brightness } = this.look;
    const quantile = (percent) => {
      const places = [0, 0.1, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 100];
      let k = 1;
      while (k < places.length - 1 && places[k] < percent) k += 1;
      const f = (percent - places[k - 1]) / (places[k] - places[k - 1]);
      return q[k - 1] + Math.max(0, Math.min(1, f)) * (q[k] - q[k - 1]);
    };
    const level = q.slice(8).find((v) => v > 0) || 2; // where most pixels are empty, what the others begin at
    let black = q[2] > 0.5 * level || q[2] < 0 ? q[2] : 0;
    let white = black + Math.max(level - black, 1e-9) * 2.5 * (100 / brightness);
    if (low !== null) black = quantile(low);
    if (high !== null) white = Math.max(quantile(high), black + 1e-9);
    return { ...this.look, black, white };
  }

  // What the page says while an image takes its time.
  waits(isWaiting) {
    const said = $("status");
    if (isWaiting) said.textContent = `reading image ${this.image + this.scene.first} ...`;
    else if (said.textContent.startsWith("reading")) said.textContent = "";
  }

  shown(view) {
    if (view !== this.view) return;
    document.body.dataset.image = String(view.shown.image);
    const look = this.lookOf(view);
    if (!this.playing) $("status").textContent = `${view.shown.header.binning > 1 ? `${view.shown.header.binning} pixels a point, ` : ""}black ${this.number(look.black)}, white ${this.number(look.white)}`;
  }

  cameraMoved(view) {
    for (const other of this.views) {
      // Linked where the pictures are of one size; else each has its own place.
      if (other !== view && other.scene && view.scene.columns === other.scene.columns && view.scene.rows === other.scene.rows) other.setCamera(view.camera, true);
    }
    this.rememberSoon();
  }

  rememberSoon() {
    clearTimeout(this.remembering); this.remembering = setTimeout(() => this.remember(), 200);
  }

  remember() {
    const { x, y, zoom } = this.view.camera;
    history.replaceState(null, "", `#set=${this.set}&image=${this.image + 1}&x=${x.toFixed(2)}&y=${y.toFixed(2)}&zoom=${zoom.toPrecision(5)}`);
  }

  number(v) {
    if (typeof v !== "number") return v === true ? "yes" : v === false ? "no" : String(v);
    if (!Number.isFinite(v)) return v > 0 ? "over" : "-";
    if (Number.isInteger(v)) return String(v);
    return Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3 ? v.toExponential(2) : String(Number(v.toPrecision(4)));
  }

  // Values of pixels: {header, numbers, states}.
  async pixels(set, image, region) {
    const { stack, stackMode } = this.look;
    const { header, data, offset } = await askArrays("pixels", { set, image, ...region, stack, stack_mode: stackMode });
    const n = header.width * header.height;
    const numbers = header.type === "int32" ? new Int32Array(data, offset, n) : new Float32Array(data, offset, n);
    return { header, numbers, states: new Uint8Array(data, offset + 4 * n, n) };
  }

  // The value of one pixel, from blocks that are kept.
  async valueAt(set, image, px, py) {
    const size = 64;
    const [bx, by] = [Math.floor(px / size), Math.floor(py / size)];
    const key = [set, image, bx, by, this.look.stack, this.look.stackMode].join();
    if (!this.blocks.has(key)) {
      if (this.blocks.size > 60) this.blocks.delete(this.blocks.keys().next().value);
      this.blocks.set(key, this.pixels(set, image, { x0: bx * size, y0: by * size, width: size, height: size }));
    }
    const { header, numbers, states } = await this.blocks.get(key);
    const k = (Math.floor(py) - header.y0) * header.width + Math.floor(px) - header.x0;
    return { value: numbers[k], state: states[k] };
  }

  async pointed(view, place) {
    this.overlays.pointed(view, place);
    if (!place || !view.scene) { $("readout").textContent = ""; return; }
    const at = onPanel(view.scene, ...place);
    if (!at) { $("readout").textContent = ""; return; }
    const [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    const q = scattering(view.scene, at);
    const panel = view.scene.panels.length > 1 ? `panel ${at.panel} ${view.scene.panels[at.panel].name}  ` : "";
    const angles = view.scene.has_geometry ? `  d ${(1 / Math.max(norm(q), 1e-9)).toFixed(3)} Å  2θ ${twoTheta(view.scene, at).toFixed(3)}°` : "";
    const text = (value) => (view.scene.section ? `${inVolume(view.scene, view.image, at)}  ${value}` : `${panel}x ${x}  y ${y}  ${value}${angles}`);
    const wish = (this.wish = {});
    try {
      const found = await this.valueAt(view.set, view.image, ...place);
      if (this.wish !== wish) return;
      const state = found.state === 1 ? " (masked)" : "";
      $("readout").textContent = text(`${this.number(found.value)}${state}`) + this.overlays.below(view, place);
    } catch (error) { this.blocks.clear(); report(error); }
  }

  // -- two images side by side
  compareSection() {
    const set = textField("Image set", "", () => this.compare(true), "number, this one");
    const offset = numberField("Images ahead", 1, () => this.follow());
    const on = check("Two images side by side", false, (value) => this.compare(value));
    this.comparing = { set, offset, on };
    return section("Compare", false, on, set, offset, make("p", { textContent: "Both move and step together." }));
  }

  async compare(on) {
    this.comparing.on.set(on);
    if (!on) {
      this.other?.canvas.remove();
      this.other = null;
      this.views = [this.view];
      return;
    }
    if (!this.other) {
      const canvas = make("canvas", { id: "other", tabIndex: 0 });
      $("views").append(canvas);
      this.other = new View(canvas, this);
      this.overlays.attach(this.other);
      this.tools.attach(this.other);
      this.views = [this.view, this.other];
    }
    const wanted = Number(this.comparing.set.input.value || this.set + 1) - 1;
    if (!(wanted >= 0 && wanted < this.sets.length)) { report(new Refused(`there are ${this.sets.length} image sets, counted from 1`)); return; }
    this.other.setScene(wanted, wanted === this.set ? this.scene : await ask("scene", { set: wanted }));
    this.other.setCamera(this.view.camera, true);
    await this.overlays.setChanged();
    await this.follow();
  }

  follow() {
    if (!this.other?.scene) return null;
    const ahead = Number(this.comparing.offset.querySelector("input").value || 0);
    const image = Math.max(0, Math.min(this.other.scene.n_images - 1, this.image + ahead));
    this.other.image = image;
    this.overlays.refresh(this.other).catch(report);
    return this.other.show(image);
  }

  // -- controls
  repaint() { for (const view of this.views) { view.paint(); if (view.shown) this.shown(view); } }
  refetch() { this.blocks.clear(); for (const view of this.views) view.show(view.image); }

  makeHead() {
    const go = { first: () => this.go(0), previous: () => this.step(-1), next: () => this.step(1), last: () => this.go(Infinity) };
    go.last = () => this.go(this.scene.n_images - 1);
    for (const [id, act] of Object.entries(go)) $(id).addEventListener("click", () => act().catch(report));
    $("play").addEventListener("click", () => this.play());
    $("slider").addEventListener("input", () => this.go(Number($("slider").value)).catch(report));
    $("number").addEventListener("change", () => this.go(Number($("number").value) - this.scene.first).catch(report));
    $("set").addEventListener("change", () => this.openSet(Number($("set").value)).catch(report));
    $("show-folder").addEventListener("click", () => openFolder(this));
    window.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox") return;
    if ((event.ctrlKey || event.metaKey) && event.key === "z") { event.preventDefault(); this.tools.undo(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || !this.scene) return;
    const v = this.view;
    const middle = [v.width / 2, v.height / 2];
    const keys = {
      ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), PageUp: () => this.step(-10), PageDown: () => this.step(10),
      Home: () => this.go(0), End: () => this.go(this.scene.n_images - 1), " ": () => this.play(),
      "+": () => v.zoomAt(...middle, 1.5), "=": () => v.zoomAt(...middle, 1.5), "-": () => v.zoomAt(...middle, 1 / 1.5),
      f: () => v.fit(), 1: () => v.setCamera({ ...v.camera, zoom: 1 }), i: () => this.set_("scheme", this.look.scheme === "invert" ? "grayscale" : "invert"),
      "]": () => this.set_("brightness", Math.min(100000, this.look.brightness * 1.25)), "[": () => this.set_("brightness", Math.max(1, this.look.brightness / 1.25)),
      o: () => openFolder(this), Escape: () => this.escape(), Enter: () => this.tools.enter(), Backspace: () => this.tools.undo(),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    Promise.resolve(act()).catch(report);
  }

  set_(name, value) {
    this.look[name] = value;
    this.controls?.[name]?.set(value);
    this.repaint();
  }

  makeSide() {
    const look = this.look;
    const repaint = (name) => (value) => { look[name] = value; this.repaint(); };
    const refetch = (name) => (value) => { look[name] = value; this.refetch(); };
    const c = (this.controls = {});
    c.brightness = slider("Brightness", look.brightness, 1, 10000, repaint("brightness"), { logarithmic: true });
    c.gamma = slider("Gamma", look.gamma, 0.2, 5, repaint("gamma"), { logarithmic: true, digits: 2 });
    c.scheme = choice("Colours", Object.keys(schemes), look.scheme, repaint("scheme"));
    c.low = numberField("Black at", look.low, repaint("low"), { unit: "%", placeholder: "auto" });
    c.high = numberField("White at", look.high, repaint("high"), { unit: "%", placeholder: "auto" });
    c.followContrast = check("Contrast of each image anew", look.followContrast, (v) => { look.followContrast = v; if (v && this.view.shown) { this.view.anchor = this.view.shown.header.quantiles; } this.repaint(); });
    c.showMask = check("Masked pixels in magenta", look.showMask, repaint("showMask"));
    c.mode = choice("Of several pixels", ["max", "mean"], look.mode, refetch("mode"));
    c.stack = numberField("Images as one", look.stack, (v) => { look.stack = Math.max(1, Math.round(v || 1)); this.view.anchor = null; this.refetch(); });
    c.stackMode = choice("shown as", ["sum", "mean", "max"], look.stackMode, (v) => { look.stackMode = v; this.view.anchor = null; this.refetch(); });
    const views = line(
      button("Fit (F)", () => this.view.fit()), button("1:1", () => this.view.setCamera({ ...this.view.camera, zoom: 1 })),
      button("Contrast of this image", () => { if (this.view.shown) { this.view.anchor = this.view.shown.header.quantiles; this.repaint(); } }),
    );
    $("side").append(
      section("Picture", true, c.brightness, c.gamma, c.scheme, c.low, c.high, c.mode, c.showMask, c.followContrast, views),
      section("Several images as one", false, c.stack, c.stackMode),
      ...this.overlays.sections(), ...this.tuning.sections(), ...this.tools.sections(), this.compareSection(),
    );
  }
}

const app = new App();
window.viewer = {
  app,
  traffic,
  // The colour of a value, as it is painted now.
  colours: (value) => {
    const { header } = app.view.shown;
    const code = Math.max(2, Math.min(254, 2 + Math.floor((value - header.start) / header.step)));
    const v = table(header, app.lookOf(app.view))[code];
    return [v & 255, (v >> 8) & 255, (v >> 16) & 255];
  },
  toScreen: (panel, x, y) => app.view.toScreen(...fromPanel(app.scene, panel, x, y)),
  onPanel,
};
app.begin().catch(report);
