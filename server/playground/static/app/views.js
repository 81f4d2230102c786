/** Which view is on: tabs as the ARIA practices have them, arrows move, the hidden views keep what they show. */

const VIEWS = /** @type {const} */ (["chat", "compare", "sweep"]);

/** @param {import("./state.js").State} state @param {Record<string, object & {open?: () => void}>} views */
export function viewTabs(state, views) {
  const tabs = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[role=tab]")]);
  let on = "";

  const show = () => {
    const { view } = state.settings;
    if (view === on) return;
    on = view;
    document.body.dataset.view = view;
    for (const tab of tabs) {
      const chosen = tab.dataset.view === view;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      /** @type {HTMLElement} */ (document.getElementById(`view-${tab.dataset.view}`)).hidden = !chosen;
    }
    views[view].open?.();
  };

  /** @param {number} i */
  const choose = (i) => {
    const index = (i + VIEWS.length) % VIEWS.length;
    state.set({ view: VIEWS[index] });
    tabs[index].focus();
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(i));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) choose(i + step);
    });
  });
  document.addEventListener("keydown", (event) => {
    const i = ["Digit1", "Digit2", "Digit3"].indexOf(event.code);
    if (!event.altKey || i < 0) return;
    event.preventDefault();
    choose(i);
  });
  state.addEventListener("change", show);
  show();
}
