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
// Recompute all points. A turn is worked out per point; sines and cosines of 500,000 take some tens of milliseconds.
function recompute() {
  const [sx, sy, sz] = moved_.shift;
  moved_.is = true;
  if (place.lab === lab) place.lab = new Float32Array(lab.length);
  for (let i = 0; i < n; i++) {
    const sweep = meta.sweeps[extra[2 * i + 1]];
    const x = lab[3 * i] + sx, y = lab[3 * i + 1] + sy, z = lab[3 * i + 2] + sz;
    place.lab[3 * i] = x; place.lab[3 * i + 1] = y; place.lab[3 * i + 2] = z;
    const scale = 1 / (Math.hypot(x, y, z) * sweep.wavelength);
    let q = [x * scale - sweep.s0[0], y * scale - sweep.s0[1], z * scale - sweep.s0[2]];
    const S = sweep.S;
    if (S) {
      q = [S[0] * q[0] + S[3] * q[1] + S[6] * q[2], S[1] * q[0] + S[4] * q[1] + S[7] * q[2], S[2] * q[0] + S[5] * q[1] + S[8] * q[2]];
      if (sweep.axis && !sweep.still) {
        const a = (moved_.reversed ? 1 : -1) * angleAt(sweep, more[4 * i]), c = Math.cos(a), s = Math.sin(a), e = sweep.axis;
        const p = (1 - c) * (e[0] * q[0] + e[1] * q[1] + e[2] * q[2]);
        q = [c * q[0] + s * (e[1] * q[2] - e[2] * q[1]) + p * e[0], c * q[1] + s * (e[2] * q[0] - e[0] * q[2]) + p * e[1],
          c * q[2] + s * (e[0] * q[1] - e[1] * q[0]) + p * e[2]];
      }
      const F = sweep.F;
      q = [F[0] * q[0] + F[3] * q[1] + F[6] * q[2], F[1] * q[0] + F[4] * q[1] + F[7] * q[2], F[2] * q[0] + F[5] * q[1] + F[8] * q[2]];
    }
    const U = meta.frames && meta.frames[more[4 * i + 1]];
    if (U) q = [U[0] * q[0] + U[3] * q[1] + U[6] * q[2], U[1] * q[0] + U[4] * q[1] + U[7] * q[2], U[2] * q[0] + U[5] * q[1] + U[8] * q[2]];
    position.set(q, 3 * i);
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
  recompute();
}
