// The page of reciprocal space, given its points by the server.

import { ask, askArrays, report, start } from "./api.js";

const KINDS = { float32: Float32Array, uint32: Uint32Array, int16: Int16Array, uint8: Uint8Array };

function script(name) {
  return new Promise((done, failed) => {
    const element = Object.assign(document.createElement("script"), { src: `lattice/${name}.js`, onload: done, onerror: () => failed(new Error(`${name}.js cannot be loaded`)) });
    document.body.append(element);
  });
}

async function begin() {
  document.getElementById("count").textContent = "The points are on their way …";
  const { header, data, offset } = await askArrays("lattice", {});
  const arrays = {};
  let at = offset;
  for (const { name, type, n } of header.arrays) {
    arrays[name] = new KINDS[type](data, at, n);
    at += arrays[name].byteLength;
  }
  // One bit for each row: half a million of them are 80 kB.
  const exportRows = async (rows, name) => {
    const bytes = new Uint8Array((rows[rows.length - 1] >> 3) + 1);
    for (const row of rows) bytes[row >> 3] |= 1 << (row & 7);
    let text = "";
    for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
    return (await ask("export_rows", { bits: btoa(text), name })).said;
  };
  window.spindleData = { meta: header.meta, arrays, exportRows };
  document.title = `Reciprocal lattice: ${header.meta.title}`;
  document.querySelector("h1").textContent = header.meta.title;
  const link = Object.assign(document.createElement("a"), { href: "./", textContent: "Images" });
  document.getElementById("others").append(link);
  for (const name of header.scripts) await script(name);
  if (start.get("space")) {
    document.getElementById("space").value = start.get("space");
    document.getElementById("space").dispatchEvent(new Event("change"));
  }
}

begin().catch(report);
