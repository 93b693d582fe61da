// What is shown: from the page itself, or from the server that gave it.
const $ = (id) => document.getElementById(id);
const state = document.body.dataset;  // what tests read: ready, visible, problem
function problem(text) { state.problem = text; $("problem").hidden = false; $("problem").textContent = text; }
window.addEventListener("error", (event) => problem(`The page does not work: ${event.message}`));

const served = window.spindleData || null;
const meta = served ? served.meta : JSON.parse($("meta").textContent);
function array(id, Type) {
  if (served) return served.arrays[id];
  const text = atob($(id).textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Type(bytes.buffer);
}
const position = array("position", Float32Array);   // 1/angstrom
const more = array("more", Float32Array);           // z, lattice, pixels, partiality; -1 where unknown
const extra = array("extra", Float32Array);         // intensity, sweep
const status_ = array("status", Uint8Array);
const hkl = array("hkl", Int16Array);
const lab = array("lab", Float32Array);             // where the spot is on the detector, mm
const row = array("row", Uint32Array);              // number in the reflection files, one after the other
const n = status_.length;
const options = meta.options;
const HIDDEN = 8, CHOSEN = 16;

// -- the geometry, moved live -------------------------------------------------------------------------------------------
// How far detectors were moved (mm, laboratory), and whether the rotation is turned round.
const moved_ = { shift: [0, 0, 0], reversed: false, is: false };
const place = { lab };                              // laboratory places with the shift
function angleAt(sweep, z) { return sweep.start + (z - sweep.first) * sweep.width; }
// From the laboratory to the frame of the points at an angle: F^T R(-angle) S^T.
function datum(sweep, z) {
  if (!sweep.S) return [1, 0, 0, 0, 1, 0, 0, 0, 1];
  const back = sweep.axis && !sweep.still ? turn(sweep.axis, (moved_.reversed ? 1 : -1) * angleAt(sweep, z)) : [1, 0, 0, 0, 1, 0, 0, 0, 1];
  return product(transposed(sweep.F), product(back, transposed(sweep.S)));
}
// Recompute the first points, which are a sample of all: so many follow the hand; the others come when it rests.
const FOLLOWING = 60000;
let computed = n;
function recompute(most = n) {
  const [sx, sy, sz] = moved_.shift, sense = moved_.reversed ? 1 : -1;
  moved_.is = true;
  computed = Math.min(n, most);
  if (place.lab === lab) place.lab = lab.slice();
  const to = place.lab;
  for (let i = 0; i < computed; i++) {
    const sweep = meta.sweeps[extra[2 * i + 1]], { S, F, s0 } = sweep;
    const x = lab[3 * i] + sx, y = lab[3 * i + 1] + sy, z = lab[3 * i + 2] + sz;
    to[3 * i] = x; to[3 * i + 1] = y; to[3 * i + 2] = z;
    const scale = 1 / (Math.sqrt(x * x + y * y + z * z) * sweep.wavelength);
    let a = x * scale - s0[0], b = y * scale - s0[1], c = z * scale - s0[2], u, v, w;
    if (S) {
      u = S[0] * a + S[3] * b + S[6] * c; v = S[1] * a + S[4] * b + S[7] * c; w = S[2] * a + S[5] * b + S[8] * c;
      if (sweep.axis && !sweep.still) {
        const e = sweep.axis, phi = sense * angleAt(sweep, more[4 * i]), cos = Math.cos(phi), sin = Math.sin(phi);
        const p = (1 - cos) * (e[0] * u + e[1] * v + e[2] * w);
        a = cos * u + sin * (e[1] * w - e[2] * v) + p * e[0];
        b = cos * v + sin * (e[2] * u - e[0] * w) + p * e[1];
        c = cos * w + sin * (e[0] * v - e[1] * u) + p * e[2];
      } else { a = u; b = v; c = w; }
      u = F[0] * a + F[3] * b + F[6] * c; v = F[1] * a + F[4] * b + F[7] * c; w = F[2] * a + F[5] * b + F[8] * c;
      a = u; b = v; c = w;
    }
    const U = meta.frames && meta.frames[more[4 * i + 1]];
    if (U) { u = U[0] * a + U[3] * b + U[6] * c; v = U[1] * a + U[4] * b + U[7] * c; w = U[2] * a + U[5] * b + U[8] * c; a = u; b = v; c = w; }
    position[3 * i] = a; position[3 * i + 1] = b; position[3 * i + 2] = c;
  }
}
// Beam centre (mm on the panel that the beam hits) and distance of the first detector, as moved.
function geometryNow() {
  const first = meta.detectors[0];
  if (!first.hit) return null;
  const origin = sum(first.origin, moved_.shift), s = first.beam;
  const t = dot(first.normal, origin) / dot(first.normal, s);
  const at = minus(times(s, t), origin);
  return { x: dot(at, first.fast), y: dot(at, first.slow), distance: Math.abs(dot(first.normal, origin)) };
}
function moveTo(x, y, distance) {
  const first = meta.detectors[0];
  moved_.shift = [0, 0, 0];
  const now = geometryNow();
  const along_ = distance - now.distance, sign = Math.sign(dot(first.normal, first.origin)) || 1;
  const far = times(first.beam, (sign * along_) / dot(first.normal, first.beam));
  moved_.shift = sum(times(first.fast, now.x - x), times(first.slow, now.y - y), far);
}
