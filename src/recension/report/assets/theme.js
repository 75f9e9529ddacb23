"use strict";
(() => {
  const root = document.documentElement;
  const remember = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("recension-theme");
      localStorage.setItem("recension-theme", value);
    } catch {
      return null; // A page opened from disk may have no storage.
    }
    return value;
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = remember();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  const now = () => root.dataset.theme || (system.matches ? "dark" : "light");
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const name = button.querySelector(".theme-name");
    const show = () => { name.textContent = now() === "dark" ? "Light" : "Dark"; };
    button.hidden = false;
    show();
    system.addEventListener("change", show);
    button.addEventListener("click", () => {
      root.dataset.theme = now() === "dark" ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
  });
})();
