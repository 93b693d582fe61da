// -- choosing, hiding, exporting ----------------------------------------------------------------------------------------
function statusChanged() { count(); redraw(); }
// Choose points that pass the filters and a test; `add` keeps what was chosen, `remove` takes from it.
function choose(test, { add = false, remove = false } = {}) {
  for (let i = 0; i < n; i++) {
    const hit = passes(i) && test(i);
    if (remove) { if (hit) status_[i] &= ~CHOSEN; } else if (hit) status_[i] |= CHOSEN; else if (!add) status_[i] &= ~CHOSEN;
  }
  statusChanged();
}
function chooseBox(from, e) {
  const f = frame(), at = places();
  const [x0, x1] = [from.x, e.clientX].sort((a, b) => a - b), [y0, y1] = [from.y, e.clientY].sort((a, b) => a - b);
  choose((i) => {
    const [a, b] = seen(at[3 * i], at[3 * i + 1], at[3 * i + 2]), x = f.x + f.scale * a, y = f.y - f.scale * b;
    return x >= x0 && x <= x1 && y >= y0 && y <= y1;
  }, from);
}
function hideChosen(which) {  // those that are chosen, or all others
  for (let i = 0; i < n; i++) if (Boolean(status_[i] & CHOSEN) === which && !(status_[i] & HIDDEN)) { status_[i] |= HIDDEN; if (which) status_[i] &= ~CHOSEN; }
  statusChanged();
}
function showHidden() { for (let i = 0; i < n; i++) status_[i] &= ~HIDDEN; statusChanged(); }
function invertChoice() { for (let i = 0; i < n; i++) if (passes(i)) status_[i] ^= CHOSEN; statusChanged(); }
function chosenRows() {
  const rows = [];
  for (let i = 0; i < n; i++) if (status_[i] & CHOSEN) rows.push(row[i]);
  return rows.sort((a, b) => a - b);
}
async function exportChosen() {
  const rows = chosenRows();
  if (!rows.length) { tell("Nothing is chosen: draw a box (tool “choose”), or choose a lattice."); return; }
  if (served) { tell(await served.exportRows(rows, $("exportname").value || "selection.refl")); return; }
  const link = document.createElement("a");
  link.download = "selection.txt";
  link.href = URL.createObjectURL(new Blob([`# rows of ${meta.title}, counted from 0\n${rows.join("\n")}\n`], { type: "text/plain" }));
  link.click();
  tell(`Rows of ${rows.length} spots are in selection.txt; spindle view writes them as .refl.`);
}
function tell(text) { state.said = text; $("said").textContent = text; }

// -- difference vectors and the cell that they make ---------------------------------------------------------------------
const measured = { first: null, vectors: [], cell: null, explained: 0 };
function clicked(e) {
  if ($("tool").value !== "measure") return;
  if (space() !== "reciprocal") { tell("Vectors are measured in reciprocal space."); return; }
  const i = nearest(e.clientX, e.clientY, 16);
  if (i < 0) return;
  const at = pointAt(i);
  if ($("fromorigin").checked) addVector([0, 0, 0], at);
  else if (!measured.first) measured.first = at;
  else { addVector(measured.first, at); measured.first = null; }
  measuredChanged();
}
function addVector(from, to) {
  if (length(minus(to, from)) < 1e-9) return;
  measured.vectors.push({ from, to, v: minus(to, from) });
  if (measured.vectors.length > 6) measured.vectors.shift();
}
function measuredChanged() {
  const list = $("vectors");
  list.replaceChildren(...measured.vectors.map(({ v }, k) => {
    const line = document.createElement("div"), last = k ? `, ${angle(measured.vectors[k - 1].v, v).toFixed(1)}° to the one above` : "";
    line.textContent = `${k + 1}: ${(1 / length(v)).toFixed(3)} Å (${length(v).toFixed(5)} 1/Å)${last} `;
    const out = document.createElement("button");
    out.type = "button"; out.textContent = "×"; out.title = "remove";
    out.addEventListener("click", () => { measured.vectors.splice(k, 1); measured.cell = null; measuredChanged(); });
    line.append(out);
    return line;
  }));
  if (measured.first) list.append("first point taken; click the second");
  const cell = measured.cell;
  $("cell").textContent = cell ? `cell ${cellText(cell)}\n${(100 * measured.explained).toFixed(0)} % of the points that are shown fit it` : "";
  state.cell = cell ? cellText(cell) : "";
  rebuildLines();
  redraw();
}
function cellText(stars) {
  const [a, b, c] = dual(stars);
  return [...[a, b, c].map((v) => length(v).toFixed(2)), ...[[b, c], [c, a], [a, b]].map(([u, v]) => angle(u, v).toFixed(1))].join(" ");
}
function sample(most) {
  const found = [];
  for (let i = 0; i < n && found.length < most; i++) if (passes(i)) found.push(pointAt(i));  // in random order
  return found;
}
const TOLERANCE = 0.15;  // of an index
function explained(stars, list) {
  const rows = dual(stars);
  let fit = 0;
  for (const q of list) if (rows.every((a) => { const h = dot(a, q); return Math.abs(h - Math.round(h)) < TOLERANCE; })) fit++;
  return list.length ? fit / list.length : 0;
}
// Least squares: the stars that bring indices nearest to points. Points far out, which tell most, join as the cell gets better.
function refined(stars, list) {
  let best = stars;
  for (const part of [0.15, 0.25, 0.4, 0.7, 1, 1, 1]) {
    const rows = dual(best), H = new Array(9).fill(0), Q = new Array(9).fill(0), far = part * reaches.reciprocal;
    let used = 0;
    for (const q of list) {
      if (length(q) > far) continue;
      const h = rows.map((a) => dot(a, q)), k = h.map(Math.round);
      if (h.some((v, i) => Math.abs(v - k[i]) >= TOLERANCE)) continue;
      used++;
      for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) { H[3 * i + j] += k[i] * k[j]; Q[3 * i + j] += k[i] * q[j]; }
    }
    if (used < 6) continue;
    const columns = dual([H.slice(0, 3), H.slice(3, 6), H.slice(6, 9)]);  // rows of the inverse, as H is symmetric
    if (!columns.flat().every(Number.isFinite)) continue;
    best = columns.map((c) => [0, 1, 2].map((j) => c[0] * Q[j] + c[1] * Q[3 + j] + c[2] * Q[6 + j]));
  }
  return best;
}
const flat = (u, v, w) => Math.abs(dot(u, cross(v, w))) / (length(u) * length(v) * length(w));
// The cell of the last vectors; of two, the third is the difference of neighbours with which most points have whole indices.
function makeCell() {
  const vectors = measured.vectors.map((m) => m.v), list = sample(4000);
  if (vectors.length < 2) { tell("A cell needs two vectors or three; click pairs of neighbouring points (tool “measure”)."); return; }
  let stars = vectors.length >= 3 ? vectors.slice(-3) : null;
  if (stars && flat(...stars) < 0.02) stars = null;
  if (!stars) {
    const [u, v] = vectors.slice(-2);
    if (length(cross(u, v)) < 0.05 * length(u) * length(v)) { tell("The two vectors are parallel; click another pair."); return; }
    const test = list.slice(0, 600), low = 0.4 * Math.min(length(u), length(v)), high = 3.5 * Math.max(length(u), length(v));
    let best = -1;
    for (const [i, p] of list.slice(0, 1500).entries()) {
      for (const q of list.slice(Math.max(0, i - 1500), i)) {
        const w = minus(p, q), l = length(w);
        if (l < low || l > high || flat(u, v, w) < 0.2) continue;
        const fit = explained([u, v, w], test) - 0.05 * Math.log(l);  // of cells that fit alike, the smaller
        if (fit > best) { best = fit; stars = [u, v, w]; }
        if (++tried > 4000) break;
      }
      if (tried > 4000) break;
    }
    tried = 0;
  }
  if (!stars) { tell("No third vector was found that leads out of the plane of the two; click another pair."); return; }
  measured.cell = refined(stars, list);
  if (dot(measured.cell[0], cross(measured.cell[1], measured.cell[2])) < 0) measured.cell = measured.cell.map((v) => times(v, -1));
  measured.explained = explained(measured.cell, list);
  measuredChanged();
}
let tried = 0;
function measuredLines(add, label, ink) {
  const red = [0.95, 0.35, 0.3];
  measured.vectors.forEach(({ from, to }, k) => { add(from, to, red); label(to, String(k + 1), red); });
  if (measured.first) label(measured.first, "from", red);
  if (!measured.cell) return;
  const [a, b, c] = measured.cell, m = 2;
  for (const [u, v, w] of [[a, b, c], [b, c, a], [c, a, b]]) {
    for (let i = -m; i <= m; i++) for (let j = -m; j <= m; j++) {
      const at = sum(times(v, i), times(w, j));
      add(sum(at, times(u, -m)), sum(at, times(u, m)), ink.map((x) => 0.6 * x + 0.2));
    }
  }
}
