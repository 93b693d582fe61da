// From codes to colours: 0 outside, 1 masked, 2 to 254 values, 255 overload.

export const N_LINEAR = 160;

const HEAT = [
  [0.0, 25, 25, 25], [0.2, 28, 25, 25], [0.3, 40, 30, 30], [0.4, 73, 39, 39], [0.5, 140, 41, 41],
  [0.55, 195, 27, 27], [0.595, 255, 0, 0], [0.868, 255, 255, 0], [1.0, 255, 255, 255],
];

function heat(t) {
  let k = 1;
  while (k < HEAT.length - 1 && HEAT[k][0] < t) k += 1;
  const [a, b] = [HEAT[k - 1], HEAT[k]];
  const f = Math.min(1, Math.max(0, (t - a[0]) / (b[0] - a[0])));
  return [1, 2, 3].map((c) => a[c] + f * (b[c] - a[c]));
}

function rainbow(t) {
  const sextant = (255 * Math.sqrt(1 - t)) / 60;
  const band = (v) => 255 * Math.min(1, Math.max(0, v));
  return [band(Math.abs(sextant - 3) - 1), band(2 - Math.abs(sextant - 2)), band(2 - Math.abs(sextant - 4))];
}

export const schemes = {
  grayscale: (t) => [255 * (1 - t), 255 * (1 - t), 255 * (1 - t)],
  invert: (t) => [255 * t, 255 * t, 255 * t],
  rainbow,
  heatmap: heat,
};

// The value that the middle of a code stands for.
export function valueOf(code, header) {
  const k = code - 2 + 0.5 * (header.step !== 1);
  const steps = k < N_LINEAR ? k : N_LINEAR * Math.exp((k - N_LINEAR) / header.ratio);
  return header.start + steps * header.step;
}

// 256 colours, each as one 32-bit number of canvas pixels.
export function table(header, look) {
  const colours = new Uint32Array(256);
  const paint = (rgb) => (255 << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0];
  const scheme = schemes[look.scheme] || schemes.grayscale;
  const range = Math.max(look.white - look.black, 1e-12);
  for (let code = 2; code < 255; code += 1) {
    const t = Math.min(1, Math.max(0, (valueOf(code, header) - look.black) / range));
    colours[code] = paint(scheme(t ** (1 / look.gamma)).map(Math.round));
  }
  colours[0] = 0;
  colours[1] = paint(look.showMask ? [255, 0, 200] : look.scheme === "grayscale" ? [202, 212, 224] : [58, 66, 78]);
  colours[255] = paint(look.showOverload === false ? scheme(1).map(Math.round) : [254, 220, 1]);
  return colours;
}
