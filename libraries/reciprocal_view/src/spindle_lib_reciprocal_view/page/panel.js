// -- panel --------------------------------------------------------------------------------------------------------------
function checkbox(parent, id, checked, text, colour, note, change) {
  const label = document.createElement("label"), box_ = document.createElement("input");
  box_.type = "checkbox";
  box_.id = id;
  box_.checked = checked;
  box_.addEventListener("change", () => change(box_.checked));
  label.append(box_);
  if (colour) {
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = colour;
    label.append(swatch);
  }
  label.append(` ${text}`);
  if (note) {
    const small = document.createElement("span");
    small.className = "cell";
    small.textContent = note;
    label.append(small);
  }
  parent.append(label);
  return label;
}
function changed() { readFilter(); count(); redraw(); }
function latticesChanged() { tabulate(); rebuildLines(); changed(); }
function press(parent, text, act, title = "") {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: text, title });
  button.addEventListener("click", act);
  parent.append(button, " ");
  return button;
}

["unindexed", "indexed", "integrated"].forEach((name, i) => {
  const text = name === "indexed" ? "indexed, not integrated" : name;
  checkbox($("statuses"), `show_${name}`, options.statuses[i], `${text} (${meta.counts[i].toLocaleString("en")})`, null, "", changed);
});
const single = meta.lattices.slice(0, meta.toggles);
single.forEach((lattice, k) => {
  const note = lattice.cell ? `${lattice.cell}  ${lattice.group}` : "";
  const label = checkbox($("lattices"), `lattice_${k}`, shownLattice[k], `${lattice.name} (${lattice.count.toLocaleString("en")})`, lattice.colour, note,
    (on) => { shownLattice[k] = on; latticesChanged(); });
  const pick = press(label, "choose", (e) => { e.preventDefault(); choose((i) => more[4 * i + 1] === k, { add: e.shiftKey }); }, "choose its points (Shift: too)");
  pick.id = `choose_${k}`;
  label.insertBefore(pick, label.querySelector(".cell"));
});
if (meta.lattices.length > meta.toggles) {
  const rest = meta.lattices.length - meta.toggles;
  checkbox($("lattices"), "lattice_rest", shownLattice[meta.toggles], `${rest} lattices more`, null, "",
    (on) => { shownLattice.fill(on, meta.toggles); latticesChanged(); });
}
if (meta.sweeps.length > 1) {
  meta.sweeps.slice(0, 50).forEach((sweep, k) => checkbox($("sweeps"), `sweep_${k}`, true, sweep.name, sweep.colour, "", (on) => { shownSweep[k] = on; latticesChanged(); }));
} else $("sweepsection").hidden = true;
const start = {
  outliers: options.outliers, colouring: options.colouring, size: options.size, dmin: options.d[0], dmax: options.d[1], zmin: options.z[0],
  zmax: options.z[1], nmin: options.n[0], nmax: options.n[1], pmin: options.p[0], pmax: options.p[1], imin: null, imax: null,
};
for (const [id, value] of Object.entries(start)) {
  $(id).value = value ?? "";
  $(id).addEventListener("input", changed);
}
const showSize = () => { $("size").nextElementSibling.textContent = ` ${$("size").value} px`; };
$("size").addEventListener("input", showSize);
for (const id of ["axes", "cells", "spindle", "beam", "black", "ewald"]) {
  $(id).checked = Boolean(options[id]);
  $(id).addEventListener("change", () => { document.body.classList.toggle("light", !$("black").checked); latticesChanged(); });
}
$("ewaldz").value = meta.z[0];
Object.assign($("ewaldz"), { min: meta.z[0], max: meta.z[1] });
$("ewaldz").addEventListener("input", () => { rebuildLines(); redraw(); });
$("ewaldline").hidden = !meta.hasZ;
$("nearest").checked = options.nearest;
$("spin").checked = options.spin;
$("spin").addEventListener("change", redraw);
$("sizes").hidden = !meta.hasPixels;
$("parts").hidden = !meta.hasPartiality;
$("intensities").hidden = !meta.hasIntensity;
$("colouring").querySelector("[value=intensity]").hidden = !meta.hasIntensity;
$("colouring").querySelector("[value=sweep]").hidden = meta.sweeps.length < 2;
$("spindle").parentElement.hidden = !meta.axis;
$("space").addEventListener("change", () => { packed.stale = true; reset(); rebuildLines(); redraw(); });
$("tool").addEventListener("change", () => { measured.first = null; document.body.dataset.tool = $("tool").value; });
$("reset").addEventListener("click", reset);
$("fold").addEventListener("click", () => { document.body.classList.toggle("folded"); redraw(); });
$("save").addEventListener("click", () => {
  const link = document.createElement("a");
  draw();  // what was drawn before is gone
  link.download = "reciprocal_lattice.png";
  link.href = canvas.toDataURL("image/png");
  link.click();
});
// Along the direct axes of the first lattice with a crystal the layers of the lattice are seen edge on.
const crystal = meta.lattices.find((l) => l.axes);
const direct = crystal ? dual(crystal.axes) : [];
function lookAlong(direction, upright = true) {
  eye.rotation = along(direction, meta.axis && upright ? cross(direction, cross(meta.axis, direction)) : [0, 1, 0]);
  redraw();
}
const directions = direct.map((v, i) => [["a", "b", "c"][i], v]);
if (crystal) crystal.axes.forEach((v, i) => directions.push([["a*", "b*", "c*"][i], v]));
directions.push(["beam", meta.beam.map((v) => -v)]);
if (meta.axis) directions.push(["axis", meta.axis]);
for (const [name, direction] of directions) press($("views"), name, () => lookAlong(direction, name !== "axis"), `look along ${name}`);
$("zoneline").hidden = !crystal;
$("lookzone").addEventListener("click", () => {
  const words = $("zone").value.trim().split(/[\s,]+/).map(Number);
  if (words.length !== 3 || words.some((v) => !Number.isFinite(v)) || words.every((v) => v === 0)) { tell("A zone is three numbers u v w, such as 1 1 0."); return; }
  lookAlong(sum(...words.map((v, i) => times(direct[i], v))));
});
for (const name of ["axis", ...(crystal ? ["a*", "b*", "c*"] : [])]) {
  if (name === "axis" && !meta.axis) continue;
  $("about").append(new Option(name === "axis" ? "the rotation axis" : name, name));
}
press($("choices"), "Hide chosen", () => hideChosen(true), "H");
press($("choices"), "Hide others", () => hideChosen(false));
press($("choices"), "Show all", showHidden, "U");
press($("choices"), "Invert", invertChoice);
press($("choices"), "None", () => choose(() => false), "Escape");
$("export").addEventListener("click", () => exportChosen().catch((error) => tell(error.message)));
$("exportname").hidden = !served;
$("export").textContent = served ? "Export as .refl" : "Export rows";
press($("measuring"), "Cell", makeCell, "the cell of three vectors, or of two and the points between");
press($("measuring"), "Clear", () => { Object.assign(measured, { first: null, vectors: [], cell: null }); measuredChanged(); });

// -- the geometry
const first_ = geometryNow();
$("geometrysection").hidden = !first_;
if (first_) {
  const show = () => { const g = geometryNow(); $("centrex").value = g.x.toFixed(4); $("centrey").value = g.y.toFixed(4); $("distance").value = g.distance.toFixed(3); return g; };
  const said = () => {
    const g = geometryNow();
    $("command").textContent = moved_.is
      ? `spindle reciprocal_lattice_viewer ${meta.command} beam_centre=${g.x.toFixed(4)},${g.y.toFixed(4)}${moved_.reversed ? " reverse_phi=True" : ""}\nspindle import <images> geometry.detector.distance=${g.distance.toFixed(3)}`
      : "";
  };
  const apply_ = () => {
    const now = geometryNow();
    moveTo(number("centrex", now.x), number("centrey", now.y), Math.max(number("distance", now.distance), 1));
    const calculate = (most) => {
      recompute(most);
      changed();
    };
    calculate(FOLLOWING);
    clearTimeout(later);
    if (computed < n) later = setTimeout(() => calculate(n), 150);
    said();
    rebuildLines();
  };
  let later = 0;
  for (const id of ["centrex", "centrey", "distance"]) {
    if (id !== "distance") $(id).step = meta.detectors[0].pixel;
    $(id).addEventListener("input", apply_);
  }
  $("reversed").addEventListener("change", () => { moved_.reversed = $("reversed").checked; apply_(); });
  $("asbefore").addEventListener("click", () => {
    moved_.reversed = $("reversed").checked = false;
    Object.assign($("centrex"), { value: first_.x }); $("centrey").value = first_.y; $("distance").value = first_.distance;
    apply_();
    show();
  });
  show();
}
window.addEventListener("resize", redraw);
if (gl) {
  document.body.classList.toggle("light", !$("black").checked);
  showSize();
  latticesChanged();
  draw();
  state.ready = "yes";
}
