// Opening images and experiments from folders of the machine where the server runs.

import { ask, report } from "./api.js";
import { button, line, make } from "./controls.js";

export async function openFolder(app, path = "") {
  const dialog = document.getElementById("folder");
  let listing;
  try { listing = await ask("folder", { path }); } catch (error) { report(error); return; }
  const list = make("div", { className: "list" });
  const entry = (name, note, act) => make("button", { className: "entry", type: "button", onclick: act }, name, make("small", { textContent: note }));
  if (listing.above) list.append(entry("..", "folder above", () => openFolder(app, listing.above)));
  for (const name of listing.folders) list.append(entry(`${name}/`, "folder", () => openFolder(app, `${listing.path}/${name}`)));
  for (const one of listing.entries) {
    list.append(entry(one.name, one.n > 1 ? `${one.n} files` : one.kind, async () => {
      list.style.opacity = 0.5;
      try {
        const state = await ask("open", { paths: one.paths });
        app.takeState(state);
        if (state.opened) await app.openSet(state.opened[0]);
        else await app.overlays.setChanged();
        dialog.close();
      } catch (error) { report(error); } finally { list.style.opacity = 1; }
    }));
  }
  dialog.replaceChildren(
    make("b", { textContent: listing.path }), list,
    line(button("Close", () => dialog.close()), make("span", { textContent: "Images are read where they are; nothing is copied." })),
  );
  if (!dialog.open) dialog.showModal();
}
