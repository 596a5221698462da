"use strict";

// The images of the page: in which order, which of them, one of them large, all of them as a table.
const CHOSEN = {
  all: () => true,
  bad: (image) => isBad(opinion(image).score),
  good: (image) => !isBad(opinion(image).score),
  marked: (image) => image.mark !== null,
};

function arranged() {
  const way = { came: 0, worst: -1, best: 1 }[byId("order").value];
  const images = state.images.filter(CHOSEN[byId("filter").value]);
  return way ? images.sort((one, other) => way * (opinion(one).score - opinion(other).score)) : images;
}

let waiting = false;

// Puts the cards in order, once for all that changed together; a card that stays in place keeps its focus.
function arrange() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    const images = arranged();
    const wanted = new Set(images.map((image) => image.number));
    for (const [number, card] of cards) card.hidden = !wanted.has(number);
    let before = null;
    for (const { number } of images) {
      const card = cards.get(number);
      const next = before ? before.nextElementSibling : byId("images").firstElementChild;
      if (card && card !== next) byId("images").insertBefore(card, next);
      before = card;
    }
  });
}

function enlargeable(card, number) {
  const stack = card.querySelector(".stack");
  stack.addEventListener("click", () => enlarge(number));
  stack.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      enlarge(number);
    }
  });
}

function enlarge(number) {
  const card = cards.get(number);
  byId("large").querySelector(".stack").replaceChildren(
    ...[...card.querySelector(".stack").children].map((layer) => layer.cloneNode(true))
  );
  const said = [".name", ".decision", ".numbers"].map((part) => card.querySelector(part).textContent);
  byId("large").querySelector(".what").textContent = said.join(", ");
  byId("large").showModal();
}

// A cell of CSV. One that a spreadsheet would take for a formula is text.
function cell(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+@\t\r-]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// What is shown, in the order in which it is shown.
function table() {
  const heading = ["name", "score", "probability", "decision", "threshold", "boxes", "mark"];
  const rows = arranged().map((image) => {
    const { score, boxes } = opinion(image);
    return [image.name, score, probability(score), decision(score), threshold, boxes.length, image.mark];
  });
  return [heading, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

function download() {
  const link = element("a", { download: `${state.name}.csv` });
  link.href = URL.createObjectURL(new Blob(["\ufeff", table()], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function startGallery() {
  for (const id of ["order", "filter"]) byId(id).addEventListener("change", arrange);
  byId("download").addEventListener("click", download);
  byId("large-close").addEventListener("click", () => byId("large").close());
}
