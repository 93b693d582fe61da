// Where a point of the picture is on the detector and in the laboratory.

export function inverse(place) {
  const [[a, b, x], [c, d, y]] = place;
  const det = a * d - b * c;
  return (px, py) => [(d * (px - x) - b * (py - y)) / det, (a * (py - y) - c * (px - x)) / det];
}

// The panel below a point, and the pixel position on it: {panel, x, y}; null beside all panels. Of panels that overlap in
// the picture the last is the one that is seen.
export function onPanel(scene, px, py) {
  for (let k = scene.panels.length - 1; k >= 0; k -= 1) {
    const panel = scene.panels[k];
    panel.inverse ||= inverse(panel.place);
    const [x, y] = panel.inverse(px, py);
    if (x >= 0 && y >= 0 && x < panel.size[0] && y < panel.size[1]) return { panel: k, x, y };
  }
  return null;
}

export function fromPanel(scene, panel, x, y) {
  const [[a, b, u], [c, d, v]] = scene.panels[panel].place;
  return [a * x + b * y + u, c * x + d * y + v];
}

// Laboratory position in mm of a pixel position.
export function laboratory(scene, { panel, x, y }) {
  const { d, pixel } = scene.panels[panel];
  const [u, v] = [x * pixel[0], y * pixel[1]];
  return d.map((row) => row[0] * u + row[1] * v + row[2]);
}

export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const norm = (a) => Math.sqrt(dot(a, a));

// Scattering vector in 1/angstrom of a pixel position.
export function scattering(scene, place) {
  const lab = laboratory(scene, place);
  const scale = 1 / (norm(lab) * scene.wavelength);
  return lab.map((v, i) => v * scale - scene.s0[i]);
}

export function twoTheta(scene, place) {
  const lab = laboratory(scene, place);
  return (Math.acos(Math.min(1, Math.max(-1, dot(lab, scene.s0) / norm(lab) / norm(scene.s0)))) * 180) / Math.PI;
}

// What a section of a volume is called, and where a point of it is: places in 1/angstrom, and Miller indices where the file tells the lattice.
const level = (section, image) => (image - section.middle) * section.step;
export const sectionName = ({ section, n_images }, image) =>
  `section ${section.axes[2]} = ${level(section, image).toFixed(4)} Å⁻¹ (${image + 1} of ${n_images})`;

export function inVolume({ section, beam_centre }, image, { x, y }) {
  const q = {
    [section.axes[0]]: (x - beam_centre[1]) * section.step, [section.axes[1]]: (beam_centre[2] - y) * section.step, [section.axes[2]]: level(section, image),
  };
  const place = [q.x, q.y, q.z];
  const hkl = section.to_hkl?.map((row) => dot(row, place).toFixed(2));
  return `x ${q.x.toFixed(4)}  y ${q.y.toFixed(4)}  z ${q.z.toFixed(4)} Å⁻¹${hkl ? `  hkl ${hkl.join(" ")}` : ""}  d ${(1 / Math.max(norm(place), 1e-9)).toFixed(2)} Å`;
}
