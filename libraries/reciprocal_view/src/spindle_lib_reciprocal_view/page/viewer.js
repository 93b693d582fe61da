// -- view ---------------------------------------------------------------------------------------------------------------
const PANEL = 270;  // pixels, as in the style
const home = { rotation: options.rotation, scale: 1, move: [0, 0] };
let eye = structuredClone(home);
// Spaces: reciprocal, poles (stereographic), laboratory.
const space = () => $("space").value;
const reaches = { poles: 1.02 };
function measureReach() {
  let reach = 1e-6, far = 1e-6;
  for (let i = 0; i < n; i++) {
    reach = Math.max(reach, Math.hypot(position[3 * i], position[3 * i + 1], position[3 * i + 2]));
    far = Math.max(far, Math.hypot(lab[3 * i], lab[3 * i + 1], lab[3 * i + 2]));
  }
  reaches.reciprocal = n ? reach : meta.reach;
  reaches.laboratory = Math.max(far, ...meta.detectors.flatMap((d) => d.corners.flatMap((p) => p.map(length))));
}
measureReach();
const reachNow = () => reaches[space()];

const canvas = $("view");
// Smooth edges cost a processor that draws in place of a graphics card three times the rest.
function hasCard() {
  const probe = document.createElement("canvas").getContext("webgl"), more_ = probe && probe.getExtension("WEBGL_debug_renderer_info");
  const name = more_ ? probe.getParameter(more_.UNMASKED_RENDERER_WEBGL) : "";
  return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}
const gl = canvas.getContext("webgl", { antialias: hasCard() });
if (!gl) problem("This browser has no WebGL, with which the points are drawn; try another browser, or switch on hardware acceleration.");
canvas.addEventListener("webglcontextlost", () => problem("The graphics processor gave up the page; load it again."));

function frame() {
  // Pixels per unit and the middle of what the panel leaves free.
  const w = canvas.clientWidth, h = canvas.clientHeight;
  const free = document.body.classList.contains("folded") ? w : Math.max(w - PANEL, 100);
  const scale = 0.45 * Math.min(free, h) / reachNow() * eye.scale;
  return { w, h, scale, x: free / 2 + eye.move[0], y: h / 2 - eye.move[1] };
}
function matrix(turned = eye.rotation) {
  const f = frame(), r = turned, sx = 2 * f.scale / f.w, sy = 2 * f.scale / f.h, sz = -0.45 / reachNow() / Math.max(1, eye.scale);
  return new Float32Array([r[0] * sx, r[3] * sy, r[6] * sz, 0, r[1] * sx, r[4] * sy, r[7] * sz, 0, r[2] * sx, r[5] * sy, r[8] * sz, 0,
    2 * f.x / f.w - 1, 1 - 2 * f.y / f.h, 0, 1]);
}
const STILL = [1, 0, 0, 0, 1, 0, 0, 0, 1];
// Right, up and near on the screen, in units of the space.
function seen(x, y, z) {
  const r = eye.rotation;
  let a = r[0] * x + r[1] * y + r[2] * z, b = r[3] * x + r[4] * y + r[5] * z, c = r[6] * x + r[7] * y + r[8] * z;
  if (space() === "poles") {
    const l = Math.hypot(a, b, c) || 1;
    if (c < 0) { a = -a; b = -b; c = -c; }
    return [a / (l + c), b / (l + c), c / l];
  }
  return [a, b, c];
}
function onScreen(v) {
  const f = frame(), [a, b] = seen(v[0], v[1], v[2]);
  return [f.x + f.scale * a, f.y - f.scale * b];
}
const places = () => (space() === "laboratory" ? place.lab : position);

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
  const found = { program: made };
  for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_ATTRIBUTES); i++) {
    const { name } = gl.getActiveAttrib(made, i);
    found[name] = gl.getAttribLocation(made, name);
  }
  for (let i = 0; i < gl.getProgramParameter(made, gl.ACTIVE_UNIFORMS); i++) {
    const { name } = gl.getActiveUniform(made, i);
    found[name] = gl.getUniformLocation(made, name);
  }
  return found;
}
function buffer(data) {
  const made = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  return made;
}
function refill(made, data) {
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
}
function attribute(at, made, size, type) {
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, size, type, true, 0, 0);
}
const points = gl && program(POINT_VERTEX, POINT_FRAGMENT);
const lines = gl && program(LINE_VERTEX, LINE_FRAGMENT);
const buffers = gl && { position: gl.createBuffer(), ink: gl.createBuffer() };

// -- what has a colour of its own ---------------------------------------------------------------------------------------
const shownLattice = meta.lattices.map((l) => l.shown);  // the first is that of spots without lattice
const shownSweep = meta.sweeps.map(() => true);
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
function colourOf(k) {
  const [r, g, b] = rgb(meta.lattices[k].colour);
  return k === 0 && !$("black").checked ? [110, 110, 110] : [r, g, b];
}
function inkOf(k) {  // for lines and letters among points of the lattice's colour
  const other = $("black").checked ? 255 : 0;
  return colourOf(k).map((v) => Math.round(0.4 * v + 0.6 * other));
}
let latticeInk = [], sweepInk = [];
function tabulate() {
  latticeInk = meta.lattices.map((_, k) => colourOf(k));
  sweepInk = meta.sweeps.map((s) => rgb(s.colour));
}
// 256 colours from blue to orange.
const RAMP = Array.from({ length: 256 }, (_, k) => {
  const stops = [[0.27, 0.22, 0.80], [0.13, 0.66, 0.78], [0.50, 0.80, 0.25], [0.99, 0.72, 0.10]], t = k / 85, i = Math.min(2, Math.floor(t)), f = t - i;
  return [0, 1, 2].map((c) => Math.round(255 * (stops[i][c] + f * f * (3 - 2 * f) * (stops[i + 1][c] - stops[i][c]))));
});
const STATUS_INK = [[153, 153, 153], [0, 158, 115], [87, 181, 232], [214, 94, 0]];  // found, indexed, integrated, outlier
const steps256 = (low, high) => (v) => RAMP[Math.round(255 * Math.min(1, Math.max(0, (v - low) / Math.max(high - low, 1e-6))))];
// The colour of a point by its number.
function inkBy(colouring) {
  const z = steps256(...meta.z), log = steps256(...meta.intensity.map(Math.log)), square = steps256(0, reaches.reciprocal ** 2);
  return {
    lattice: (i) => latticeInk[more[4 * i + 1]],
    status: (i) => { const s = status_[i]; return STATUS_INK[s & 4 ? 3 : s & 2 ? 2 : s & 1]; },
    z: (i) => z(more[4 * i]),
    resolution: (i) => square(position[3 * i] ** 2 + position[3 * i + 1] ** 2 + position[3 * i + 2] ** 2),
    intensity: (i) => log(Math.log(Math.max(extra[2 * i], meta.intensity[0]))),
    sweep: (i) => sweepInk[extra[2 * i + 1]],
  }[colouring];
}

// -- what is shown ------------------------------------------------------------------------------------------------------
const number = (id, otherwise) => { const v = parseFloat($(id).value); return Number.isFinite(v) ? v : otherwise; };
const FAR = 1e30;
let filter = null;
function readFilter() {
  filter = {
    d: [number("dmin", 0), number("dmax", FAR)], z: [number("zmin", -FAR), number("zmax", FAR)],
    n: [number("nmin", 0), number("nmax", FAR)], p: [number("pmin", 0), number("pmax", FAR)], i: [number("imin", -FAR), number("imax", FAR)],
    shown: ["unindexed", "indexed", "integrated"].map((s) => ($(`show_${s}`).checked ? 1 : 0)),
    outliers: { "": 0, inliers: 1, outliers: 2 }[$("outliers").value],
  };
}
function passes(i) {
  const s = status_[i], z = more[4 * i], pixels = more[4 * i + 2], part = more[4 * i + 3], intensity = extra[2 * i];
  if (s & HIDDEN) return false;
  const d = 1 / Math.max(Math.sqrt(position[3 * i] ** 2 + position[3 * i + 1] ** 2 + position[3 * i + 2] ** 2), 1e-9);
  const kind = s & 2 ? 2 : s & 1 ? 1 : 0;
  return shownLattice[more[4 * i + 1]] && shownSweep[extra[2 * i + 1]] && filter.shown[kind]
    && (filter.outliers === 0 || (filter.outliers === 2) === Boolean(s & 4))
    && d >= filter.d[0] && d <= filter.d[1] && z >= filter.z[0] && z <= filter.z[1] && intensity >= filter.i[0] && intensity <= filter.i[1]
    && (pixels < 0 || (pixels >= filter.n[0] && pixels <= filter.n[1])) && (part < 0 || (part >= filter.p[0] && part <= filter.p[1]));
}
// The points that pass, in their order, as they are drawn: only these are sent to the graphics processor.
const packed = { stale: true, n: 0, chosen: 0, where: new Float32Array(3 * n), ink: new Uint8Array(4 * n) };
function pack() {
  packed.stale = false;
  const at = places(), ink = inkBy($("colouring").value), chosenInk = $("black").checked ? [255, 255, 255] : [0, 0, 0];
  let k = 0, chosen = 0;
  for (let i = 0; i < computed; i++) {
    const isChosen = status_[i] & CHOSEN;
    if (isChosen) chosen++;
    if (!passes(i)) continue;
    packed.where[3 * k] = at[3 * i]; packed.where[3 * k + 1] = at[3 * i + 1]; packed.where[3 * k + 2] = at[3 * i + 2];
    const c = isChosen ? chosenInk : ink(i);
    packed.ink[4 * k] = c[0]; packed.ink[4 * k + 1] = c[1]; packed.ink[4 * k + 2] = c[2]; packed.ink[4 * k + 3] = isChosen ? 255 : 0;
    k++;
  }
  packed.n = k;
  packed.chosen = chosen;
  if (!gl) return;
  refill(buffers.position, packed.where.subarray(0, 3 * k));
  refill(buffers.ink, packed.ink.subarray(0, 4 * k));
}
let counting = 0;
function count() {
  packed.stale = true;
  clearTimeout(counting);
  counting = setTimeout(() => {
    if (computed < n) return;  // the others are on their way
    if (packed.stale) pack();
    state.visible = packed.n;
    state.chosen = packed.chosen;
    $("count").textContent = `${packed.n.toLocaleString("en")} of ${n.toLocaleString("en")} points${packed.chosen ? `, ${packed.chosen.toLocaleString("en")} chosen` : ""}`;
  }, 60);
}

// -- drawing ------------------------------------------------------------------------------------------------------------
// While the view moves, no more points are drawn than the machine draws at 60 frames a second; they are in random order, so that the
// first are a fair sample. When it rests all are drawn.
const LATE = 20, LEAST = 10000;  // ms from frame to frame, points
let smooth = n, ceiling = n, pace = 0, moving = false, wasMoving = false, before = 0, resting = 0;
function moved() {
  moving = true;
  clearTimeout(resting);
  resting = setTimeout(() => { ceiling = n; redraw(); }, 200);
  redraw();
}
function drawnPoints() {
  const now = performance.now();
  if (moving && wasMoving) {
    pace = pace ? 0.6 * pace + 0.4 * (now - before) : now - before;  // one late frame alone says little
    if (pace > LATE) {
      ceiling = Math.max(LEAST, 0.9 * smooth);  // so many were too many
      smooth = Math.max(LEAST, smooth * Math.max(0.2, 14 / pace));
      pace = 0;
    } else {
      ceiling = Math.min(n, 1.002 * ceiling);  // what made frames late may be over
      smooth = Math.min(ceiling, 1.05 * smooth);
    }
  } else pace = 0;
  before = now;
  wasMoving = moving;
  moving = false;
  return Math.min(wasMoving ? Math.round(smooth) : n, packed.n);
}
// How many points can be drawn in half a frame, from the time that some take; reading a pixel waits for them.
function calibrate(view, ratio, black, poles) {
  const some = Math.min(packed.n, 2 * LEAST), pixel = new Uint8Array(4);
  let took = 0;
  for (let turn_ = 0; turn_ < 2; turn_++) {  // the first also compiles
    const start = performance.now();
    drawPoints(view, ratio, black, poles, some);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    took = performance.now() - start;
  }
  smooth = Math.max(LEAST, Math.min(n, (some * 8) / Math.max(took, 0.1)));
}
let calibrated = n <= 2 * LEAST;
let wanted = false;
function redraw() { if (!wanted) { wanted = true; requestAnimationFrame(draw); } }
function draw() {
  wanted = false;
  if (!gl) return;
  const ratio = window.devicePixelRatio || 1, w = Math.round(canvas.clientWidth * ratio), h = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  gl.viewport(0, 0, w, h);
  const black = $("black").checked, ground = black ? 0 : 1, poles = space() === "poles";
  gl.clearColor(ground, ground, ground, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.enable(gl.DEPTH_TEST);
  const view = poles ? matrix(STILL) : matrix();
  if (packed.stale) pack();
  if (packed.n > 0) {
    if (!calibrated) { calibrated = true; calibrate(view, ratio, black, poles); }
    state.drawn = drawnPoints();
    drawPoints(view, ratio, black, poles, Number(state.drawn));
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
  if ($("spin").checked) { rotate(spinAxis(), 0.006); }
}
function drawPoints(view, ratio, black, poles, some) {
  gl.useProgram(points.program);
  attribute(points.position, buffers.position, 3, gl.FLOAT);
  attribute(points.ink, buffers.ink, 4, gl.UNSIGNED_BYTE);
  gl.uniformMatrix4fv(points.view, false, view);
  gl.uniformMatrix3fv(points.turned, false, new Float32Array(transposed(eye.rotation)));
  gl.uniform1f(points.poles, poles ? 1 : 0);
  const size = number("size", 2) * ratio;
  gl.uniform1f(points.size, size);
  gl.uniform1f(points.round_, size > 2.5 ? 1 : 0);
  gl.drawArrays(gl.POINTS, 0, some);
  for (const name of ["position", "ink"]) gl.disableVertexAttribArray(points[name]);
}
