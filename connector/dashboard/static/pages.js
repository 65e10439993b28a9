// What the pages do beyond links and forms: live parts that do not move under a hand, a box that
// ticks all boxes, and the editor of mappings. Every page can be read without it.
"use strict";

// A part that renews itself waits while somebody is in it: with the focus, the mouse or a selection.
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (!part.classList.contains("calm")) return;
  const selected = document.getSelection();
  const within = part.contains(document.activeElement) || part.querySelector("details[open]") ||
    (selected && !selected.isCollapsed && part.contains(selected.anchorNode));
  if (within) event.detail.shouldSwap = false;
});

// Nobody looks: nothing is asked for.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.target.classList.contains("calm")) event.preventDefault();
});

document.addEventListener("change", (event) => {
  if (!event.target.matches("input.all")) return;
  for (const box of event.target.closest("form").querySelectorAll("input[name=id]")) {
    box.checked = event.target.checked;
  }
});

// --- the editor

const area = document.querySelector("textarea.code");
if (area && window.CodeMirror) edit(area);

function edit(area) {
  const readOnly = area.dataset.readOnly === "true";
  const editor = window.CodeMirror.fromTextArea(area, {
    mode: "yaml",
    lineNumbers: true,
    readOnly,
    indentUnit: 2,
    tabSize: 2,
    lineWrapping: true,
    screenReaderLabel: area.dataset.label,
    gutters: readOnly ? [] : ["CodeMirror-lint-markers"],
    lint: readOnly ? false : { getAnnotations: annotations, lintOnChange: false },
    // The tab key leaves the editor, as everywhere on the page; blanks indent.
    extraKeys: { Tab: false, "Shift-Tab": false, "Ctrl-]": "indentMore", "Ctrl-[": "indentLess" },
  });
  // What scrolls must be in reach of the keyboard.
  const scroller = editor.getScrollerElement();
  scroller.tabIndex = 0;
  scroller.setAttribute("role", "region");
  scroller.setAttribute("aria-label", area.dataset.label);
  if (readOnly) return;
  editor.on("change", () => {
    editor.save();
    area.dispatchEvent(new Event("typed", { bubbles: true }));
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target.id === "preview") editor.performLint();
  });
  document.addEventListener("click", (event) => {
    const told = event.target.closest("li[data-line]");
    if (!told) return;
    editor.focus();
    editor.setCursor(Number(told.dataset.line) - 1, Number(told.dataset.column) - 1);
  });
  editor.performLint();
}

function annotations() {
  return [...document.querySelectorAll("#preview li[data-line]")].map((told) => {
    const line = Number(told.dataset.line) - 1, column = Number(told.dataset.column) - 1;
    return {
      from: window.CodeMirror.Pos(line, column),
      to: window.CodeMirror.Pos(line, column + 1),
      message: told.dataset.text,
      severity: told.classList.contains("error") ? "error" : "warning",
    };
  });
}
