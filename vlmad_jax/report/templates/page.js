// Numbers before text, and what is undefined last in both directions; equals stay in the order given.
const collator = new Intl.Collator("en", { numeric: true });

function sortKey(cell) {
  const value = cell.dataset.value;
  if (value === undefined) return { rank: 1, text: cell.textContent };
  return value === "" ? { rank: 2 } : { rank: 0, number: Number(value) };
}

function compared(a, b, sign) {
  if (a.rank !== b.rank) return a.rank - b.rank;
  if (a.rank === 0) return sign * (a.number - b.number);
  return a.rank === 1 ? sign * collator.compare(a.text, b.text) : 0;
}

function sorted(elements, cellOf, direction) {
  if (direction === "none") return elements;
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = elements.map((element) => ({ element, key: sortKey(cellOf(element)) }));
  return keyed.sort((a, b) => compared(a.key, b.key, sign)).map(({ element }) => element);
}

const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function makeSortable(table) {
  const body = table.tBodies[0];
  const given = [...body.rows];
  const headings = [...table.querySelectorAll("th[aria-sort]")];
  headings.forEach((heading, n) => {
    heading.querySelector("button").addEventListener("click", () => {
      const direction = NEXT[heading.getAttribute("aria-sort")];
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", direction);
      body.append(...sorted(given, (row) => row.cells[n], direction));
    });
  });
}

function makeFilterable(gallery) {
  const list = gallery.querySelector(".cards");
  const given = [...list.children];
  const selects = [...gallery.querySelectorAll("[data-filter]")];
  const order = gallery.querySelector("[data-sort]");
  const [category, defect] = ["category", "defect"].map((name) => selects.find((s) => s.dataset.filter === name));
  const defects = [...defect.options];

  function offerDefects() {
    const cards = given.filter((card) => !category.value || card.dataset.category === category.value);
    const offered = new Set(["", ...cards.map((card) => card.dataset.defect)]);
    const before = defect.value;
    defect.replaceChildren(...defects.filter((option) => offered.has(option.value)));
    defect.value = offered.has(before) ? before : "";
  }

  function filter() {
    const wanted = selects.filter((select) => select.value);
    for (const card of given) {
      card.hidden = !wanted.every((select) => card.dataset[select.dataset.filter] === select.value);
    }
    const shown = given.filter((card) => !card.hidden);
    gallery.querySelector("output").value = `${shown.length} of ${given.length}`;
  }

  function sort() {
    list.append(...sorted(given, (card) => card.querySelector("[data-value]"), order.value));
  }

  category.addEventListener("change", offerDefects);
  selects.forEach((select) => select.addEventListener("change", filter));
  order.addEventListener("change", sort);
  filter();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("table").forEach(makeSortable);
  document.querySelectorAll(".gallery").forEach(makeFilterable);
});
