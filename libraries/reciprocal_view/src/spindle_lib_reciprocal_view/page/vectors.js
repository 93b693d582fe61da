"use strict";
// Vectors and matrices: 3 x 3 matrices are nine numbers, row after row.
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const times = (a, s) => [a[0] * s, a[1] * s, a[2] * s];
const sum = (...vs) => [0, 1, 2].map((i) => vs.reduce((s, v) => s + v[i], 0));
const length = (a) => Math.hypot(a[0], a[1], a[2]);
const norm = (a) => { const l = length(a) || 1; return a.map((v) => v / l); };
const apply = (m, v) => [dot(m.slice(0, 3), v), dot(m.slice(3, 6), v), dot(m.slice(6, 9), v)];
const transposed = (m) => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];
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
// The rotation whose rows are the right, upper and near direction of a view.
function along(near, up) {
  const z = norm(near);
  let x = cross(up, z);
  if (length(x) < 1e-6) x = cross([z[1], z[2], z[0]], z);
  x = norm(x);
  return [...x, ...cross(z, x), ...z];
}
// Direct vectors of three reciprocal ones, and back.
function dual([a, b, c]) {
  const volume = dot(a, cross(b, c));
  return [cross(b, c), cross(c, a), cross(a, b)].map((v) => times(v, 1 / volume));
}
const angle = (a, b) => (180 / Math.PI) * Math.acos(Math.min(1, Math.max(-1, dot(a, b) / (length(a) * length(b)))));
