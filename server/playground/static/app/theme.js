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

  const apply = (theme) => {
    root.dataset.theme = ORDER.includes(theme) ? theme : "auto";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      root.dataset.themeKept = "no";
    }
  };

  root.dataset.theme = ORDER.includes(read()) ? read() : "auto";
  globalThis.nextTheme = () => {
    apply(ORDER[(ORDER.indexOf(root.dataset.theme) + 1) % ORDER.length]);
    return root.dataset.theme;
  };
}
