// -- lines and letters: lattices, beam, axes, sphere, detector ----------------------------------------------------------
let drawn = { position: null, tint: null, n: 0, labels: [] };
const GOLD = [0.95, 0.6, 0.1];
function rebuildLines() {
  if (!gl) return;
  const at = [], tint = [], labels = [];
  const kit = {
    add: (a, b, c) => { at.push(...a, ...b); tint.push(...c, ...c); },
    label: (where, text, c) => { if (labels.length < 80) labels.push({ at: where, text, colour: `rgb(${c.map((v) => Math.round(255 * v))})` }); },
    ink: $("black").checked ? [0.9, 0.9, 0.9] : [0.2, 0.2, 0.2],
    faint: $("black").checked ? [0.38, 0.42, 0.5] : [0.7, 0.73, 0.78],
  };
  if (space() === "reciprocal") reciprocalLines(kit);
  else if (space() === "poles") poleLines(kit);
  else laboratoryLines(kit);
  for (const key of ["position", "tint"]) if (drawn[key]) gl.deleteBuffer(drawn[key]);
  drawn = { position: buffer(new Float32Array(at)), tint: buffer(new Float32Array(tint)), n: at.length / 3, labels };
  $("labels").replaceChildren(...labels.map((l) => {
    const span = document.createElement("span");
    span.textContent = l.text;
    span.style.color = l.colour;
    return span;
  }));
}
const shownCrystals = () => meta.lattices.map((lattice, k) => [lattice, k]).filter(([l, k]) => l.axes && shownLattice[k] && k < meta.toggles);
function reciprocalLines({ add, label, ink, faint }) {
  const o = [0, 0, 0], reach = reaches.reciprocal, crystals = shownCrystals();
  for (const [lattice, k] of crystals) {
    const colour = inkOf(k).map((v) => v / 255), [a, b, c] = lattice.axes;
    if ($("axes").checked) {
      // As long as a third of what is seen, in the ratio of their lengths.
      const stretch = 0.35 * reach / Math.max(...lattice.axes.map(length));
      ["a*", "b*", "c*"].forEach((name, i) => {
        const tip = times(lattice.axes[i], stretch);
        add(o, tip, colour);
        label(tip, crystals.length > 1 ? `${name} (${k - 1})` : name, colour);
      });
    }
    if ($("cells").checked) cellLines(add, [a, b, c], o, colour);
  }
  const long = (v) => times(norm(v), 1.05 * reach);
  if ($("spindle").checked && meta.axis) {
    add(times(long(meta.axis), -1), long(meta.axis), ink);
    label(long(meta.axis), "rotation axis", ink);
  }
  if ($("beam").checked) {
    add(times(long(meta.beam), -1), o, GOLD);
    label(times(long(meta.beam), -1), "beam", GOLD);
  }
  if ($("ewald").checked && meta.sweeps.length) {
    const sweep = meta.sweeps[0], back = datum(sweep, number("ewaldz", meta.z[0]));
    const U = meta.frames && meta.frames[0] ? transposed(meta.frames[0]) : STILL;
    const turned = product(U, back), middle = apply(turned, times(sweep.s0, -1)), radius = 1 / sweep.wavelength;
    sphere(add, middle, radius, turned, reach * 1.3, faint, sweep.s0);
    add(middle, o, GOLD);
    label(times(norm(middle), Math.min(radius, 1.2 * reach)), "to the Ewald sphere's middle", GOLD);
  }
  measuredLines(add, label, ink);
}
function cellLines(add, [a, b, c], o, colour) {
  for (const [p, q, r] of [[a, b, c], [b, c, a], [c, a, b]]) {
    for (const begin of [o, q, r, sum(q, r)]) add(sum(o, begin), sum(o, begin, p), colour);
  }
}
// Circles on a sphere about the beam and through it, where they are no farther from the origin than `far`.
function sphere(add, middle, radius, turned, far, colour, s0) {
  const beam = norm(s0), [x, y] = (() => { const v = along(beam, Math.abs(beam[1]) < 0.9 ? [0, 1, 0] : [1, 0, 0]); return [v.slice(0, 3), v.slice(3, 6)]; })();
  const most = 2 * Math.asin(Math.min(1, far / (2 * radius)));
  const point = (polar, round) => sum(middle, times(apply(turned, sum(times(beam, Math.cos(polar)), times(x, Math.sin(polar) * Math.cos(round)), times(y, Math.sin(polar) * Math.sin(round)))), radius));
  for (let i = 1; i <= 8; i++) for (let j = 0; j < 48; j++) add(point((most * i) / 8, (j * Math.PI) / 24), point((most * i) / 8, ((j + 1) * Math.PI) / 24), colour);
  for (let j = 0; j < 16; j++) for (let i = 0; i < 12; i++) add(point((most * i) / 12, (j * Math.PI) / 8), point((most * (i + 1)) / 12, (j * Math.PI) / 8), colour);
}
// The stereographic picture is drawn in its plane: a circle, and where axes meet it.
function poleLines({ add, label, ink, faint }) {
  for (let i = 0; i < 120; i++) {
    const p = (k) => [Math.cos((k * Math.PI) / 60), Math.sin((k * Math.PI) / 60), 0];
    add(p(i), p(i + 1), ink);
    if (i % 2) for (const tilt of [30, 60]) { const r = Math.tan((tilt * Math.PI) / 360); add(times(p(i), r), times(p(i + 1), r), faint); }
  }
  // Letters are turned with the points; their places are directions.
  for (const [lattice, k] of shownCrystals()) if ($("axes").checked) lattice.axes.forEach((v, i) => label(v, ["a*", "b*", "c*"][i], inkOf(k).map((c) => c / 255)));
  if ($("spindle").checked && meta.axis) label(meta.axis, "rotation axis", ink);
  if ($("beam").checked) label(meta.beam, "beam", GOLD);
}
function laboratoryLines({ add, label, ink, faint }) {
  const o = [0, 0, 0], far = reaches.laboratory;
  meta.detectors.forEach((detector) => {
    detector.corners.forEach((corners) => corners.forEach((corner, i) => add(sum(corner, moved_.shift), sum(corners[(i + 1) % 4], moved_.shift), faint)));
    const beam = norm(detector.beam), now = geometryNow();
    const end = detector.hit && now ? times(beam, Math.abs(dot(detector.normal, sum(detector.origin, moved_.shift)) / dot(detector.normal, beam))) : times(beam, far);
    add(times(beam, -0.6 * far), end, GOLD);
    label(times(beam, -0.6 * far), "beam", GOLD);
  });
  const sweep = meta.sweeps[0];
  if (!sweep) return;
  sweep.axes.forEach(({ name, direction }, i) => {
    const tip = times(norm(direction), (0.45 - 0.06 * i) * far), colour = rgb(["#4aa3df", "#1fb48a", "#cc79a7", "#e0603a"][i % 4]).map((v) => v / 255);
    add(times(tip, -1), tip, colour);
    label(tip, name, colour);
  });
  const z = number("ewaldz", meta.z[0]), forth = transposed(datum(sweep, z));
  for (const [lattice, k] of shownCrystals()) {
    if (!$("axes").checked) break;
    const colour = inkOf(k).map((v) => v / 255), stretch = 0.18 * far / Math.max(...lattice.axes.map(length));
    lattice.axes.forEach((v, i) => { const tip = times(apply(forth, meta.frames && meta.frames[k] ? apply(meta.frames[k], v) : v), stretch); add(o, tip, colour); label(tip, ["a*", "b*", "c*"][i], colour); });
  }
  if ($("ewald").checked) {
    sphere(add, o, 0.3 * far, STILL, 1e9, faint, sweep.s0);
    label(times(norm(sweep.s0), 0.3 * far), "Ewald sphere, not to scale", faint);
  }
}
