// A box at the head of each list that selects all of it; lists work without.
"use strict";

(() => {
  const main = document.getElementById("main");

  function boxesOf(table) {
    return [...table.querySelectorAll('tbody input[name]')];
  }

  function show(table) {
    const all = table.querySelector("thead input");
    const boxes = boxesOf(table);
    const picked = boxes.filter((box) => box.checked).length;
    all.checked = picked > 0 && picked === boxes.length;
    all.indeterminate = picked > 0 && picked < boxes.length;
  }

  function prepare() {
    for (const corner of main.querySelectorAll("table.outputs thead td.for-pick:empty")) {
      const label = document.createElement("label");
      label.className = "pick all";
      label.dataset.script = "";
      const box = document.createElement("input");
      box.type = "checkbox";
      const text = document.createElement("span");
      text.className = "unseen";
      text.textContent = "Select all";
      label.append(box, text);
      corner.append(label);
      show(corner.closest("table"));
    }
  }

  main.addEventListener("change", ({ target }) => {
    const table = target.closest("table.outputs");
    if (!table) {
      return;
    }
    if (target.closest("thead")) {
      for (const box of boxesOf(table)) {
        box.checked = target.checked;
      }
    }
    show(table);
  });
  main.addEventListener("reset", () => setTimeout(() => main.querySelectorAll("table.outputs").forEach(show)));
  // Rows come and go while the page refreshes itself.
  new MutationObserver(() => {
    prepare();
    main.querySelectorAll("table.outputs").forEach(show);
  }).observe(main, { childList: true, subtree: true });
  prepare();
})();
