// -- moving and pointing ------------------------------------------------------------------------------------------------
function rotate(axis, by) { eye.rotation = product(turn(axis, by), eye.rotation); moved(); }
// The axis that turning is bound to, on the screen; null where it is free.
function boundAxis() {
  const named = { axis: meta.axis, ...Object.fromEntries(starAxes().map((v, i) => [["a*", "b*", "c*"][i], v])) };
  const direction = named[$("about").value];
  return direction ? norm(apply(eye.rotation, direction)) : null;
}
const spinAxis = () => boundAxis() || [0, 1, 0];
const starAxes = () => { const crystal = meta.lattices.find((l) => l.axes); return crystal ? crystal.axes : []; };
function zoom(factor, x, y) {
  const f = frame(), scale = Math.min(Math.max(eye.scale * factor, 0.05), 500), change = scale / eye.scale;
  eye.move[0] += (1 - change) * (x - f.x);
  eye.move[1] -= (1 - change) * (y - f.y);
  eye.scale = scale;
  moved();
}
const fingers = new Map();
let box = null, pressed = null;
canvas.addEventListener("pointerdown", (e) => {
  fingers.set(e.pointerId, e);
  pressed = { x: e.clientX, y: e.clientY };
  if (e.isTrusted) canvas.setPointerCapture(e.pointerId);
  if ($("tool").value === "box" && e.button === 0) box = { x: e.clientX, y: e.clientY, add: e.shiftKey, remove: e.altKey };
});
function letGo(e) {
  fingers.delete(e.pointerId);
  const still = pressed && Math.hypot(e.clientX - pressed.x, e.clientY - pressed.y) < 4;
  if (box) { if (!still) chooseBox(box, e); box = null; $("box").hidden = true; } else if (still && e.type === "pointerup") clicked(e);
  pressed = null;
}
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, letGo);
canvas.addEventListener("contextmenu", (e) => e.preventDefault());
canvas.addEventListener("pointermove", (e) => {
  const last = fingers.get(e.pointerId);
  if (!last) { describe(e); return; }
  if (box) {
    const b = $("box");
    b.hidden = false;
    Object.assign(b.style, { left: `${Math.min(box.x, e.clientX)}px`, top: `${Math.min(box.y, e.clientY)}px`, width: `${Math.abs(e.clientX - box.x)}px`, height: `${Math.abs(e.clientY - box.y)}px` });
    return;
  }
  const dx = e.clientX - last.clientX, dy = e.clientY - last.clientY;
  if (fingers.size === 2) {
    const other = [...fingers.values()].find((f) => f.pointerId !== e.pointerId);
    const span = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY);
    zoom(span(e) / Math.max(span(last), 1), (e.clientX + other.clientX) / 2, (e.clientY + other.clientY) / 2);
    eye.move[0] += dx / 2;
    eye.move[1] -= dy / 2;
  } else if (e.shiftKey || e.buttons & 2) {
    eye.move[0] += dx;
    eye.move[1] -= dy;
  } else {
    const bound = boundAxis(), far = Math.hypot(dx, dy);
    if (bound) rotate(bound, 0.006 * (Math.abs(bound[1]) + Math.abs(bound[0]) > 0.3 ? dx * bound[1] + dy * bound[0] : dx));
    else if (far > 0) rotate([dy / far, dx / far, 0], far * 0.006);
  }
  fingers.set(e.pointerId, e);
  moved();
});
canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY * 0.0015), e.clientX, e.clientY); }, { passive: false });
window.addEventListener("keydown", (e) => {
  if (/^(INPUT|SELECT)$/.test(e.target.tagName) && e.target.type !== "checkbox") return;
  const turns = { ArrowLeft: [0, -1, 0], ArrowRight: [0, 1, 0], ArrowUp: [-1, 0, 0], ArrowDown: [1, 0, 0] };
  const f = frame(), bound = boundAxis();
  if (turns[e.key]) {
    const step = turns[e.key];
    rotate(bound || step, 0.05 * (bound ? step[0] + step[1] : 1));
    e.preventDefault();
  } else if (e.key === "+" || e.key === "=") zoom(1.2, f.x, f.y);
  else if (e.key === "-") zoom(1 / 1.2, f.x, f.y);
  else if (e.key === "0") reset();
  else if (e.key === "h") hideChosen(true);
  else if (e.key === "u") showHidden();
  else if (e.key === "Escape") choose(() => false);
});
function reset() { eye = structuredClone(home); if (space() === "laboratory") eye.rotation = along([0.55, 0.35, 0.76], [0, 1, 0]); redraw(); }

// The point nearest to a place of the screen, within some pixels; -1 for none.
function nearest(x, y, within = 12) {
  const f = frame(), at = places();
  let best = within * within, found = -1, depth = -Infinity;
  for (let i = 0; i < n; i++) {
    const [a, b, near] = seen(at[3 * i], at[3 * i + 1], at[3 * i + 2]);
    const u = f.x + f.scale * a - x;
    if (u > within || u < -within) continue;
    const v = f.y - f.scale * b - y, far = u * u + v * v;
    if (far > best + 1e-9) continue;
    if ((far < best - 1e-9 || near > depth) && passes(i)) { best = far; depth = near; found = i; }
  }
  return found;
}
const pointAt = (i) => [position[3 * i], position[3 * i + 1], position[3 * i + 2]];
function wordsOf(i) {
  const s = status_[i], d = 1 / length(pointAt(i)), h = [...hkl.slice(3 * i, 3 * i + 3)].join(" ");
  const words = [`${meta.lattices[more[4 * i + 1]].name}${s & 1 ? `: ${h}` : ""}`, `d = ${d.toFixed(3)} Å`];
  if (meta.hasZ) words.push(`z = ${more[4 * i].toFixed(2)}`);
  if (meta.hasIntensity) words.push(`I = ${extra[2 * i].toPrecision(4)}`);
  if (meta.sweeps.length > 1) words.push(meta.sweeps[extra[2 * i + 1]].name);
  words.push(["found", "indexed", "integrated", "integrated"][s & 3] + (s & 4 ? ", outlier" : ""));
  return words;
}
function describe(e) {
  const tip = $("tip");
  tip.hidden = true;
  if (!$("nearest").checked) return;
  const found = nearest(e.clientX, e.clientY);
  if (found < 0) return;
  tip.textContent = wordsOf(found).join("\n");
  const f = frame();
  tip.style.left = `${Math.min(e.clientX + 14, f.w - 160)}px`;
  tip.style.top = `${Math.min(e.clientY + 10, f.h - 110)}px`;
  tip.hidden = false;
  state.nearest = tip.textContent;
}
