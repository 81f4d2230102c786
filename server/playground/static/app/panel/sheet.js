/** On narrow screens the settings are a sheet at the bottom, which leaves the answer above it in sight. */

import { byId } from "../dom.js";

/** @param {boolean} open */
function set(open) {
  byId("panel").classList.toggle("open", open);
  byId("open-panel").setAttribute("aria-expanded", String(open));
}

const isOpen = () => byId("panel").classList.contains("open");

export const openSheet = () => set(true);

export function settingsSheet() {
  const close = () => {
    set(false);
    byId("open-panel").focus();
  };
  byId("open-panel").addEventListener("click", () => set(!isOpen()));
  byId("close-panel").addEventListener("click", close);
  byId("panel").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || !isOpen()) return;
    event.stopPropagation(); // it would stop the answer that is written
    close();
  });
}
