// What the pointer does besides moving the picture: measure, draw masks, choose a reflection.

import { ask, report } from "./api.js";
import { button, check, line, make, numberField, section, textField } from "./controls.js";
import { fromPanel, norm, onPanel, scattering, twoTheta } from "./geometry.js";
import { text } from "./overlays.js";

const SVG = "http://www.w3.org/2000/svg";

// A plain plot: points (x, y) joined by a line; null y are gaps.
export function plot(xs, ys, { xLabel = "", logarithmic = false } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "plot");
  svg.setAttribute("viewBox", "0 0 270 150");
  const shown = ys.map((y) => (y === null || (logarithmic && y <= 0) ? null : logarithmic ? Math.log10(y) : y));
  const good = shown.filter((y) => y !== null);
  if (!good.length) return svg;
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const [y0, y1] = good.reduce(([a, b], y) => [Math.min(a, y), Math.max(b, y)], [Infinity, -Infinity]);
  const at = (x, y) => `${(34 + (230 * (x - x0)) / (x1 - x0 || 1)).toFixed(1)},${(128 - (118 * (y - y0)) / (y1 - y0 || 1)).toFixed(1)}`;
  let path = "";
  let pen = false;
  shown.forEach((y, k) => { if (y === null) { pen = false; return; } path += `${pen ? "L" : "M"}${at(xs[k], y)}`; pen = true; });
  const add = (tag, attributes, words = "") => {
    const element = document.createElementNS(SVG, tag);
    for (const [k, v] of Object.entries(attributes)) element.setAttribute(k, v);
    element.textContent = words;
    svg.append(element);
  };
  add("path", { d: path, fill: "none", stroke: "#1f6fd6", "stroke-width": 1.2 });
  const show = (v) => Number((logarithmic ? 10 ** v : v).toPrecision(3));
  const label = { "font-size": 9, fill: "currentColor" };
  add("text", { x: 2, y: 14, ...label }, String(show(y1)));
  add("text", { x: 2, y: 128, ...label }, String(show(y0)));
  add("text", { x: 34, y: 143, ...label }, String(Number(x0.toPrecision(3))));
  add("text", { x: 268, y: 143, "text-anchor": "end", ...label }, String(Number(x1.toPrecision(3))));
  add("text", { x: 150, y: 143, "text-anchor": "middle", ...label }, xLabel);
  return svg;
}

export function tools(app, settings) {
  const state = { tool: "move", shapes: [...settings.masking.shapes], rules: { ...settings.masking.rules }, drawing: null, measure: null, masks: null };
  const measured = make("div", { id: "measured" });
  const maskSays = make("p", { id: "mask-says" });
  const maskCommand = make("pre", { className: "command", id: "mask-command" });
  const about = make("div", { id: "reflection" });
  const buttons = new Map();
  let fileName = "";
  let replace = false;

  function setTool(tool) {
    state.tool = state.tool === tool ? "move" : tool;
    state.drawing = null;
    for (const [name, element] of buttons) element.setAttribute("aria-pressed", String(name === state.tool));
    app.view.draw();
  }

  const toolButton = (tool, words, title) => {
    const element = button(words, () => setTool(tool), title);
    element.setAttribute("aria-pressed", "false");
    buttons.set(tool, element);
    return element;
  };

  // -- measuring
  function describe(view, a, b) {
    const [p, q] = [onPanel(view.scene, ...a), onPanel(view.scene, ...b)];
    const rows = [["distance", `${Math.hypot(b[0] - a[0], b[1] - a[1]).toFixed(2)} px`]];
    if (p && q) {
      const [s, t] = [scattering(view.scene, p), scattering(view.scene, q)];
      rows.push(["d", `${(1 / Math.max(norm(s), 1e-9)).toFixed(3)} Å to ${(1 / Math.max(norm(t), 1e-9)).toFixed(3)} Å`]);
      rows.push(["2θ", `${twoTheta(view.scene, p).toFixed(3)}° to ${twoTheta(view.scene, q).toFixed(3)}°`]);
      rows.push(["spacing", `${(1 / Math.max(norm(s.map((v, k) => v - t[k])), 1e-9)).toFixed(2)} Å (between the two, in reciprocal space)`]);
    }
    return make("table", {}, ...rows.map(([k, v]) => make("tr", {}, make("td", { textContent: k }), make("td", { textContent: v }))));
  }

  async function measure(view, a, b) {
    const found = await ask("line", { set: view.set, image: view.image, x0: a[0], y0: a[1], x1: b[0], y1: b[1], stack: app.look.stack, stack_mode: app.look.stackMode });
    app.profile = found;
    measured.replaceChildren(describe(view, a, b), plot(found.distance, found.value, { xLabel: "pixels along the line" }));
  }

  async function radial() {
    const found = await ask("radial", { set: app.set, image: app.image, stack: app.look.stack, stack_mode: app.look.stackMode });
    app.radial = found;
    measured.replaceChildren(plot(found.two_theta, found.mean, { xLabel: "2θ (°): mean of each ring" }));
  }

  // -- masks
  async function masksChanged() {
    try {
      const found = await ask("mask", { set: app.set, rules: state.rules, shapes: state.shapes });
      maskSays.textContent = `${found.n_masked} pixels masked by ${state.shapes.length} shapes and the rules`;
      maskCommand.textContent = found.command;
      app.maskVersion = (app.maskVersion || 0) + 1;
      for (const view of app.views) view.answers = new view.answers.constructor();
      for (const view of app.views) if (view.shown) view.shown.key = "";
      app.refetch();
    } catch (error) { report(error); }
  }

  function addShape(shape) { state.shapes.push(shape); state.drawing = null; return masksChanged(); }

  function undo() {
    if (state.drawing?.points?.length > 1) { state.drawing.points.pop(); app.view.draw(); return null; }
    state.drawing = null;
    if (!state.shapes.length) return null;
    state.shapes.pop();
    return masksChanged();
  }

  const rounded = (v, most) => Math.max(0, Math.min(most, Math.round(v)));

  function finish(view) {
    const { kind, panel, points } = state.drawing;
    const [w, h] = view.scene.panels[panel].size;
    if (kind === "rectangle") {
      const [[x0, y0], [x1, y1]] = points;
      const box = [rounded(Math.min(x0, x1), w), rounded(Math.max(x0, x1), w), rounded(Math.min(y0, y1), h), rounded(Math.max(y0, y1), h)];
      if (box[1] > box[0] && box[3] > box[2]) return addShape({ panel, rectangle: box });
    } else if (kind === "circle") {
      const [[x0, y0], [x1, y1]] = points;
      const radius = Math.round(Math.hypot(x1 - x0, y1 - y0));
      if (radius > 0) return addShape({ panel, circle: [Math.round(x0), Math.round(y0), radius] });
    } else if (kind === "polygon" && points.length >= 3) {
      return addShape({ panel, polygon: points.flatMap(([x, y]) => [rounded(x, w), rounded(y, h)]) });
    }
    state.drawing = null;
    view.draw();
    return null;
  }

  // A place of the picture on the panel where the drawing began, also beyond its edges.
  const onSame = (view, place) => view.scene.panels[state.drawing.panel].inverse(...place);

  async function writeMask() {
    try {
      const found = await ask("write_mask", { set: app.set, rules: state.rules, shapes: state.shapes, name: fileName, replace });
      maskSays.textContent = `Wrote ${found.written.join(" and ")}. Next: ${found.next}`;
      maskCommand.textContent = found.command;
    } catch (error) { report(error); }
  }

  // -- one reflection
  async function showReflection(view, found) {
    const { t, i } = found;
    app.chosen = { view, set: view.set, place: found.place };
    view.draw();
    const one = await ask("reflection", { table: t.table, row: t.row[i] });
    app.reflection = one;
    const skip = new Set(["flags", "s1", "bbox", "imageset_id"]);
    const rows = [["", `${t.name || "table"} row ${t.row[i]}, ${one.kind}`]];
    for (const [name, value] of Object.entries(one.columns)) {
      if (!skip.has(name)) rows.push([name, Array.isArray(value) ? value.map((v) => app.number(v)).join("  ") : app.number(value)]);
    }
    rows.push(["flags", one.flags.join(", ")]);
    about.replaceChildren(...(one.shoebox ? [pictureOf(one.shoebox)] : []),
      make("table", {}, ...rows.map(([k, v]) => make("tr", {}, make("td", { textContent: k }), make("td", { textContent: v })))));
    about.closest("details").open = true;
  }

  // Shoebox, image by image: values, foreground outlined, background hatched lighter.
  function pictureOf({ data, mask, background }) {
    const flat = data.flat(2);
    const top = Math.max(...flat, 1);
    const [nz, ny, nx] = [data.length, data[0].length, data[0][0].length];
    const size = Math.max(2, Math.min(14, Math.floor(260 / (nx + 1))));
    const columns = Math.max(1, Math.floor(265 / (nx * size + 5)));
    const canvas = make("canvas", { width: columns * (nx * size + 5), height: Math.ceil(nz / columns) * (ny * size + 5) });
    const context = canvas.getContext("2d");
    for (let z = 0; z < nz; z += 1) {
      const [ox, oy] = [(z % columns) * (nx * size + 5), Math.floor(z / columns) * (ny * size + 5)];
      for (let y = 0; y < ny; y += 1) {
        for (let x = 0; x < nx; x += 1) {
          const grey = 255 - Math.round(255 * Math.sqrt(Math.max(0, data[z][y][x] / top)));
          const m = mask[z][y][x];
          context.fillStyle = m & 1 ? `rgb(${grey},${grey},${grey})` : "#ff00c8";
          context.fillRect(ox + x * size, oy + y * size, size, size);
          if (m & 12) { context.strokeStyle = m & 4 ? "#2b8a3e" : "#e8590c"; context.strokeRect(ox + x * size + 0.5, oy + y * size + 0.5, size - 1, size - 1); }
        }
      }
    }
    const values = background.flat(2).filter((v) => v !== 0);
    const mean = values.length ? values.reduce((a, b) => a + b, 0) / values.length : 0;
    return make("div", {}, canvas, make("p", { textContent: `${nx} × ${ny} × ${nz} pixels, largest ${app.number(top)}, mean background ${app.number(mean)}; green: foreground` }));
  }

  async function why(view, place) {
    const at = onPanel(view.scene, ...place);
    if (!at) return;
    const found = await ask("why_masked", { set: view.set, image: view.image, panel: at.panel, x: Math.floor(at.x), y: Math.floor(at.y) });
    app.why = found;
    maskSays.textContent = `pixel ${Math.floor(at.x)}, ${Math.floor(at.y)}: ${found.length ? found.join("; ") : "is used"}`;
  }

  function painter(context, view) {
    if (!view.scene) return;
    context.lineWidth = 1.5;
    for (const shape of state.shapes) drawShape(context, view, shape, "#c2008f");
    const d = state.drawing;
    if (d && d.view === view) {
      const [a, b] = [d.points[0], d.points.at(-1)];
      if (d.kind === "rectangle") drawShape(context, view, { panel: d.panel, rectangle: [Math.min(a[0], b[0]), Math.max(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[1], b[1])] }, "#e64980");
      else if (d.kind === "circle") drawShape(context, view, { panel: d.panel, circle: [...a, Math.hypot(b[0] - a[0], b[1] - a[1])] }, "#e64980");
      else drawShape(context, view, { panel: d.panel, polygon: [...d.points, ...(d.next ? [d.next] : [])].flat() }, "#e64980");
    }
    if (state.measure && state.measure.view === view) {
      const [p, q] = [view.toScreen(...state.measure.a), view.toScreen(...state.measure.b)];
      context.strokeStyle = "#f08c00";
      context.lineWidth = 2;
      context.beginPath(); context.moveTo(...p); context.lineTo(...q); context.stroke();
      text(context, `${Math.hypot(state.measure.b[0] - state.measure.a[0], state.measure.b[1] - state.measure.a[1]).toFixed(1)} px`, q[0] + 8, q[1], "#b35c00");
    }
  }

  function drawShape(context, view, shape, colour) {
    const { panel } = shape;
    if (panel >= view.scene.panels.length) return;
    let corners = [];
    if (shape.rectangle) { const [x0, x1, y0, y1] = shape.rectangle; corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]; }
    if (shape.circle) { const [x, y, r] = shape.circle; for (let k = 0; k < 48; k += 1) corners.push([x + r * Math.cos((k * Math.PI) / 24), y + r * Math.sin((k * Math.PI) / 24)]); }
    if (shape.polygon) for (let k = 0; k < shape.polygon.length; k += 2) corners.push([shape.polygon[k], shape.polygon[k + 1]]);
    if (shape.pixel) { const [y, x] = shape.pixel; corners = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]]; }
    context.strokeStyle = colour;
    app.overlays.polyline(context, view, corners.flatMap(([x, y]) => fromPanel(view.scene, panel, x, y)), true);
  }

  const rule = (name, words, unit) => numberField(words, state.rules[name] ?? null, (v) => { if (v === null) delete state.rules[name]; else state.rules[name] = name === "border" ? Math.round(v) : v; masksChanged(); }, { unit, placeholder: "none" });

  // What the view asks when the pointer goes down, moves, goes up.
  app.toolDown = (view, place, event) => {
    const tool = event.shiftKey && state.tool === "move" ? "line" : state.tool;
    if (tool === "move") return false;
    if (tool === "line") { state.measure = { view, a: place, b: place }; return true; }
    const at = onPanel(view.scene, ...place);
    if (!at && tool !== "polygon") return true;
    if (tool === "pixel") { addShape({ panel: at.panel, pixel: [Math.floor(at.y), Math.floor(at.x)] }); return true; }
    if (tool === "why") { why(view, place).catch(report); return true; }
    if (tool === "polygon") {
      if (!state.drawing) { if (at) state.drawing = { view, kind: tool, panel: at.panel, points: [[at.x, at.y]] }; } else state.drawing.points.push(onSame(view, place));
      view.draw();
      return true;
    }
    state.drawing = { view, kind: tool, panel: at.panel, points: [[at.x, at.y], [at.x, at.y]] };
    return true;
  };
  app.toolMove = (view, place) => {
    if (state.measure && state.measure.view === view && !state.measure.done) state.measure.b = place;
    if (state.drawing && state.drawing.kind !== "polygon") state.drawing.points[1] = onSame(view, place);
    view.draw();
  };
  app.toolUp = (view, place) => {
    if (state.measure && !state.measure.done) { state.measure.b = place; state.measure.done = true; measure(view, state.measure.a, place).catch(report); }
    if (state.drawing && state.drawing.kind !== "polygon") { state.drawing.points[1] = onSame(view, place); finish(view); }
    view.draw();
  };
  app.twice = (view) => { if (state.drawing?.kind === "polygon") { state.drawing.points.pop(); finish(view); } };
  app.clicked = (view, place) => {
    const found = app.overlays.nearest(view, place);
    if (found) showReflection(view, found).catch(report);
  };
  app.escape = () => { state.drawing = null; state.measure = null; app.chosen = null; if (state.tool !== "move") setTool(state.tool); for (const v of app.views) v.draw(); };

  return {
    state, undo, setTool, finish, masksChanged,
    enter() { if (state.drawing?.kind === "polygon") finish(app.view); },
    attach(view) { view.painters.push(painter); },
    sections() {
      return [
        section("Measure", false,
          line(toolButton("line", "Line (shift-drag)", "Values along a line, distance, resolution"), button("Radial profile", () => radial().catch(report))), measured),
        section("Reflection", false, make("p", { textContent: "Click on a spot or a prediction." }), about),
        section("Mask", Boolean(state.shapes.length || Object.keys(state.rules).length),
          line(toolButton("polygon", "Polygon", "Click corners; Enter or two quick clicks end it"), toolButton("circle", "Circle"), toolButton("rectangle", "Rectangle"), toolButton("pixel", "Pixel"), toolButton("why", "Why?", "Click a pixel to see why it is masked")),
          line(button("Undo (ctrl-Z)", undo), button("Clear", () => { state.shapes.length = 0; masksChanged(); })),
          rule("border", "Border", "px"), rule("d_min", "Beyond", "Å"), rule("d_max", "Within", "Å"),
          check("Ice rings", state.rules["ice_rings.filter"], (v) => { if (v) state.rules["ice_rings.filter"] = true; else delete state.rules["ice_rings.filter"]; masksChanged(); }),
          textField("File", "", (v) => (fileName = v), "pixels.npz"),
          check("Replace it", false, (v) => (replace = v)),
          line(button("Write mask", writeMask)), maskSays, maskCommand),
      ];
    },
  };
}
