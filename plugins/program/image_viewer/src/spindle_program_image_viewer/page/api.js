// Questions to the server. Each carries the token that came with the address.

const fragment = new URLSearchParams(location.hash.slice(1));
const token = fragment.get("token") || sessionStorage.getItem("spindle-token") || "";
sessionStorage.setItem("spindle-token", token);
fragment.delete("token");

export const start = fragment;
export const traffic = { bytes: 0, answers: 0 };

export class Refused extends Error {}

async function post(name, words) {
  const response = await fetch(`/api/${name}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(words || {}),
  }).catch(() => {
    throw new Refused("The server does not answer; was spindle image_viewer stopped?");
  });
  traffic.answers += 1;
  traffic.bytes += Number(response.headers.get("content-length") || 0);
  if (!response.ok) {
    const content = await response.json().catch(() => ({ error: `the server answers ${response.status}` }));
    throw new Refused(content.error);
  }
  return response;
}

export async function ask(name, words) {
  return (await post(name, words)).json();
}

// An answer with a header and arrays: {header, data (ArrayBuffer), offset (of the arrays), bytes (on the wire)}.
export async function askArrays(name, words) {
  const response = await post(name, words);
  const data = await response.arrayBuffer();
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  return { header, data, offset: 4 + length, bytes: Number(response.headers.get("content-length") || 0) };
}

export function report(error) {
  if (!(error instanceof Refused)) {
    window.viewerErrors.push(String(error.stack || error));
    console.error(error);
  }
  const box = document.getElementById("problem");
  box.textContent = error.message || String(error);
  box.hidden = false;
  clearTimeout(report.timer);
  report.timer = setTimeout(() => (box.hidden = true), 8000);
}

window.viewerErrors = [];
window.addEventListener("error", (event) => report(event.error || new Error(event.message)));
window.addEventListener("unhandledrejection", (event) => report(event.reason));
