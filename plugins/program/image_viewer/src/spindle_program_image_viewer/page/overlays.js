// What is drawn above the image: rings, beam, axes, panels, reflections.

import { ask, report } from "./api.js";
import { button, check, line, make, numberField, section, textField } from "./controls.js";
import { dot, fromPanel, laboratory, norm, onPanel } from "./geometry.js";

const LATTICES = ["#1f6fd6", "#d9480f", "#2b8a3e", "#9c36b5", "#c2255c", "#0b7285", "#846200", "#5f3dc4"];
const KIND_NAMES = ["strong", "indexed", "predicted", "integrated", "rejected"];
const KIND_COLOURS = ["#e8590c", "#1f6fd6", "#9c36b5", "#2b8a3e", "#c92a2a"];

export const text = (context, words, x, y, colour, size = 12) => {
  context.font = `${size}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = "rgba(255,255,255,0.75)";
  context.strokeText(words, x, y);
  context.fillStyle = colour;
  context.fillText(words, x, y);
};

export function overlays(app, settings) {
  const cell = settings.unit_cell;
  const show = {
    beam: settings.show_beam_center, rings: settings.show_resolution_rings, ice: settings.show_ice_rings, silver: settings.calibrate_silver,
    names: false, powder: cell ? [...cell.unit_cell, cell.space_group].join(" ") : "", powderLimit: cell?.d_min ?? null, only: cell?.only ?? null,
    centroids: settings.show_ctr_mass, brightest: settings.show_max_pix, pixels: settings.show_all_pix, boxes: settings.show_shoebox,
    predictions: settings.show_predictions, indices: settings.show_miller_indices, indexedOnly: settings.show_indexed,
    integratedOnly: settings.show_integrated, crystals: settings.show_basis_vectors, axis: settings.show_rotation_axis,
    scale: settings.basis_vector_scale || 10, byLattice: true, rejected: true,
  };
  // Of each kind the rings of each image set.
  const lines = { rings: {}, ice: {}, silver: {}, powder: {} };
  const colours = { rings: "#1f77d0", ice: "#13a8b8", silver: "#6c757d", powder: "#b8620a" };
  let dMin = settings.d_min;

  const polyline = (context, view, points, close) => {
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = view.toScreen(points[i], points[i + 1]);
      if (i) context.lineTo(x, y); else context.moveTo(x, y);
    }
    if (close) context.closePath();
    context.stroke();
  };

  function drawRings(context, view, rings, colour) {
    for (const { d, lines: pieces } of rings) {
      context.strokeStyle = colour;
      context.lineWidth = 1;
      for (const piece of pieces) polyline(context, view, piece);
      const longest = pieces.reduce((a, b) => (b.length > a.length ? b : a), []);
      const from = 2 * Math.floor(longest.length / 16);
      const places = [...longest.slice(from), ...longest.slice(0, from)];
      for (let i = 0; i < places.length; i += 2) {
        const [x, y] = view.toScreen(places[i], places[i + 1]);
        if (x < 30 || y < 12 || x > view.width - 40 || y > view.height - 12) continue;
        text(context, `${Number(d.toPrecision(3))} Å`, x + 3, y, colour);
        break;
      }
    }
  }

  function drawBeam(context, view) {
    const centre = view.scene.beam_centre;
    if (!centre) return;
    const [x, y] = view.toScreen(...fromPanel(view.scene, ...centre));
    context.strokeStyle = "#d81e1e";
    context.lineWidth = 1.5;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [0, 1]]) {
      context.moveTo(x - 11 * dx, y - 11 * dy); context.lineTo(x - 3 * dx, y - 3 * dy);
      context.moveTo(x + 3 * dx, y + 3 * dy); context.lineTo(x + 11 * dx, y + 11 * dy);
    }
    context.stroke();
  }

  // Directions as they are seen from the sample: projected along the beam onto the panel that it hits.
  function drawAxes(context, view) {
    const { scene, axes } = view;
    if (!axes || !scene.beam_centre) return;
    const [panel, x0, y0] = scene.beam_centre;
    const { d, pixel } = scene.panels[panel];
    const fast = [d[0][0], d[1][0], d[2][0]];
    const slow = [d[0][1], d[1][1], d[2][1]];
    const from = view.toScreen(...fromPanel(scene, panel, x0, y0));
    for (const { name, lattice, vector } of axes) {
      if (name === "axis" ? !show.axis : !show.crystals) continue;
      const factor = name === "axis" ? 10 * show.scale / Math.max(...pixel) : scene.distance * scene.wavelength * show.scale / 10 / Math.max(...pixel) * 10;
      const at = [x0 + dot(vector, fast) * factor * (Math.max(...pixel) / pixel[0]), y0 + dot(vector, slow) * factor * (Math.max(...pixel) / pixel[1])];
      const to = view.toScreen(...fromPanel(scene, panel, ...at));
      context.strokeStyle = name === "axis" ? "#0ca678" : LATTICES[lattice % LATTICES.length];
      context.lineWidth = 2;
      context.beginPath(); context.moveTo(...from); context.lineTo(...to); context.stroke();
      text(context, name, to[0] + 4, to[1], context.strokeStyle);
    }
  }

  function drawNames(context, view) {
    context.strokeStyle = "rgba(120,60,160,0.8)";
    context.lineWidth = 1;
    view.scene.panels.forEach((panel, k) => {
      const [w, h] = panel.size;
      polyline(context, view, [[0, 0], [w, 0], [w, h], [0, h]].flatMap(([x, y]) => fromPanel(view.scene, k, x, y)), true);
      text(context, `${k} ${panel.name}`, ...view.toScreen(...fromPanel(view.scene, k, w * 0.1, h / 2)), "#6a2f91", 11);
    });
  }

  function wanted(t, i) {
    const kind = t.kind[i];
    if (kind >= 2 && !show.predictions) return false;
    if (show.indexedOnly && !t.hkl[i]) return false;
    if (show.integratedOnly && kind >= 2 && kind !== 3) return false;
    return kind !== 4 || show.rejected;
  }

  const colourOf = (t, i) => {
    if (t.kind[i] === 4) return KIND_COLOURS[4];
    return show.byLattice && t.lattice[i] >= 0 ? LATTICES[t.lattice[i] % LATTICES.length] : KIND_COLOURS[t.kind[i]];
  };

  function drawReflections(context, view) {
    const { scene, tables } = view;
    const { zoom } = view.camera;
    const [left, top] = view.toPicture(-40, -40);
    const [right, bottom] = view.toPicture(view.width + 40, view.height + 40);
    for (const t of tables || []) {
      for (let i = 0; i < t.row.length; i += 1) {
        if (!wanted(t, i)) continue;
        const panel = t.panel[i];
        const at = t.observed[i] || t.calculated[i];
        if (!at) continue;
        const [px, py] = fromPanel(scene, panel, at[0], at[1]);
        if (px < left || px > right || py < top || py > bottom) continue;
        const colour = colourOf(t, i);
        context.strokeStyle = colour;
        context.fillStyle = colour;
        if (show.pixels && t.strong[i].length && zoom > 1.5) {
          context.globalAlpha = 0.35;
          for (let k = 0; k < t.strong[i].length; k += 2) quad(context, view, panel, t.strong[i][k], t.strong[i][k + 1], 1, 1, true);
          context.globalAlpha = 1;
        }
        if (show.boxes && t.box[i] && zoom > 0.35) {
          const [x0, x1, y0, y1] = t.box[i];
          context.lineWidth = t.kind[i] === 4 ? 1 : 1.25;
          context.setLineDash(t.kind[i] === 2 || t.kind[i] === 4 ? [3, 2] : []);
          quad(context, view, panel, x0, y0, x1 - x0, y1 - y0, false);
          context.setLineDash([]);
        }
        context.lineWidth = 1.25;
        if (t.observed[i] && show.centroids) {
          const [x, y] = view.toScreen(...fromPanel(scene, panel, t.observed[i][0], t.observed[i][1]));
          const r = show.boxes && zoom > 0.35 && t.box[i] ? Math.min(3, Math.max(1.5, zoom)) : 4;
          context.beginPath(); context.arc(x, y, r, 0, 7); context.stroke();
        }
        if (t.calculated[i] && show.predictions) {
          const [x, y] = view.toScreen(...fromPanel(scene, panel, t.calculated[i][0], t.calculated[i][1]));
          context.beginPath(); context.moveTo(x - 4, y - 4); context.lineTo(x + 4, y + 4); context.moveTo(x - 4, y + 4); context.lineTo(x + 4, y - 4); context.stroke();
        }
        if (show.brightest && t.brightest[i] && zoom > 1.5) {
          context.strokeStyle = "#f03e9e";
          quad(context, view, panel, t.brightest[i][0], t.brightest[i][1], 1, 1, false);
        }
        if (show.indices && t.hkl[i]) {
          const [x, y] = view.toScreen(px, py);
          text(context, t.hkl[i].join(" "), x + 6, y - 7, colour, 11);
        }
      }
    }
    const chosen = app.chosen;
    if (chosen && chosen.view === view && chosen.set === view.set) {
      const [x, y] = view.toScreen(...chosen.place);
      context.strokeStyle = "#f59f00";
      context.lineWidth = 2;
      context.beginPath(); context.arc(x, y, Math.max(9, 6 * zoom), 0, 7); context.stroke();
    }
  }

  function quad(context, view, panel, x, y, w, h, fill) {
    context.beginPath();
    [[x, y], [x + w, y], [x + w, y + h], [x, y + h]].forEach(([u, v], k) => {
      const at = view.toScreen(...fromPanel(view.scene, panel, u, v));
      if (k) context.lineTo(...at); else context.moveTo(...at);
    });
    context.closePath();
    if (fill) context.fill(); else context.stroke();
  }

  async function fetchRings() {
    const wants = [["rings", show.rings, { kind: "rings" }], ["ice", show.ice, { kind: "ice" }], ["silver", show.silver, { kind: "silver" }]];
    if (show.powder) {
      const words = show.powder.split(/[\s,]+/);
      const numbers = words.slice(0, 6).map(Number);
      wants.push(["powder", numbers.length === 6 && numbers.every((v) => v > 0), {
        kind: "powder", unit_cell: numbers, space_group: words.slice(6).join(" ") || "P1", d_min: show.powderLimit, only: show.only,
      }]);
    }
    // Where the geometry is assumed, rings would mean nothing.
    const sets = new Set(app.views.filter((view) => view.scene?.has_geometry).map((view) => view.set));
    for (const set of sets) {
      for (const [name, isWanted, words] of wants) {
        if (isWanted && !lines[name][set]) lines[name][set] = await ask("resolution_rings", { set, ...words });
      }
    }
    redraw();
  }

  const redraw = () => { for (const view of app.views) view.draw(); };

  // Reflections of the image of a view; those of an image that is left meanwhile are dropped.
  async function fetchReflections(view) {
    const wish = (view.wish = {});
    if (!app.tables.length && !app.hasCrystals && !show.axis) { view.tables = null; view.axes = null; return; }
    const { set, image } = view;
    const found = await ask("reflections", { set, image, d_min: dMin || null });
    if (view.wish !== wish) return;
    view.tables = found.tables;
    view.axes = found.axes;
    const counts = new Map();
    for (const t of found.tables) for (let i = 0; i < t.row.length; i += 1) counts.set(t.kind[i], (counts.get(t.kind[i]) || 0) + 1);
    if (view === app.view) summary.textContent = [...counts].map(([k, n]) => `${n} ${KIND_NAMES[k]}`).join(", ") || "none on this image";
    view.draw();
  }

  const summary = make("p", { id: "reflection-summary" });

  function painter(context, view) {
    if (!view.scene) return;
    for (const name of Object.keys(lines)) {
      if (show[name] && lines[name][view.set]) drawRings(context, view, lines[name][view.set], colours[name]);
    }
    if (show.names) drawNames(context, view);
    drawReflections(context, view);
    drawAxes(context, view);
    if (show.beam && view.scene.has_geometry) drawBeam(context, view);
  }

  // The reflection nearest to a place of the picture, within some pixels of the screen.
  function nearest(view, place, reach = 12) {
    let best = null;
    for (const t of view.tables || []) {
      for (let i = 0; i < t.row.length; i += 1) {
        if (!wanted(t, i)) continue;
        const at = t.observed[i] || t.calculated[i];
        if (!at) continue;
        const [x, y] = fromPanel(view.scene, t.panel[i], at[0], at[1]);
        const distance = Math.hypot(x - place[0], y - place[1]) * view.camera.zoom;
        if (distance < reach + 3 * view.camera.zoom && (!best || distance < best.distance)) best = { t, i, distance, place: [x, y] };
      }
    }
    return best;
  }

  const toggle = (name) => (value) => { show[name] = value; fetchRings().catch(report); };
  const flip = (name, words) => check(words, show[name], (value) => { show[name] = value; redraw(); if (name === "axis" && value) for (const v of app.views) fetchReflections(v).catch(report); });

  return {
    show, lines, nearest, redraw, quad, polyline,
    attach(view) { view.painters.push(painter); },
    setChanged: fetchRings,
    imageChanged() { for (const view of app.views) if (view.scene) fetchReflections(view).catch(report); },
    refresh: (view) => fetchReflections(view),
    pointed() {},
    below(view, place) {
      const found = nearest(view, place);
      if (!found) return "";
      const { t, i } = found;
      return `  ${KIND_NAMES[t.kind[i]]}${t.hkl[i] ? ` hkl ${t.hkl[i].join(" ")}` : ""}${t.lattice[i] >= 0 ? ` lattice ${t.lattice[i]}` : ""}`;
    },
    sections() {
      return [
        section("Geometry", true,
          check("Beam centre", show.beam, toggle("beam")),
          check("Resolution rings", show.rings, toggle("rings")),
          check("Ice rings", show.ice, toggle("ice")),
          check("Silver behenate", show.silver, toggle("silver")),
          textField("Rings of cell", show.powder, (value) => { show.powder = value; show.powderLimit = null; show.only = null; lines.powder = {}; fetchRings().catch(report); }, "a b c α β γ, space group"),
          flip("names", "Panels and their names"),
          flip("axis", "Rotation axis"),
        ),
        section("Spots and reflections", true,
          summary,
          flip("boxes", "Boxes"), flip("centroids", "Centroids (circles)"), flip("predictions", "Predictions (crosses)"),
          flip("pixels", "Pixels of spots"), flip("brightest", "Brightest pixels"), flip("indices", "Miller indices"),
          flip("indexedOnly", "Indexed only"), flip("integratedOnly", "Integrated only"), flip("rejected", "Rejected (red)"),
          flip("byLattice", "Colours by lattice"), flip("crystals", "Axes of crystals"),
          numberField("To resolution", dMin, (v) => { dMin = v; this.imageChanged(); }, { unit: "Å", placeholder: "all" }),
          line(button("Predict", async () => {
            const state = await ask("predict").catch(report);
            if (state) { app.takeState(state); this.imageChanged(); }
          }, "Predict the reflections of all crystals")),
        ),
      ];
    },
  };
}

export { laboratory, norm, onPanel };
