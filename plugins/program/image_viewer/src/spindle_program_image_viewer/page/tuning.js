// Thresholds tried on the image that is seen: their parameters, their pixels, the spots, the command.

import { ask, askArrays, report } from "./api.js";
import { button, check, choice, line, make, numberField, section, textField } from "./controls.js";

const MAPS = ["image", "mean", "variance", "dispersion", "sigma_b", "sigma_s", "threshold", "global_threshold"];

export function tuning(app, settings) {
  let thresholds = [];
  let chosen = null;
  const values = {};
  const state = { on: settings.show_threshold_pix, pixels: null, spots: null, map: settings.display };
  const form = make("div");
  const command = make("pre", { className: "command", id: "threshold-command" });
  const counts = make("p", { id: "threshold-counts" });

  async function load() {
    thresholds = (await ask("thresholds")).filter((t) => !t.problem);
    const names = thresholds.map((t) => t.name);
    select(names.includes("dispersion_extended") ? "dispersion_extended" : names[0], true);
    picker.replaceWith((picker = choice("Threshold", names, chosen.name, (name) => { select(name); fetch_(); })));
  }

  function select(name, first) {
    chosen = thresholds.find((t) => t.name === name);
    const given = settings.threshold[chosen.scope] || settings.threshold[name] || {};
    values[name] ||= {};
    form.replaceChildren(...chosen.fields.map((field) => {
      const start = values[name][field.name] ?? given[field.name] ?? field.value;
      if (given[field.name] !== undefined && given[field.name] !== null && String(given[field.name]) !== String(field.value)) values[name][field.name] = given[field.name];
      const act = (value) => { if (value === null || value === "") delete values[name][field.name]; else values[name][field.name] = value; fetch_(); };
      let control;
      if (field.kind === "bool") control = check(field.name, start === true, act);
      else if (field.kind === "choice") control = choice(field.name, ["", ...field.choices.filter((c) => c !== "None")], start ?? "", act);
      else if (field.kind === "numbers") control = textField(field.name, (start || []).join(","), (v) => act(v.split(/[\s,]+/).map(Number)));
      else if (field.kind === "number") control = numberField(field.name, typeof start === "number" ? start : null, act, { placeholder: String(start ?? "None") });
      else control = textField(field.name, start ?? "", act);
      control.title = field.help;
      return control;
    }));
    if (!first) state.spots = null;
  }

  async function fetch_() {
    if (!state.on || !chosen || app.set < 0) { state.pixels = null; app.view.draw(); return; }
    const wish = (state.wish = {});
    try {
      const { header, data, offset } = await askArrays("strong_pixels", { set: app.set, image: app.image, algorithm: chosen.name, values: values[chosen.name] });
      if (state.wish !== wish) return;
      state.pixels = new Int32Array(data, offset);
      state.image = app.image;
      command.textContent = header.command;
      counts.textContent = `${header.n_strong} strong pixels of ${header.n_good}`;
      app.view.draw();
    } catch (error) { report(error); }
  }

  async function findSpots() {
    counts.textContent = "finding spots ...";
    try {
      const found = await ask("find_spots", { set: app.set, image: app.image, algorithm: chosen.name, values: values[chosen.name] });
      state.spots = { image: app.image, places: found.spots };
      command.textContent = found.command;
      counts.textContent = `${found.n_spots} spots on this image`;
      app.view.draw();
    } catch (error) { counts.textContent = ""; report(error); }
  }

  function painter(context, view) {
    if (view !== app.view || !view.scene) return;
    if (state.on && state.pixels && state.image === view.image) {
      const [left, top] = view.toPicture(-2, -2);
      const [right, bottom] = view.toPicture(view.width + 2, view.height + 2);
      const size = Math.max(1, view.camera.zoom);
      context.fillStyle = "rgba(32, 140, 60, 0.75)";
      for (let k = 0; k < state.pixels.length; k += 2) {
        const [x, y] = [state.pixels[k], state.pixels[k + 1]];
        if (x < left || x > right || y < top || y > bottom) continue;
        const at = view.toScreen(x, y);
        context.fillRect(at[0], at[1], size, size);
      }
    }
    if (state.spots && state.spots.image === view.image) {
      context.strokeStyle = "#e8590c";
      context.lineWidth = 1.5;
      for (const place of state.spots.places) {
        const [x, y] = view.toScreen(...place);
        context.beginPath(); context.arc(x, y, Math.max(6, 3 * view.camera.zoom), 0, 7); context.stroke();
      }
    }
  }

  let picker = choice("Threshold", [], "", () => {});
  const live = check("Strong pixels, live", state.on, (value) => { state.on = value; fetch_(); });
  return {
    state, fetch: fetch_, load, values, findSpots,
    choose(name) { picker.set(name); select(name); return fetch_(); },
    attach(view) { view.painters.push(painter); },
    display: () => (state.map === "image" ? {} : { display: state.map, settings: settings.maps }),
    imageChanged() { if (state.on) { clearTimeout(state.timer); state.timer = setTimeout(fetch_, app.playing ? 600 : 60); } },
    sections() {
      return [section("Threshold tuning", Boolean(state.on || state.map !== "image"),
        choice("Show", MAPS, state.map, (value) => { state.map = value; app.view.anchor = null; app.refetch(); }),
        live, picker, form, line(button("Find spots of this image", findSpots)), counts, command)];
    },
  };
}
