// Filters above the table of the catalogue: a text, a task, a family and a target. What is chosen is kept in the
// address, so that a view can be linked to. Without this script the page is the whole table.
document.addEventListener("DOMContentLoaded", () => {
  const table = document.querySelector(".catalogue table");
  if (!table) return;
  const [FAMILY, TASKS, TARGETS] = [1, 2, 3];
  const rows = [...table.tBodies[0].rows].map((row) => ({
    row,
    text: row.textContent.toLowerCase(),
    family: [row.cells[FAMILY].textContent],
    task: names(row.cells[TASKS]),
    target: names(row.cells[TARGETS]),
  }));

  function names(cell) {
    return [...cell.querySelectorAll("code")].map((code) => code.textContent);
  }

  function labelled(text, control) {
    const label = document.createElement("label");
    label.append(text, control);
    return label;
  }

  function select(name) {
    const control = document.createElement("select");
    control.name = name;
    control.append(new Option("any", ""));
    for (const value of [...new Set(rows.flatMap((row) => row[name]))].sort()) control.append(new Option(value, value));
    return control;
  }

  const form = document.createElement("form");
  const text = document.createElement("input");
  Object.assign(text, { type: "search", name: "text", placeholder: "bert, opset 18, dynamo …", autocomplete: "off" });
  const chosen = { task: select("task"), family: select("family"), target: select("target") };
  const reset = Object.assign(document.createElement("button"), { type: "reset", textContent: "Show all" });
  const count = document.createElement("output");
  count.setAttribute("aria-live", "polite");
  form.className = "catalogue-filter";
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Filter the catalogue");
  form.append(
    labelled("Text", text), labelled("Task", chosen.task), labelled("Family", chosen.family),
    labelled("Target", chosen.target), reset, count,
  );
  table.closest(".catalogue").before(form);

  function filter() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = new Set();
    for (const each of rows) {
      const fits = words.every((word) => each.text.includes(word))
        && Object.entries(chosen).every(([name, control]) => !control.value || each[name].includes(control.value));
      each.row.hidden = !fits;
      if (fits) shown.add(each.row.cells[0].textContent);
    }
    const total = new Set(rows.map((each) => each.row.cells[0].textContent)).size;
    count.textContent = `${shown.size} of ${total} architectures`;
  }

  function remember() {
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", `${location.pathname}${asked.size ? `?${asked}` : ""}${location.hash}`);
    filter();
  }

  const asked = new URLSearchParams(location.search);
  text.value = asked.get("text") ?? "";
  for (const [name, control] of Object.entries(chosen)) {
    const value = asked.get(name);
    if ([...control.options].some((option) => option.value === value)) control.value = value;
  }
  form.addEventListener("input", remember);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(remember));
  filter();
});
