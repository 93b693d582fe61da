// What is drawn above the image.

import { ask, report } from "./api.js";
import { check, section, textField } from "./controls.js";
import { fromPanel } from "./geometry.js";

const RING = "#1f77d0";
const ICE = "#13a8b8";

export function overlays(app, settings) {
  const show = {
    beam: settings.show_beam_center, rings: settings.show_resolution_rings, ice: settings.show_ice_rings, names: false, powder: "",
  };
  const lines = { rings: null, ice: null, powder: null };

  const polyline = (context, view, points) => {
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = view.toScreen(points[i], points[i + 1]);
      if (i) context.lineTo(x, y); else context.moveTo(x, y);
    }
    context.stroke();
  };

  function label(context, view, text, colour, points) {
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = view.toScreen(points[i], points[i + 1]);
      if (x < 30 || y < 12 || x > view.width - 40 || y > view.height - 12) continue;
      context.font = "12px system-ui, sans-serif";
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.lineWidth = 3;
      context.strokeStyle = "rgba(255,255,255,0.75)";
      context.strokeText(text, x + 3, y);
      context.fillStyle = colour;
      context.fillText(text, x + 3, y);
      return;
    }
  }

  function drawRings(context, view, rings, colour) {
    for (const { d, lines: pieces } of rings) {
      context.strokeStyle = colour;
      context.lineWidth = 1;
      for (const piece of pieces) polyline(context, view, piece);
      const longest = pieces.reduce((a, b) => (b.length > a.length ? b : a), []);
      const from = 2 * Math.floor(longest.length / 16);
      label(context, view, `${Number(d.toPrecision(3))} Å`, colour, [...longest.slice(from), ...longest.slice(0, from)]);
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

  function drawNames(context, view) {
    context.strokeStyle = "rgba(120,60,160,0.8)";
    context.fillStyle = "#6a2f91";
    context.lineWidth = 1;
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    view.scene.panels.forEach((panel, k) => {
      const [w, h] = panel.size;
      const corners = [[0, 0], [w, 0], [w, h], [0, h], [0, 0]].flatMap(([x, y]) => fromPanel(view.scene, k, x, y));
      polyline(context, view, corners);
      context.fillText(`${k} ${panel.name}`, ...view.toScreen(...fromPanel(view.scene, k, w / 2, h / 2)));
    });
  }

  async function fetchRings() {
    const set = app.set;
    const wants = [["rings", show.rings, { kind: "rings" }], ["ice", show.ice, { kind: "ice" }]];
    if (show.powder) {
      const words = show.powder.split(/[\s,]+/);
      const cell = words.slice(0, 6).map(Number);
      wants.push(["powder", cell.length === 6 && cell.every((v) => v > 0), { kind: "powder", unit_cell: cell, space_group: words.slice(6).join(" ") || "P1" }]);
    }
    for (const [name, wanted, words] of wants) {
      if (wanted && !lines[name]) lines[name] = await ask("resolution_rings", { set, ...words });
    }
    for (const view of app.views) view.draw();
  }

  function draw(context, view) {
    if (!view.scene) return;
    if (show.rings && lines.rings) drawRings(context, view, lines.rings, RING);
    if (show.ice && lines.ice) drawRings(context, view, lines.ice, ICE);
    if (show.powder && lines.powder) drawRings(context, view, lines.powder, "#b8620a");
    if (show.names) drawNames(context, view);
    if (show.beam) drawBeam(context, view);
  }

  for (const view of app.views) view.painters.push(draw);

  const toggle = (name) => (value) => { show[name] = value; fetchRings().catch(report); };
  return {
    show,
    lines,
    async setChanged() { lines.rings = lines.ice = lines.powder = null; await fetchRings(); },
    imageChanged() {},
    pointed() {},
    below() { return ""; },
    sections() {
      return [
        section("Geometry", true,
          check("Beam centre", show.beam, toggle("beam")),
          check("Resolution rings", show.rings, toggle("rings")),
          check("Ice rings", show.ice, toggle("ice")),
          check("Panels and their names", show.names, toggle("names")),
          textField("Powder of cell", "", (value) => { show.powder = value; lines.powder = null; fetchRings().catch(report); }, "a b c α β γ, space group"),
        ),
      ];
    },
  };
}
