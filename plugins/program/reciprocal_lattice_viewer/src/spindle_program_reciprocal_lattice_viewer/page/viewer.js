"use strict";
const $ = (id) => document.getElementById(id);
const state = document.body.dataset;  // what tests read: ready, visible, problem
function problem(text) { state.problem = text; $("problem").hidden = false; $("problem").textContent = text; }
window.addEventListener("error", (event) => problem(`The page does not work: ${event.message}`));

// -- data ---------------------------------------------------------------------------------------------------------------
const meta = JSON.parse($("meta").textContent);
function array(id, Type) {
  const text = atob($(id).textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Type(bytes.buffer);
}
const position = array("position", Float32Array);   // 1/angstrom
const more = array("more", Float32Array);           // z, lattice, pixels, partiality; -1 where unknown
const status_ = array("status", Uint8Array);
const hkl = array("hkl", Int16Array);
const n = status_.length;
const options = meta.options;
const PANEL = 260;  // pixels, as in the style

// -- vectors ------------------------------------------------------------------------------------------------------------
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const norm = (a) => { const l = Math.hypot(...a) || 1; return a.map((v) => v / l); };
// Rotations are 3 x 3, row after row; rows are the right, upper and near direction of the screen.
function product(a, b) {
  const out = new Array(9).fill(0);
  for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) for (let k = 0; k < 3; k++) out[3 * i + j] += a[3 * i + k] * b[3 * k + j];
  return out;
}
function turn(axis, angle) {
  const [x, y, z] = axis, c = Math.cos(angle), s = Math.sin(angle), t = 1 - c;
  return [c + t * x * x, t * x * y - s * z, t * x * z + s * y, t * x * y + s * z, c + t * y * y, t * y * z - s * x,
    t * x * z - s * y, t * y * z + s * x, c + t * z * z];
}
function along(near, up) {
  const z = norm(near);
  let x = cross(up, z);
  if (Math.hypot(...x) < 1e-6) x = cross([z[1], z[2], z[0]], z);
  x = norm(x);
  return [...x, ...cross(z, x), ...z];
}

// -- view ---------------------------------------------------------------------------------------------------------------
const home = { rotation: options.rotation, scale: 1, move: [0, 0] };
let eye = structuredClone(home);
let reach = 1e-6;
for (let i = 0; i < n; i++) reach = Math.max(reach, Math.hypot(position[3 * i], position[3 * i + 1], position[3 * i + 2]));
if (n === 0) reach = meta.reach;

const canvas = $("view");
const gl = canvas.getContext("webgl", { antialias: true });
if (!gl) problem("This browser has no WebGL, with which the points are drawn; try another browser, or switch on hardware acceleration.");

canvas.addEventListener("webglcontextlost", () => problem("The graphics processor gave up the page; load it again."));

function frame() {
  // Pixels per 1/angstrom and the middle of what the panel leaves free.
  const w = canvas.clientWidth, h = canvas.clientHeight;
  const free = document.body.classList.contains("folded") ? w : Math.max(w - PANEL, 100);
  const scale = 0.45 * Math.min(free, h) / reach * eye.scale;
  return { w, h, scale, x: free / 2 + eye.move[0], y: h / 2 - eye.move[1] };
}
function matrix() {
  const f = frame(), r = eye.rotation, sx = 2 * f.scale / f.w, sy = 2 * f.scale / f.h, sz = -0.45 / reach / Math.max(1, eye.scale);
  return new Float32Array([r[0] * sx, r[3] * sy, r[6] * sz, 0, r[1] * sx, r[4] * sy, r[7] * sz, 0, r[2] * sx, r[5] * sy, r[8] * sz, 0,
    2 * f.x / f.w - 1, 1 - 2 * f.y / f.h, 0, 1]);
}
function onScreen(v) {
  const f = frame(), r = eye.rotation;
  return [f.x + f.scale * (r[0] * v[0] + r[1] * v[1] + r[2] * v[2]), f.y - f.scale * (r[3] * v[0] + r[4] * v[1] + r[5] * v[2])];
}

// -- programs and buffers -----------------------------------------------------------------------------------------------
function program(vertex, fragment) {
  const made = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  const places = { program: made };
  for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_ATTRIBUTES); i++) {
    const { name } = gl.getActiveAttrib(made, i);
    places[name] = gl.getAttribLocation(made, name);
  }
  for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); i++) {
    const { name } = gl.getActiveUniform(made, i);
    places[name] = gl.getUniformLocation(made, name);
  }
  return places;
}
function buffer(data) {
  const made = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  return made;
}
function attribute(place, made, size, type) {
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, size, type, false, 0, 0);
}
const points = gl && program(POINT_VERTEX, POINT_FRAGMENT);
const lines = gl && program(LINE_VERTEX, LINE_FRAGMENT);
const buffers = gl && { position: buffer(position), more: buffer(more), status: buffer(status_) };
let drawn = { position: null, tint: null, n: 0, labels: [] };

// -- lattices -----------------------------------------------------------------------------------------------------------
const shownLattice = meta.lattices.map((l) => l.shown);  // the first is that of spots without lattice
const side = Math.max(1, Math.ceil(Math.sqrt(meta.lattices.length)));
const texture = gl && gl.createTexture();
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
function colourOf(k) {
  const [r, g, b] = rgb(meta.lattices[k].colour);
  return k === 0 && !$("black").checked ? [110, 110, 110] : [r, g, b];
}
function inkOf(k) {  // for lines and letters among points of the lattice's colour
  const other = $("black").checked ? 255 : 0;
  return colourOf(k).map((v) => Math.round(0.4 * v + 0.6 * other));
}
function tabulate() {
  const data = new Uint8Array(4 * side * side);
  meta.lattices.forEach((_, k) => { data.set([...colourOf(k), shownLattice[k] ? 255 : 0], 4 * k); });
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, side, side, 0, gl.RGBA, gl.UNSIGNED_BYTE, data);
  for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, gl.NEAREST);
  for (const key of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, key, gl.CLAMP_TO_EDGE);
}
function rebuildLines() {
  const place = [], tint = [], labels = [];
  const add = (a, b, c) => { place.push(...a, ...b); tint.push(...c, ...c); };
  const sum = (...vs) => [0, 1, 2].map((i) => vs.reduce((s, v) => s + v[i], 0));
  const several = meta.lattices.filter((l) => l.axes).length > 1;
  meta.lattices.forEach((lattice, k) => {
    if (!lattice.axes || !shownLattice[k] || k >= meta.toggles) return;  // axes of thousands hide everything
    const colour = inkOf(k).map((v) => v / 255), o = [0, 0, 0], [a, b, c] = lattice.axes;
    if ($("axes").checked) {
      // As long as a third of what is seen, in the ratio of their lengths.
      const stretch = 0.35 * reach / Math.max(...lattice.axes.map((v) => Math.hypot(...v)));
      ["a*", "b*", "c*"].forEach((name, i) => {
        const tip = lattice.axes[i].map((v) => v * stretch);
        add(o, tip, colour);
        if (labels.length < 60) labels.push({ at: tip, text: several ? `${name} (${k - 1})` : name, colour: `rgb(${inkOf(k)})` });
      });
    }
    if ($("cells").checked) {
      for (const [p, q, r] of [[a, b, c], [b, c, a], [c, a, b]]) {
        for (const start of [o, q, r, sum(q, r)]) add(start, sum(start, p), colour);
      }
    }
  });
  const ink = $("black").checked ? [0.9, 0.9, 0.9] : [0.2, 0.2, 0.2];
  const long = (v) => norm(v).map((x) => x * 1.05 * reach);
  if ($("spindle").checked && meta.axis) {
    add(long(meta.axis).map((x) => -x), long(meta.axis), ink);
    labels.push({ at: long(meta.axis), text: "rotation axis", colour: `rgb(${ink.map((v) => 255 * v)})` });
  }
  if ($("beam").checked) {
    add(long(meta.beam).map((x) => -x), [0, 0, 0], [0.95, 0.6, 0.1]);
    labels.push({ at: long(meta.beam).map((x) => -x), text: "beam", colour: "rgb(242,153,26)" });
  }
  for (const key of ["position", "tint"]) if (drawn[key]) gl.deleteBuffer(drawn[key]);
  drawn = { position: buffer(new Float32Array(place)), tint: buffer(new Float32Array(tint)), n: place.length / 3, labels };
  $("labels").replaceChildren(...labels.map((l) => {
    const span = document.createElement("span");
    span.textContent = l.text;
    span.style.color = l.colour;
    return span;
  }));
}

// -- what is shown ------------------------------------------------------------------------------------------------------
const number = (id, otherwise) => { const v = parseFloat($(id).value); return Number.isFinite(v) ? v : otherwise; };
const FAR = 1e9;
let filter = null;
function readFilter() {
  filter = {
    d: [number("dmin", 0), number("dmax", FAR)], z: [number("zmin", -FAR), number("zmax", FAR)],
    n: [number("nmin", 0), number("nmax", FAR)], p: [number("pmin", 0), number("pmax", FAR)],
    shown: ["unindexed", "indexed", "integrated"].map((s) => ($(`show_${s}`).checked ? 1 : 0)),
    outliers: { "": 0, inliers: 1, outliers: 2 }[$("outliers").value],
  };
}
function passes(i) {
  const s = status_[i], z = more[4 * i], pixels = more[4 * i + 2], part = more[4 * i + 3];
  const d = 1 / Math.max(Math.hypot(position[3 * i], position[3 * i + 1], position[3 * i + 2]), 1e-9);
  const kind = s & 2 ? 2 : s & 1 ? 1 : 0;
  return shownLattice[more[4 * i + 1]] && filter.shown[kind] && (filter.outliers === 0 || (filter.outliers === 2) === Boolean(s & 4))
    && d >= filter.d[0] && d <= filter.d[1] && z >= filter.z[0] && z <= filter.z[1]
    && (pixels < 0 || (pixels >= filter.n[0] && pixels <= filter.n[1])) && (part < 0 || (part >= filter.p[0] && part <= filter.p[1]));
}
let counting = 0;
function count() {
  clearTimeout(counting);
  counting = setTimeout(() => {
    let seen = 0;
    for (let i = 0; i < n; i++) if (passes(i)) seen++;
    state.visible = seen;
    $("count").textContent = `${seen.toLocaleString("en")} of ${n.toLocaleString("en")} points`;
  }, 60);
}

// -- drawing ------------------------------------------------------------------------------------------------------------
// While the view moves, no more points are drawn than the machine draws smoothly; they are in random order, so that the first are a
// fair sample. When it rests all are drawn.
let smooth = n, moving = false, wasMoving = false, before = 0, resting = 0;
function moved() {
  moving = true;
  clearTimeout(resting);
  resting = setTimeout(redraw, 200);
  redraw();
}
function drawnPoints() {
  const now = performance.now(), took = now - before;
  if (moving && wasMoving) {  // the time of one frame
    if (took > 50) smooth = Math.max(Math.min(n, 10000), Math.round(smooth * Math.max(0.1, 40 / took)));
    else if (took < 25) smooth = Math.min(n, Math.round(1.2 * smooth));
  }
  before = now;
  wasMoving = moving;
  moving = false;
  return wasMoving ? smooth : n;
}
let wanted = false;
function redraw() { if (!wanted) { wanted = true; requestAnimationFrame(draw); } }
function draw() {
  wanted = false;
  if (!gl) return;
  const ratio = window.devicePixelRatio || 1, w = Math.round(canvas.clientWidth * ratio), h = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  gl.viewport(0, 0, w, h);
  const ground = $("black").checked ? 0 : 1;
  gl.clearColor(ground, ground, ground, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.enable(gl.DEPTH_TEST);
  const view = matrix();
  if (n > 0) {
    gl.useProgram(points.program);
    attribute(points.position, buffers.position, 3, gl.FLOAT);
    attribute(points.more, buffers.more, 4, gl.FLOAT);
    attribute(points.status, buffers.status, 1, gl.UNSIGNED_BYTE);
    gl.uniformMatrix4fv(points.view, false, view);
    const size = number("size", 2) * ratio;
    gl.uniform1f(points.size, size);
    gl.uniform1f(points.round_, size > 2.5 ? 1 : 0);
    gl.uniform2f(points.dRange, ...filter.d);
    gl.uniform2f(points.zRange, ...filter.z);
    gl.uniform2f(points.nRange, ...filter.n);
    gl.uniform2f(points.pRange, ...filter.p);
    gl.uniform2f(points.zSpan, ...meta.z);
    gl.uniform3f(points.shown, ...filter.shown);
    gl.uniform1f(points.outliers, filter.outliers);
    gl.uniform1f(points.colouring, { lattice: 0, status: 1, z: 2, resolution: 3 }[$("colouring").value]);
    gl.uniform1f(points.tableSize, side);
    gl.uniform1f(points.dLeast, 1 / reach);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(points.table, 0);
    gl.drawArrays(gl.POINTS, 0, drawnPoints());
    for (const name of ["position", "more", "status"]) gl.disableVertexAttribArray(points[name]);
  }
  if (drawn.n > 0) {
    gl.disable(gl.DEPTH_TEST);  // axes are seen through the points
    gl.useProgram(lines.program);
    attribute(lines.position, drawn.position, 3, gl.FLOAT);
    attribute(lines.tint, drawn.tint, 3, gl.FLOAT);
    for (const [right, up] of [[0, 0], [1, 0], [0, 1]]) {  // lines are one pixel wide everywhere: three make them stand out
      const shifted = view.slice();
      shifted[12] += 2 * right / w;
      shifted[13] += 2 * up / h;
      gl.uniformMatrix4fv(lines.view, false, shifted);
      gl.drawArrays(gl.LINES, 0, drawn.n);
    }
    for (const name of ["position", "tint"]) gl.disableVertexAttribArray(lines[name]);
  }
  const fault = gl.getError();
  if (fault) problem(`Drawing failed (WebGL error ${fault}).`);
  [...$("labels").children].forEach((span, i) => {
    const [x, y] = onScreen(drawn.labels[i].at);
    span.style.left = `${x}px`;
    span.style.top = `${y}px`;
  });
  state.frames = Number(state.frames || 0) + 1;
  if ($("spin").checked) { rotate([0, 1, 0], 0.006); }
}

// -- moving -------------------------------------------------------------------------------------------------------------
function rotate(axis, angle) { eye.rotation = product(turn(axis, angle), eye.rotation); moved(); }
function zoom(factor, x, y) {
  const f = frame(), scale = Math.min(Math.max(eye.scale * factor, 0.05), 500), change = scale / eye.scale;
  eye.move[0] += (1 - change) * (x - f.x);
  eye.move[1] -= (1 - change) * (y - f.y);
  eye.scale = scale;
  moved();
}
const fingers = new Map();
canvas.addEventListener("pointerdown", (e) => { fingers.set(e.pointerId, e); if (e.isTrusted) canvas.setPointerCapture(e.pointerId); });
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => fingers.delete(e.pointerId));
canvas.addEventListener("contextmenu", (e) => e.preventDefault());
canvas.addEventListener("pointermove", (e) => {
  const before = fingers.get(e.pointerId);
  if (!before) { describe(e); return; }
  const dx = e.clientX - before.clientX, dy = e.clientY - before.clientY;
  if (fingers.size === 2) {
    const other = [...fingers.values()].find((f) => f.pointerId !== e.pointerId);
    const span = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
    zoom(span(e) / Math.max(span(before), 1), (e.clientX + other.clientX) / 2, (e.clientY + other.clientY) / 2);
    eye.move[0] += dx / 2;
    eye.move[1] -= dy / 2;
  } else if (e.shiftKey || e.buttons & 2) {
    eye.move[0] += dx;
    eye.move[1] -= dy;
  } else {
    const length = Math.hypot(dx, dy);
    if (length > 0) rotate([dy / length, dx / length, 0], length * 0.006);
  }
  fingers.set(e.pointerId, e);
  moved();
});
canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY * 0.0015), e.clientX, e.clientY); }, { passive: false });
window.addEventListener("keydown", (e) => {
  if (e.target.tagName === "INPUT" && e.target.type === "number") return;
  const turns = { ArrowLeft: [0, -1, 0], ArrowRight: [0, 1, 0], ArrowUp: [-1, 0, 0], ArrowDown: [1, 0, 0] };
  const f = frame();
  if (turns[e.key]) { rotate(turns[e.key], 0.05); e.preventDefault(); }
  else if (e.key === "+" || e.key === "=") zoom(1.2, f.x, f.y);
  else if (e.key === "-") zoom(1 / 1.2, f.x, f.y);
  else if (e.key === "0") reset();
});
function reset() { eye = structuredClone(home); redraw(); }
function describe(e) {
  const tip = $("tip");
  tip.hidden = true;
  if (!$("nearest").checked) return;
  const f = frame(), r = eye.rotation;
  let best = 12 * 12, found = -1, depth = -Infinity;
  for (let i = 0; i < n; i++) {
    const x = position[3 * i], y = position[3 * i + 1], z = position[3 * i + 2];
    const u = f.x + f.scale * (r[0] * x + r[1] * y + r[2] * z) - e.clientX;
    if (u > 12 || u < -12) continue;
    const v = f.y - f.scale * (r[3] * x + r[4] * y + r[5] * z) - e.clientY;
    const far = u * u + v * v;
    if (far > best + 1e-9) continue;
    const near = r[6] * x + r[7] * y + r[8] * z;
    if ((far < best - 1e-9 || near > depth) && passes(i)) { best = far; depth = near; found = i; }
  }
  if (found < 0) return;
  const d = 1 / Math.hypot(...position.slice(3 * found, 3 * found + 3)), s = status_[found];
  const h = [...hkl.slice(3 * found, 3 * found + 3)].join(" ");
  const words = [`${meta.lattices[more[4 * found + 1]].name}${s & 1 ? `: ${h}` : ""}`, `d = ${d.toFixed(3)} Å`];
  if (meta.hasZ) words.push(`z = ${more[4 * found].toFixed(2)}`);
  words.push(["found", "indexed", "integrated", "integrated"][s & 3] + (s & 4 ? ", outlier" : ""));
  tip.textContent = words.join("\n");
  tip.style.left = `${Math.min(e.clientX + 14, f.w - 160)}px`;
  tip.style.top = `${Math.min(e.clientY + 10, f.h - 90)}px`;
  tip.hidden = false;
  state.nearest = tip.textContent;
}
