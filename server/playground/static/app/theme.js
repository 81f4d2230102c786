/* A classic script in the head: the chosen theme is there before anything is painted. */
{
  const KEY = "mavis.theme";
  const root = document.documentElement;
  const ORDER = ["auto", "light", "dark"];

  const read = () => {
    try {
      return localStorage.getItem(KEY) ?? "auto";
    } catch {
      return "auto"; // storage is switched off; the theme then lasts as long as the page
    }
  };

  const keep = (/** @type {string} */ theme) => {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      console.info("storage is switched off: the theme is forgotten with the page");
    }
  };

  root.dataset.theme = ORDER.includes(read()) ? read() : "auto";
  document.addEventListener("next-theme", () => {
    root.dataset.theme = ORDER[(ORDER.indexOf(root.dataset.theme ?? "auto") + 1) % ORDER.length];
    keep(root.dataset.theme ?? "auto");
  });
}
