// -- panel --------------------------------------------------------------------------------------------------------------
function checkbox(parent, id, checked, text, colour, note, change) {
  const label = document.createElement("label"), box = document.createElement("input");
  box.type = "checkbox";
  box.id = id;
  box.checked = checked;
  box.addEventListener("change", () => change(box.checked));
  label.append(box);
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
}
function changed() { readFilter(); count(); redraw(); }
function latticesChanged() { tabulate(); rebuildLines(); changed(); }

["unindexed", "indexed", "integrated"].forEach((name, i) => {
  const text = name === "indexed" ? "indexed, not integrated" : name;
  checkbox($("statuses"), `show_${name}`, options.statuses[i], `${text} (${meta.counts[i].toLocaleString("en")})`, null, "", changed);
});
const single = meta.lattices.slice(0, meta.toggles);
single.forEach((lattice, k) => {
  const note = lattice.cell ? `${lattice.cell}  ${lattice.group}` : "";
  checkbox($("lattices"), `lattice_${k}`, shownLattice[k], `${lattice.name} (${lattice.count.toLocaleString("en")})`, lattice.colour, note,
    (on) => { shownLattice[k] = on; latticesChanged(); });
});
if (meta.lattices.length > meta.toggles) {
  const rest = meta.lattices.length - meta.toggles;
  checkbox($("lattices"), "lattice_rest", shownLattice[meta.toggles], `${rest} lattices more`, null, "",
    (on) => { shownLattice.fill(on, meta.toggles); latticesChanged(); });
}
const start = {
  outliers: options.outliers, colouring: options.colouring, size: options.size, dmin: options.d[0], dmax: options.d[1], zmin: options.z[0],
  zmax: options.z[1], nmin: options.n[0], nmax: options.n[1], pmin: options.p[0], pmax: options.p[1],
};
for (const [id, value] of Object.entries(start)) {
  $(id).value = value ?? "";
  $(id).addEventListener("input", changed);
}
const showSize = () => { $("size").nextElementSibling.textContent = ` ${$("size").value} px`; };
$("size").addEventListener("input", showSize);
for (const id of ["axes", "cells", "spindle", "beam", "black"]) {
  $(id).checked = options[id];
  $(id).addEventListener("change", () => { document.body.classList.toggle("light", !$("black").checked); latticesChanged(); });
}
$("nearest").checked = options.nearest;
$("spin").checked = options.spin;
$("spin").addEventListener("change", redraw);
$("sizes").hidden = !meta.hasPixels;
$("parts").hidden = !meta.hasPartiality;
$("spindle").parentElement.hidden = !meta.axis;
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
const directions = crystal ? ["a", "b", "c"].map((name, i) => [name, cross(crystal.axes[(i + 1) % 3], crystal.axes[(i + 2) % 3])]) : [];
directions.push(["beam", meta.beam.map((v) => -v)]);
if (meta.axis) directions.push(["axis", meta.axis]);
for (const [name, direction] of directions) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.title = `look along ${name}`;
  button.addEventListener("click", () => { eye.rotation = along(direction, meta.axis && name !== "axis" ? cross(direction, cross(meta.axis, direction)) : [0, 1, 0]); redraw(); });
  $("views").append(button, " ");
}
window.addEventListener("resize", redraw);
if (gl) {
  document.body.classList.toggle("light", !$("black").checked);
  showSize();
  latticesChanged();
  draw();
  state.ready = "yes";
}
