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
const gl = canvas.getContext("webgl", { antialias: true });
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
  if (!gl) return;
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
}
function attribute(at, made, size, type) {
  gl.bindBuffer(gl.ARRAY_BUFFER, made);
  gl.enableVertexAttribArray(at);
  gl.vertexAttribPointer(at, size, type, false, 0, 0);
}
const points = gl && program(POINT_VERTEX, POINT_FRAGMENT);
const lines = gl && program(LINE_VERTEX, LINE_FRAGMENT);
const buffers = gl && { position: buffer(position), lab: buffer(lab), more: buffer(more), extra: buffer(extra), status: buffer(status_) };

// -- what has a colour of its own ---------------------------------------------------------------------------------------
const shownLattice = meta.lattices.map((l) => l.shown);  // the first is that of spots without lattice
const shownSweep = meta.sweeps.map(() => true);
const sideOf = (list) => Math.max(1, Math.ceil(Math.sqrt(list.length)));
const side = sideOf(meta.lattices), sweepSide = sideOf(meta.sweeps);
const texture = gl && gl.createTexture(), sweepTexture = gl && gl.createTexture();
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
function colourOf(k) {
  const [r, g, b] = rgb(meta.lattices[k].colour);
  return k === 0 && !$("black").checked ? [110, 110, 110] : [r, g, b];
}
function inkOf(k) {  // for lines and letters among points of the lattice's colour
  const other = $("black").checked ? 255 : 0;
  return colourOf(k).map((v) => Math.round(0.4 * v + 0.6 * other));
}
function fillTable(made, width, entries) {
  const data = new Uint8Array(4 * width * width);
  entries.forEach(([colour, on], k) => data.set([...colour, on ? 255 : 0], 4 * k));
  gl.bindTexture(gl.TEXTURE_2D, made);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, width, width, 0, gl.RGBA, gl.UNSIGNED_BYTE, data);
  for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, key, gl.NEAREST);
  for (const key of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, key, gl.CLAMP_TO_EDGE);
}
function tabulate() {
  if (!gl) return;
  fillTable(texture, side, meta.lattices.map((_, k) => [colourOf(k), shownLattice[k]]));
  fillTable(sweepTexture, sweepSide, meta.sweeps.map((s, k) => [rgb(s.colour), shownSweep[k]]));
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
  const d = 1 / Math.max(Math.hypot(position[3 * i], position[3 * i + 1], position[3 * i + 2]), 1e-9);
  const kind = s & 2 ? 2 : s & 1 ? 1 : 0;
  return shownLattice[more[4 * i + 1]] && shownSweep[extra[2 * i + 1]] && filter.shown[kind]
    && (filter.outliers === 0 || (filter.outliers === 2) === Boolean(s & 4))
    && d >= filter.d[0] && d <= filter.d[1] && z >= filter.z[0] && z <= filter.z[1] && intensity >= filter.i[0] && intensity <= filter.i[1]
    && (pixels < 0 || (pixels >= filter.n[0] && pixels <= filter.n[1])) && (part < 0 || (part >= filter.p[0] && part <= filter.p[1]));
}
let counting = 0;
function count() {
  clearTimeout(counting);
  counting = setTimeout(() => {
    let seen_ = 0, chosen = 0;
    for (let i = 0; i < n; i++) { if (passes(i)) seen_++; if (status_[i] & CHOSEN) chosen++; }
    state.visible = seen_;
    state.chosen = chosen;
    $("count").textContent = `${seen_.toLocaleString("en")} of ${n.toLocaleString("en")} points${chosen ? `, ${chosen.toLocaleString("en")} chosen` : ""}`;
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
  return Math.min(wasMoving ? smooth : n, computed);
}
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
  if (n > 0) drawPoints(view, ratio, black, poles);
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
function drawPoints(view, ratio, black, poles) {
  gl.useProgram(points.program);
  attribute(points.position, space() === "laboratory" ? buffers.lab : buffers.position, 3, gl.FLOAT);
  attribute(points.reciprocal, buffers.position, 3, gl.FLOAT);
  attribute(points.more, buffers.more, 4, gl.FLOAT);
  attribute(points.extra, buffers.extra, 2, gl.FLOAT);
  attribute(points.status, buffers.status, 1, gl.UNSIGNED_BYTE);
  gl.uniformMatrix4fv(points.view, false, view);
  gl.uniformMatrix3fv(points.turned, false, new Float32Array(transposed(eye.rotation)));
  gl.uniform1f(points.poles, poles ? 1 : 0);
  const size = number("size", 2) * ratio;
  gl.uniform1f(points.size, size);
  gl.uniform1f(points.round_, size > 2.5 ? 1 : 0);
  for (const [name, range] of [["dRange", filter.d], ["zRange", filter.z], ["nRange", filter.n], ["pRange", filter.p], ["iRange", filter.i], ["zSpan", meta.z], ["iSpan", meta.intensity]]) gl.uniform2f(points[name], ...range);
  gl.uniform3f(points.shown, ...filter.shown);
  gl.uniform3f(points.chosenInk, ...(black ? [1, 1, 1] : [0, 0, 0]));
  gl.uniform1f(points.outliers, filter.outliers);
  gl.uniform1f(points.colouring, { lattice: 0, status: 1, z: 2, resolution: 3, intensity: 4, sweep: 5 }[$("colouring").value]);
  gl.uniform1f(points.tableSize, side);
  gl.uniform1f(points.sweepsSize, sweepSide);
  gl.uniform1f(points.dLeast, 1 / reaches.reciprocal);
  [[texture, points.table], [sweepTexture, points.sweeps]].forEach(([made, at], k) => {
    gl.activeTexture(gl.TEXTURE0 + k);
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.uniform1i(at, k);
  });
  gl.activeTexture(gl.TEXTURE0);
  gl.drawArrays(gl.POINTS, 0, drawnPoints());
  for (const name of ["position", "reciprocal", "more", "extra", "status"]) gl.disableVertexAttribArray(points[name]);
}
