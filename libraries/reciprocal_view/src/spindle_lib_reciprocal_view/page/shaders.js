// Points: those that pass the filters, with their colours; what is chosen is larger.
const POINT_VERTEX = `
precision highp float;
attribute vec3 position;
attribute vec4 ink;       // colour; opaque: chosen
uniform mat4 view;
uniform float size;
uniform float poles;      // 1: directions in stereographic projection
uniform mat3 turned;
varying vec3 colour;

void main() {
  vec3 place = position;
  if (poles > 0.5) {
    vec3 v = turned * normalize(position);
    if (v.z < 0.0) v = -v;
    place = vec3(v.xy / (1.0 + v.z), v.z - 1.0);
  }
  gl_Position = view * vec4(place, 1.0);
  gl_PointSize = size * (ink.a > 0.5 ? 1.8 : 1.0);
  colour = ink.rgb;
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
