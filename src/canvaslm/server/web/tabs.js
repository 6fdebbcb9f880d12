// Tabs that the arrow keys, Home and End move between; the address remembers which is open.

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

/** Start `list`, an element with role "tablist"; `opened(name)` is called for each tab shown. */
export function startTabs(list, opened) {
  const tabs = [...list.querySelectorAll('[role="tab"]')];

  function open(tab, focus) {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      panelOf(other).hidden = !chosen;
    }
    if (focus) tab.focus();
    tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    history.replaceState(null, "", `#${nameOf(tab)}`);
    opened(nameOf(tab));
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) open(tab, false);
  });
  list.addEventListener("keydown", (event) => {
    const here = tabs.indexOf(document.activeElement);
    const ends = { Home: 0, End: tabs.length - 1 };
    const to = ends[event.key] ?? here + (STEPS[event.key] ?? NaN);
    if (here < 0 || Number.isNaN(to)) return;
    event.preventDefault();
    open(tabs[(to + tabs.length) % tabs.length], true);
  });

  const wanted = tabs.find((tab) => `#${nameOf(tab)}` === location.hash);
  if (wanted) open(wanted, false);
  else opened(nameOf(tabs[0]));
}

function nameOf(tab) {
  return tab.id.replace("tab-", "");
}

function panelOf(tab) {
  return document.getElementById(tab.getAttribute("aria-controls"));
}
