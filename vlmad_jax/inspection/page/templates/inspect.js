"use strict";

// The server says what it thinks of each image; all that hangs on the threshold is worked out here, so that
// every decision follows the slider at once.
const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const BARS = 40;

let state = null; // as GET state has it
let threshold = 0;
let judge = "own"; // or "trial": the words that are tried
let version = 0; // of heat maps, which a browser would else take from its memory
const cards = new Map(); // by the image's number

// Asking the server

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

const post = (path, content) => ask(path, { method: "POST", body: JSON.stringify(content) });

function tell(text) {
  byId("status").textContent = text;
}

function complain(problems) {
  byId("problems").replaceChildren(...problems.map((text) => element("p", {}, text)));
  byId("problems").hidden = !problems.length;
}

// Runs what a person asked for; `elements` cannot be used meanwhile.
async function attempt(elements, work) {
  complain([]);
  elements.forEach((each) => (each.disabled = true));
  try {
    await work();
  } catch (error) {
    tell("");
    complain([error.message]);
  } finally {
    elements.forEach((each) => (each.disabled = false));
  }
}

function element(name, attributes, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Decisions

const shown = (number) => String(Number(Number(number).toPrecision(4)));
const isBad = (score) => score > threshold;
const decision = (score) => (isBad(score) ? "bad" : "good");
const probability = (score) => 1 / (1 + Math.exp((threshold - score) / state.decision.scale));
const opinion = (image) => image[judge] ?? image.own;
const share = (part, whole) => (whole ? `${part} of ${whole} (${((100 * part) / whole).toFixed(1)}%)` : "none yet");

// The first version of a good image is itself; of one image alone there are only variations.
function goodScores() {
  const own = state.good.filter(([number]) => number === 0);
  return (own.length ? own : state.good).map(([, score]) => score);
}

// A number as people type it, with a point or a comma; NaN for what is none, "1.000,5" among it.
const typed = (text) => (/^\s*[-+]?(\d+[.,]?\d*|[.,]\d+)(e[-+]?\d+)?\s*$/i.test(text) ? Number(text.replace(",", ".")) : NaN);

let before = 0; // the threshold when typing began

function typeThreshold(text) {
  const value = typed(text);
  byId("threshold-value").setAttribute("aria-invalid", String(!Number.isFinite(value)));
  complain(Number.isFinite(value) ? [] : [`"${text}" is no number; write for example 0.25`]);
  setThreshold(Number.isFinite(value) ? value : before); // what was typed on the way to nonsense does not stay
}

function setThreshold(value) {
  if (!Number.isFinite(value)) return;
  threshold = value;
  showThreshold();
  state.images.forEach(showDecision);
}

function showThreshold() {
  const scores = state.images.map((image) => opinion(image).score);
  const good = goodScores();
  const all = [...scores, ...good, state.decision.threshold, threshold];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const margin = 0.08 * (most - least) || 0.05 * Math.abs(most) || 0.05;
  const [low, high] = [least - margin, most + margin];
  const slider = byId("threshold");
  [slider.min, slider.max, slider.value] = [low, high, threshold];
  slider.setAttribute("aria-valuetext", shown(threshold));
  if (document.activeElement !== byId("threshold-value")) byId("threshold-value").value = shown(threshold);
  byId("low").textContent = shown(low);
  byId("high").textContent = shown(high);
  drawHistogram(good, scores, low, high);

  const marked = (mark) => state.images.filter((image) => image.mark === mark);
  const count = (images, bad) => images.filter((image) => isBad(opinion(image).score) === bad).length;
  const references = goodScores();
  byId("called-bad").textContent = share(count(state.images, true), state.images.length);
  byId("false-alarms").textContent = share(references.filter(isBad).length, references.length);
  byId("missed").textContent = share(count(marked("bad"), false), marked("bad").length);
  byId("alarmed").textContent = share(count(marked("good"), true), marked("good").length);
  byId("save-threshold").disabled = threshold === state.decision.threshold;
  byId("flag").hidden = threshold === state.decision.threshold;
  byId("flag").querySelector("code").textContent = `--threshold=${threshold}`;
  byId("refit-what").textContent = `${marked("good").length} marked good, ${marked("bad").length} marked bad.`;
  showEffect();
}

function drawHistogram(good, dropped, low, high) {
  const at = (score) => (480 * (score - low)) / (high - low);
  const counts = new Array(BARS).fill(0);
  good.forEach((score) => (counts[Math.min(BARS - 1, Math.floor((BARS * (score - low)) / (high - low)))] += 1));
  const highest = Math.max(1, ...counts);
  const wide = 480 / BARS;
  const bars = counts.map((count, n) => [n, (72 * count) / highest]).filter(([, height]) => height);
  const line = (x, top, bottom, kind) => drawn("line", { x1: x, x2: x, y1: top, y2: bottom, class: kind });
  byId("histogram").replaceChildren(
    ...bars.map(([n, height]) =>
      drawn("rect", { x: n * wide + 0.5, y: 76 - height, width: wide - 1, height, class: "good" })
    ),
    drawn("line", { x1: 0, x2: 480, y1: 76, y2: 76, class: "base" }),
    ...dropped.map((score) => line(at(score), 80, 100, "dropped")),
    line(at(threshold), 0, 100, "threshold")
  );
  const what = `${good.length} good images and ${dropped.length} images from ${shown(low)} to ${shown(high)}`;
  byId("histogram").setAttribute("aria-label", `${what}, the threshold at ${shown(threshold)}`);
}

function showEffect() {
  const both = state.images.filter((image) => image.trial);
  const other = both.filter((image) => isBad(image.own.score) !== isBad(image.trial.score)).length;
  byId("words-effect").textContent = state.trial ? `${other} of ${both.length} decisions differ.` : "";
}

// Cards

function addCard(image) {
  const card = byId("card").content.firstElementChild.cloneNode(true);
  const { name, number } = image;
  card.querySelector(".image").src = `images/${number}/image`;
  card.querySelector(".image").alt = name;
  card.querySelector(".name").textContent = name;
  card.querySelector(".found").setAttribute("viewBox", `0 0 ${image.size[1]} ${image.size[0]}`);
  card.querySelector(".found").setAttribute("preserveAspectRatio", "none");
  for (const button of card.querySelectorAll("[data-mark]")) {
    button.addEventListener("click", () => attempt([], () => mark(number, button.dataset.mark)));
  }
  const remove = card.querySelector(".remove");
  remove.setAttribute("aria-label", `Remove ${name}`);
  remove.addEventListener("click", () => attempt([remove], () => removeImage(number)));
  cards.set(number, card);
  card.querySelector(".stack").setAttribute("aria-label", `Enlarge ${name}`);
  enlargeable(card, number);
  byId("images").append(card);
}

function showImage(image) {
  if (!cards.has(image.number)) addCard(image);
  const card = cards.get(image.number);
  const layer = judge === "trial" && image.trial ? "trial" : "own";
  card.querySelector(".heat").src = `images/${image.number}/${layer}?v=${version}`;
  card.querySelector(".found").replaceChildren(
    ...opinion(image).boxes.map(({ x, y, width, height }) => drawn("rect", { x, y, width, height }))
  );
  for (const button of card.querySelectorAll("[data-mark]")) {
    button.setAttribute("aria-pressed", String(image.mark === button.dataset.mark));
  }
  showDecision(image);
}

function showDecision(image) {
  const card = cards.get(image.number);
  const { score, boxes } = opinion(image);
  card.classList.toggle("bad", isBad(score));
  card.querySelector(".decision").textContent = decision(score);
  const regions = boxes.length === 1 ? "1 box" : `${boxes.length} boxes`;
  const sure = `probability ${(100 * probability(score)).toFixed(1)}%`;
  card.querySelector(".numbers").textContent = `score ${shown(score)}, ${sure}, ${regions}`;
  const other = card.querySelector(".other");
  other.hidden = !image.trial;
  if (image.trial) {
    const said = ["own", "trial"].map((who) => `${shown(image[who].score)} ${decision(image[who].score)}`);
    other.textContent = `its own words: ${said[0]}; these: ${said[1]}`;
  }
  const verdict = card.querySelector(".verdict");
  const wrong = image.mark && image.mark !== decision(score);
  verdict.textContent = image.reference
    ? "A reference now: the detector knows it."
    : wrong && (image.mark === "bad" ? "Missed: it is bad." : "False alarm: it is good.");
  verdict.hidden = !image.reference && !wrong;
  arrange();
}

function showAll(fresh) {
  const fitted = state?.decision.threshold;
  state = fresh;
  if (state.decision.threshold !== fitted) threshold = state.decision.threshold;
  version += 1;
  if (!state.trial) judge = "own";
  byId("judge").hidden = !state.trial;
  document.querySelector(`[name=judge][value=${judge}]`).checked = true;
  byId("detector").textContent = state.name;
  document.title = `${state.object} - ${state.name}`;
  byId("rule").textContent = state.rule;
  byId("no-words").textContent = state.why_no_words;
  byId("no-words").hidden = state.words !== null;
  byId("words").hidden = state.words === null;
  byId("own-words").disabled = !state.trial;
  byId("refit").hidden = state.out === null;
  byId("no-refit").hidden = state.out !== null;
  byId("out").textContent = state.out ?? "";
  byId("refit-name").value = state.suggested ?? "";
  byId("refit-words").checked = false;
  byId("refit-words").disabled = !state.trial;
  showImages();
}

function fillWords(words) {
  for (const kind of ["good", "bad"]) byId(`words-${kind}`).value = words?.[kind].join("\n") ?? "";
}

function showImages() {
  const numbers = new Set(state.images.map((image) => image.number));
  for (const [number, card] of cards) {
    if (!numbers.has(number)) {
      card.remove();
      cards.delete(number);
    }
  }
  state.images.forEach(showImage);
  byId("empty").hidden = state.images.length > 0;
  showThreshold();
}

// What people do

function put(image) {
  const before = state.images.findIndex((other) => other.number === image.number);
  if (before < 0) state.images.push(image);
  else state.images[before] = image;
  showImage(image);
  byId("empty").hidden = true;
  showThreshold();
}

async function addFiles(files) {
  const problems = [];
  const most = Number(byId("files").dataset.most);
  complain([]);
  for (const [n, file] of files.entries()) {
    tell(`Judging ${file.name}, ${n + 1} of ${files.length} ...`);
    try {
      if (file.size > most) throw new Error(`${file.name}: has more than ${most / 2 ** 20} MB; make it smaller`);
      put(await ask(`images?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }));
    } catch (error) {
      problems.push(error.message);
    }
  }
  tell(`${files.length - problems.length} of ${files.length} judged.`);
  complain(problems);
}

async function mark(number, kind) {
  const before = state.images.find((image) => image.number === number).mark;
  put(await post(`images/${number}/mark`, { mark: before === kind ? null : kind }));
}

async function removeImage(number) {
  await ask(`images/${number}`, { method: "DELETE" });
  state.images = state.images.filter((image) => image.number !== number);
  showImages();
  byId("files").focus();
}

async function tryWords(words) {
  tell("Judging with other words ...");
  judge = words.good ? "trial" : "own";
  const fresh = await post("words", words);
  showAll(fresh);
  if (!words.good) fillWords(state.words);
  tell(words.good ? "Judged with these words too." : "Judged by its own words.");
}

function typedWords() {
  const lines = (kind) => byId(`words-${kind}`).value.split("\n").filter((line) => line.trim());
  return { good: lines("good"), bad: lines("bad") };
}

async function refit() {
  const before = `before, at ${shown(state.decision.threshold)}`;
  setThreshold(state.decision.threshold);
  const missedBefore = byId("missed").textContent;
  byId("refitting").hidden = false;
  tell("Refitting; this takes as long as the first fit ...");
  try {
    const [name, replace, words] = [byId("refit-name").value, byId("refit-replace").checked, byId("refit-words").checked];
    const fresh = await post("refit", { name, replace, words });
    judge = "own";
    byId("refit-replace").checked = false;
    threshold = fresh.decision.threshold;
    showAll(fresh);
    fillWords(state.words);
    complain(fresh.left_out);
    const after = `Marked bad, but missed at ${shown(threshold)}: ${byId("missed").textContent}`;
    tell(`Saved as ${fresh.name} in ${fresh.out}; it judges now. ${after}; ${before}: ${missedBefore}.`);
  } finally {
    byId("refitting").hidden = true;
  }
}

async function saveThreshold() {
  const fresh = await post("threshold", { threshold });
  showAll(fresh);
  tell(`Saved in ${fresh.name}: its threshold is ${shown(threshold)} now.`);
}

function start() {
  startGallery();
  byId("files").addEventListener("change", async (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    await addFiles(files);
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    if (event.dataTransfer.files.length) addFiles([...event.dataTransfer.files]);
  });
  byId("threshold").addEventListener("input", (event) => setThreshold(event.target.valueAsNumber));
  byId("threshold-value").addEventListener("input", (event) => typeThreshold(event.target.value));
  byId("threshold-value").addEventListener("focus", () => (before = threshold));
  byId("threshold-value").addEventListener("blur", () => {
    byId("threshold-value").removeAttribute("aria-invalid");
    showThreshold();
  });
  byId("save-threshold").addEventListener("click", () => attempt([byId("save-threshold")], saveThreshold));
  byId("reset").addEventListener("click", () => setThreshold(state.decision.threshold));
  byId("opacity").addEventListener("input", (event) => {
    document.body.style.setProperty("--opacity", event.target.valueAsNumber / 100);
  });
  byId("boxes").addEventListener("change", (event) => {
    document.body.classList.toggle("no-boxes", !event.target.checked);
  });
  byId("judge").addEventListener("change", (event) => {
    judge = event.target.value;
    showImages();
  });
  byId("words").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt([event.submitter].filter(Boolean), () => tryWords(typedWords()));
  });
  byId("own-words").addEventListener("click", () => attempt([], () => tryWords({})));
  byId("refit").addEventListener("submit", (event) => {
    event.preventDefault();
    attempt([byId("refit-start")], refit);
  });
  attempt([], async () => {
    showAll(await ask("state"));
    if (state.trial) judge = "trial";
    fillWords(state.trial ?? state.words);
    showImages();
    document.querySelector(`[name=judge][value=${judge}]`).checked = true;
  });
}

start();
