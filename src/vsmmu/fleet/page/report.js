"use strict";
// Sort and search the tables that are there; nothing is loaded, nothing is stored.
const text = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
const order = new Intl.Collator(undefined, { numeric: true }).compare;
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => order(text(a, column), text(b, column)));
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}
for (const label of document.querySelectorAll("label.search")) {
  const input = label.querySelector("input");
  const table = document.getElementById(input.getAttribute("aria-controls"));
  const status = label.querySelector("output");
  label.hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const line = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => line.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    status.textContent = words.length ? `${shown} of ${table.tBodies[0].rows.length} rows` : "";
  });
}
for (const link of document.querySelectorAll("a[href^='#topology-']")) {
  link.addEventListener("click", () => {
    const target = document.getElementById(link.getAttribute("href").slice(1));
    if (target) target.open = true;
  });
}
