"use strict";

// The theme: what the reader has chosen, else what the system prefers. Stands in the head, so that the page does not
// flash. The choice is kept twice: in the history of the tab for reloading, where Chromium at times loses what a page
// of file:// has just stored, and in the storage for the next visit.
const THEME = "vlmad_jax-theme";
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function storedTheme() {
  try {
    const theme = localStorage.getItem(THEME);
    return ["light", "dark"].includes(theme) ? theme : null;
  } catch {
    return null;
  }
}

let chosenTheme = history.state?.theme ?? storedTheme();

function showTheme() {
  const theme = chosenTheme ?? (systemDark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
  document.querySelector(".theme-switch")?.setAttribute("aria-checked", String(theme === "dark"));
}

function switchTheme() {
  chosenTheme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  history.replaceState({theme: chosenTheme}, "");
  try {
    localStorage.setItem(THEME, chosenTheme);
  } catch {
    // The choice holds until the page is closed.
  }
  showTheme();
}

showTheme();
systemDark.addEventListener("change", showTheme);
document.addEventListener("DOMContentLoaded", () => {
  showTheme();
  document.querySelector(".theme-switch").addEventListener("click", switchTheme);
});
