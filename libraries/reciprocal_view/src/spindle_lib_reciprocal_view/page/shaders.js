// Points: what is filtered out is put outside the clip volume. Status bits: 1 indexed, 2 integrated, 4 outlier, 8 hidden, 16 chosen.
const POINT_VERTEX = `
precision highp float;
attribute vec3 position;
attribute vec3 reciprocal; // where filters by resolution look, whatever is drawn
attribute vec4 more;      // z, lattice, pixels, partiality
attribute vec2 extra;     // intensity, sweep
attribute float status;
uniform mat4 view;
uniform float size;
uniform vec2 dRange, zRange, nRange, pRange, iRange, zSpan, iSpan;
uniform vec3 shown;       // unindexed, indexed, integrated
uniform float outliers;   // 0 all, 1 inliers, 2 outliers
uniform float colouring;  // 0 lattice, 1 status, 2 image, 3 resolution, 4 intensity, 5 sweep
uniform float poles;      // 1: directions in stereographic projection
uniform mat3 turned;
uniform sampler2D table;
uniform sampler2D sweeps;
uniform float tableSize, sweepsSize;
uniform float dLeast;
uniform vec3 chosenInk;
varying vec3 colour;

vec3 ramp(float t) {
  t = clamp(t, 0.0, 1.0);
  vec3 a = mix(vec3(0.27, 0.22, 0.80), vec3(0.13, 0.66, 0.78), smoothstep(0.0, 0.33, t));
  vec3 b = mix(a, vec3(0.50, 0.80, 0.25), smoothstep(0.33, 0.66, t));
  return mix(b, vec3(0.99, 0.72, 0.10), smoothstep(0.66, 1.0, t));
}
vec4 entry(sampler2D of, float number, float side) {
  return texture2D(of, (vec2(mod(number, side), floor(number / side)) + 0.5) / side);
}

void main() {
  float indexed = mod(status, 2.0);
  float integrated = mod(floor(status / 2.0), 2.0);
  float outlier = mod(floor(status / 4.0), 2.0);
  float hidden = mod(floor(status / 8.0), 2.0);
  float chosen = mod(floor(status / 16.0), 2.0);
  float d = 1.0 / max(length(reciprocal), 1e-9);
  vec4 lattice = entry(table, more.y, tableSize);
  vec4 sweep = entry(sweeps, extra.y, sweepsSize);
  bool keep = hidden < 0.5 && lattice.a > 0.5 && sweep.a > 0.5
    && ((shown.x > 0.5 && indexed < 0.5) || (shown.y > 0.5 && indexed > 0.5 && integrated < 0.5) || (shown.z > 0.5 && integrated > 0.5))
    && (outliers < 0.5 || (outliers < 1.5 ? outlier < 0.5 : outlier > 0.5))
    && d >= dRange.x && d <= dRange.y && more.x >= zRange.x && more.x <= zRange.y
    && (more.z < 0.0 || (more.z >= nRange.x && more.z <= nRange.y))
    && (more.w < 0.0 || (more.w >= pRange.x && more.w <= pRange.y))
    && extra.x >= iRange.x && extra.x <= iRange.y;
  if (!keep) { gl_Position = vec4(2.0, 2.0, 2.0, 1.0); gl_PointSize = 0.0; return; }
  vec3 place = position;
  if (poles > 0.5) {
    vec3 v = turned * normalize(position);
    if (v.z < 0.0) v = -v;
    place = vec3(v.xy / (1.0 + v.z), v.z - 1.0);
  }
  gl_Position = view * vec4(place, 1.0);
  gl_PointSize = size * (chosen > 0.5 ? 1.8 : 1.0);
  if (chosen > 0.5) colour = chosenInk;
  else if (colouring < 0.5) colour = lattice.rgb;
  else if (colouring < 1.5) colour = outlier > 0.5 ? vec3(0.84, 0.37, 0.0) : integrated > 0.5 ? vec3(0.34, 0.71, 0.91)
    : indexed > 0.5 ? vec3(0.0, 0.62, 0.45) : vec3(0.6);
  else if (colouring < 2.5) colour = ramp((more.x - zSpan.x) / max(zSpan.y - zSpan.x, 1e-6));
  else if (colouring < 3.5) colour = ramp(pow(dLeast / d, 2.0));
  else if (colouring < 4.5) colour = ramp((log(max(extra.x, iSpan.x)) - log(iSpan.x)) / max(log(iSpan.y) - log(iSpan.x), 1e-6));
  else colour = sweep.rgb;
}`;
const POINT_FRAGMENT = `
precision mediump float;
varying vec3 colour;
uniform float round_;
void main() {
  vec2 p = gl_PointCoord - 0.5;
  if (round_ > 0.5 && dot(p, p) > 0.25) discard;
  gl_FragColor = vec4(colour, 1.0);
}`;
const LINE_VERTEX = `
attribute vec3 position;
attribute vec3 tint;
uniform mat4 view;
varying vec3 colour;
void main() { gl_Position = view * vec4(position, 1.0); colour = tint; }`;
const LINE_FRAGMENT = `
precision mediump float;
varying vec3 colour;
void main() { gl_FragColor = vec4(colour, 1.0); }`;
