"use strict";
const controls = document.getElementById("controls");
const frames = [...document.querySelectorAll("iframe")].map(frame => [frame, frame.srcdoc]);
const query = /\(\s*prefers-color-scheme\s*:\s*(dark|light)\s*\)/g;
function show() {
  const chosen = Object.fromEntries(new FormData(controls));
  for (const edition of document.querySelectorAll(".edition")) {
    edition.hidden = edition.dataset.index !== chosen.edition;
    for (const pane of edition.querySelectorAll("[data-pane]")) pane.hidden = pane.dataset.pane !== chosen.pane;
  }
  for (const [frame, mail] of frames) {
    const scheme = mail.replace(query, (found, name) => name === chosen.scheme ? "(min-width: 0)" : "(max-width: 0)");
    const hide = chosen.images === "off" ? "<style>img{visibility:hidden}*{background-image:none!important}</style>" : "";
    const next = scheme + hide;
    if (frame.srcdoc !== next) frame.srcdoc = next;
    frame.width = chosen.width;
    frame.style.colorScheme = chosen.scheme;
  }
}
// What was chosen outlives a reload; a page that was opened as a file may keep nothing.
function keep() {
  try { sessionStorage.setItem("chosen", JSON.stringify([...new FormData(controls)])); } catch {}
}
function restore() {
  let chosen = [];
  try { chosen = JSON.parse(sessionStorage.getItem("chosen")) ?? []; } catch {}
  for (const [name, value] of chosen) {
    const input = [...controls.elements].find(one => one.name === name && one.value === value);
    if (input) input.checked = true;
  }
}
controls.addEventListener("change", () => { show(); keep(); });
restore();
show();
{% include "pages/preview_live.js" %}
