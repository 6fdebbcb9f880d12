// Dark or light: as the system says, or as the person does.

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SAID = { auto: "as the system says", light: "light", dark: "dark" };

/** Make `button` go through the themes. The choice lasts as long as the page. */
export function startTheme(button) {
  let theme = "auto";
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = theme[0].toUpperCase() + theme.slice(1);
    button.title = `Colours: ${SAID[theme]}`;
    button.setAttribute("aria-label", button.title);
  });
}
