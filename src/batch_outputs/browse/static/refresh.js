// Fetches the page again now and then and puts what is new into its main part, as long as something on it may change.
//
// What is the same stays untouched, so that focus, selection, ticked boxes, pictures and open parts do, too. Rows are
// told apart by `data-key`, everything else by its place.
"use strict";

(() => {
  const main = document.getElementById("main");
  const LONGEST = 60;
  let timer = 0;
  let failures = 0;
  let asking = false;

  const notice = document.createElement("p");
  notice.className = "refreshing";
  notice.setAttribute("role", "status");
  document.body.append(notice);

  function say(sentence) {
    if (notice.textContent !== sentence) {
      notice.textContent = sentence;
    }
  }

  function seconds() {
    const asked = Number(main.dataset.refresh);
    return asked > 0 ? Math.min(asked * 2 ** failures, Math.max(asked, LONGEST)) : 0;
  }

  function wait() {
    clearTimeout(timer);
    if (seconds() && !document.hidden) {
      timer = setTimeout(refresh, seconds() * 1000);
    }
  }

  async function refresh() {
    clearTimeout(timer);
    if (asking) {
      return;
    }
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (answer.headers.get("X-Batch-Outputs") === "token") {
        delete main.dataset.refresh;
        say("The server does not know this browser any more; open the address that batch-outputs browse has printed.");
        return;
      }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      if (!fresh) {
        throw new Error("no page");
      }
      const isFailed = main.dataset.failed !== undefined;
      if (fresh.dataset.failed !== undefined && !isFailed) {
        failures += 1;
        say(`${fresh.querySelector("[role=alert]").textContent} This page is as it was, and it is tried again.`);
        return;
      }
      if (fresh.dataset.failed === undefined && isFailed) {
        location.reload(); // it is a page of another sort, with scripts of its own
        return;
      }
      update(main, fresh);
      failures = 0;
      say("");
    } catch {
      failures += 1;
      say("This page cannot be refreshed now; it is tried again.");
    } finally {
      asking = false;
      wait();
    }
  }

  function update(old, fresh) {
    updateAttributes(old, fresh);
    updateChildren(old, fresh);
  }

  function updateAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
      // What the reader has opened stays open.
      if (!fresh.hasAttribute(name) && !(name === "open" && old.localName === "details")) {
        old.removeAttribute(name);
      }
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) {
        old.setAttribute(name, value);
      }
    }
  }

  function keyOf(node) {
    return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || "" : "";
  }

  function fits(old, fresh) {
    return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);
  }

  // The nearest element behind that can become the fresh one, if nothing stands between that will be needed by its key.
  function alike(next, fresh) {
    if (fresh.nodeType !== Node.ELEMENT_NODE) {
      return null;
    }
    let found = next;
    while (found && !keyOf(found) && !fits(found, fresh)) {
      found = found.nextSibling;
    }
    return found;
  }

  function updateChildren(old, fresh) {
    const keyed = new Map();
    for (const child of old.children) {
      if (keyOf(child)) {
        keyed.set(keyOf(child), child);
      }
    }
    const wanted = new Set([...fresh.children].map(keyOf));
    // `next` is where the following child is to stand; what is before it is done.
    let next = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      while (next && (next.dataset?.script !== undefined || (keyOf(next) && !wanted.has(keyOf(next))))) {
        const following = next.nextSibling;
        if (next.dataset?.script === undefined) {
          next.remove();
        }
        next = following;
      }
      const known = keyOf(child) ? keyed.get(keyOf(child)) : alike(next, child);
      if (next && fits(next, child)) {
        apply(next, child);
        next = next.nextSibling;
      } else if (known && fits(known, child)) {
        old.insertBefore(known, next);
        apply(known, child);
      } else {
        old.insertBefore(document.importNode(child, true), next);
      }
    }
    while (next) {
      const following = next.nextSibling;
      if (next.dataset?.script === undefined) {
        next.remove();
      }
      next = following;
    }
  }

  function apply(old, fresh) {
    if (old.isEqualNode(fresh)) {
      return;
    }
    if (old.nodeType === Node.ELEMENT_NODE) {
      update(old, fresh);
    } else if (old.nodeValue !== fresh.nodeValue) {
      old.nodeValue = fresh.nodeValue;
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
    } else if (seconds()) {
      refresh();
    }
  });
  wait();
})();
