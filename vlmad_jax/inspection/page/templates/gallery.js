"use strict";

// The images on the page: their order, the filter, an enlarged image, and the table to download.
const FILTERS = {
  all: () => true,
  bad: (image) => isBad(prediction(image).score),
  good: (image) => !isBad(prediction(image).score),
  marked: (image) => image.mark !== null,
};

function sortedImages() {
  const direction = { added: 0, worst: -1, best: 1 }[byId("order").value];
  const images = state.images.filter(FILTERS[byId("filter").value]);
  return direction ? images.sort((one, other) => direction * (prediction(one).score - prediction(other).score)) : images;
}

let waiting = false;

// Sorts the cards once for all changes of a task; a card that stays in place keeps its focus.
function arrange() {
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    const images = sortedImages();
    const visible = new Set(images.map((image) => image.number));
    for (const [number, card] of cards) card.hidden = !visible.has(number);
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
  const texts = [".name", ".decision", ".numbers"].map((part) => card.querySelector(part).textContent);
  byId("large").querySelector(".what").textContent = texts.join(", ");
  byId("large").showModal();
}

// Returns a cell of CSV; text that a spreadsheet would read as a formula gets an apostrophe.
function cell(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+@\t\r-]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// Returns the images that are shown, in their order, as CSV.
function table() {
  const heading = ["name", "score", "probability", "decision", "threshold", "boxes", "mark"];
  const rows = sortedImages().map((image) => {
    const { score, boxes } = prediction(image);
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
