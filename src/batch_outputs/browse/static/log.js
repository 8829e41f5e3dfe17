// The text of a file: wraps it, finds in what is shown, and adds to it while a log grows.
"use strict";

(() => {
  const box = document.getElementById("text");
  if (!box) {
    return;
  }
  const scroll = document.getElementById("scroll");
  const lines = document.getElementById("lines");
  const BLOCK = 200; // lines that are laid out together, as the server makes them
  const MOST = 2 * 1024 * 1024; // characters that are kept while the end is in sight
  const LONGEST_LINE = 256 * 1024; // characters of a line that has no end yet
  const NEAR_END = 40; // pixels

  document.getElementById("controls").hidden = false;

  /* Where the reader is */

  let atEnd = false;

  function toEnd() {
    atEnd = true;
    scroll.scrollTop = scroll.scrollHeight;
    // Blocks that come into sight may turn out to be taller than they were taken for.
    requestAnimationFrame(() => {
      scroll.scrollTop = scroll.scrollHeight;
    });
  }

  scroll.addEventListener("scroll", () => {
    atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END;
    if (atEnd) {
      sayArrived(0);
    }
  }, { passive: true });
  if (location.hash === "#end") {
    toEnd();
  }
  document.getElementById("to-end")?.addEventListener("click", toEnd);

  /* Wrap */

  const wrap = document.getElementById("wrap");

  function setWrap(on) {
    const wasAtEnd = atEnd;
    lines.classList.toggle("wrap", on);
    wrap.setAttribute("aria-pressed", String(on));
    if (wasAtEnd) {
      toEnd();
    }
  }

  function remembered() {
    try {
      return localStorage.getItem("wrap") === "on";
    } catch {
      return false; // a browser may keep nothing
    }
  }

  wrap.addEventListener("click", () => {
    const on = wrap.getAttribute("aria-pressed") !== "true";
    setWrap(on);
    try {
      localStorage.setItem("wrap", on ? "on" : "off");
    } catch {
      // not kept, then
    }
  });
  setWrap(remembered());

  /* A click on a line's number makes the address lead there. */

  lines.addEventListener("click", (event) => {
    const line = event.target;
    if (line.id && line.dataset.n && event.clientX < scroll.getBoundingClientRect().left + gutter(line)) {
      location.replace(`#${line.id}`);
    }
  });

  function gutter(line) {
    return parseFloat(getComputedStyle(line, "::before").width);
  }

  /* Search in what is shown */

  const MOST_FOUND = 10000;
  const input = document.getElementById("find");
  const form = input.form;
  const found = document.getElementById("found");
  const painter = globalThis.CSS && CSS.highlights && globalThis.Highlight ? CSS.highlights : null;
  let ranges = [];
  let now = -1;
  let searching = 0;

  function needle() {
    const text = input.value;
    // As the server does: without capitals, capitals are found, too.
    const anyCase = text === text.toLowerCase();
    return { text, prepare: anyCase ? (line) => line.toLowerCase() : (line) => line };
  }

  function search() {
    const wanted = needle();
    const place = ranges[now];
    ranges = [];
    now = -1;
    if (wanted.text) {
      for (const line of lines.querySelectorAll(".block > span")) {
        const node = line.firstChild;
        const text = node ? wanted.prepare(node.data) : "";
        let at = text.indexOf(wanted.text);
        // Letters that change their length with their case would move all that follows.
        while (at >= 0 && text.length === node.length && ranges.length < MOST_FOUND) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + wanted.text.length);
          ranges.push(range);
          at = text.indexOf(wanted.text, at + wanted.text.length);
        }
      }
      if (place) {
        now = ranges.findIndex((range) => range.compareBoundaryPoints(Range.START_TO_START, place) >= 0);
      }
    }
    if (painter) {
      painter.set("found", new Highlight(...ranges));
    }
    paintNow();
  }

  function paintNow() {
    const range = ranges[now];
    if (painter) {
      const current = new Highlight(...(range ? [range] : []));
      current.priority = 1;
      painter.set("found-now", current);
    } else {
      lines.querySelector(".current")?.classList.remove("current");
      range?.startContainer.parentElement.classList.add("current");
    }
    document.getElementById("finding").hidden = ranges.length === 0;
    const many = ranges.length.toLocaleString("en") + (ranges.length === MOST_FOUND ? " or more" : "");
    let text = "";
    if (input.value && ranges.length === 0) {
      text = "not in what is shown";
    } else if (input.value) {
      text = now >= 0 ? `${(now + 1).toLocaleString("en")} of ${many} shown` : `${many} shown`;
    }
    if (found.textContent !== text) {
      found.textContent = text;
    }
  }

  function go(step) {
    if (ranges.length === 0) {
      return;
    }
    if (now < 0) {
      now = step > 0 ? firstInSight() : ranges.length - 1;
    } else {
      now = (now + step + ranges.length) % ranges.length;
    }
    const range = ranges[now];
    range.startContainer.parentElement.scrollIntoView({ block: "center", inline: "nearest" });
    const place = range.getBoundingClientRect();
    const frame = scroll.getBoundingClientRect();
    const left = frame.left + gutter(range.startContainer.parentElement);
    if (place.left < left || place.right > frame.right) {
      scroll.scrollLeft += place.left - left - 40;
    }
    if (place.top < frame.top || place.bottom > frame.bottom) {
      scroll.scrollTop += place.top - frame.top - frame.height / 2;
    }
    paintNow();
  }

  function firstInSight() {
    const top = scroll.getBoundingClientRect().top;
    const first = ranges.findIndex((range) => range.getBoundingClientRect().top >= top);
    return first < 0 ? 0 : first;
  }

  function searchSoon(wait) {
    if (!searching) {
      searching = setTimeout(() => {
        searching = 0;
        search();
      }, wait);
    }
  }

  input.addEventListener("input", () => searchSoon(150));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && ranges.length > 0) {
      event.preventDefault();
      go(event.shiftKey ? -1 : 1);
    }
  });
  document.getElementById("find-next").addEventListener("click", () => go(1));
  document.getElementById("find-previous").addEventListener("click", () => go(-1));
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
  form.addEventListener("submit", () => clearTimeout(searching));
  if (input.value) {
    search();
    const target = location.hash.startsWith("#L") && document.getElementById(location.hash.slice(1));
    const first = ranges.findIndex((range) => target && target.compareDocumentPosition(range.startContainer) & 20);
    if (first >= 0) {
      now = first - 1;
      go(1);
    }
  }

  /* A log that grows */

  const arrived = document.getElementById("arrived");
  let arrivedLines = 0;

  function sayArrived(count) {
    arrivedLines = count;
    arrived.hidden = count === 0;
    arrived.textContent = `${count.toLocaleString("en")} new line${count === 1 ? "" : "s"}: jump to end`;
  }

  arrived.addEventListener("click", () => {
    toEnd();
    scroll.focus();
  });

  if (box.dataset.follow === undefined) {
    return;
  }

  const pause = document.getElementById("pause");
  const live = document.getElementById("live");
  const dropped = document.getElementById("dropped");
  const address = new URL(box.dataset.follow, location.href);
  let offset = Number(address.searchParams.get("offset"));
  let number = box.dataset.line ? Number(box.dataset.line) : null; // of the line that comes next
  let begun = box.dataset.begun !== undefined; // whether the last line shown is to come again, with its end
  let line = null; // the one that has no end yet
  let raw = ""; // and its text as it came
  let size = lines.textContent.length;
  let waiting = ""; // what has come and is not shown yet
  let waitingLines = 0;
  let skipped = 0; // lines that will not be shown, as more came than is kept
  let ended = false;
  let whenOver = ""; // what is left to be said of the end when a pause is over
  let source = null;
  let again = 0;
  let pauseBeforeTry = 2000;
  let drawing = 0;
  let sayingSoon = 0;

  const sizeFact = document.getElementById("size");
  const changedFact = document.getElementById("changed");
  const stateBadge = document.getElementById("state");
  let known = Number(box.dataset.size);
  let isPartial = box.dataset.partial !== undefined; // its end is not marked, and for long nothing has come
  const moment = (text) => Date.parse(text.replace(" ", "T"));
  // By the clock here, which may go otherwise than the server's.
  let changed = Date.now() - moment(box.dataset.now) + moment(changedFact.title);

  // As the server says it.
  function saySize(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let value = bytes;
    let unit = 0;
    while (unit < 4 && value >= (unit === 0 ? 1000 : 999.95)) {
      value /= 1000;
      unit += 1;
    }
    sizeFact.textContent = `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
    sizeFact.title = `${bytes.toLocaleString("en")} bytes`;
  }

  // Also as the server says it.
  function sayChanged() {
    const seconds = Math.floor((Date.now() - changed) / 1000);
    const units = [["h", 3600], ["min", 60], ["s", 5]];
    const [unit, length] = units.find(([, least]) => seconds >= least) ?? ["", 0];
    const count = unit === "s" ? seconds : Math.floor(seconds / length);
    changedFact.textContent = unit ? `${count} ${unit} ago` : "just now";
    changedFact.title = `${new Date(changed).toISOString().slice(0, 19).replace("T", " ")}Z`;
  }

  function grows() {
    if (offset <= known) {
      return; // it is the last line once more
    }
    known = offset;
    changed = Date.now();
    sayChanged();
    if (isPartial) {
      isPartial = false;
      stateBadge.textContent = "still growing";
      stateBadge.className = "badge live";
      stateBadge.title = "The log's end is not marked yet, and it changed a short while ago.";
    }
  }

  setInterval(() => {
    if (changed && Date.now() - changed < 86400000 && !document.hidden) {
      sayChanged();
    }
  }, 5000);

  const paused = () => pause.getAttribute("aria-pressed") === "true";

  function say(sentence, kind = "live") {
    live.className = `notice ${kind}`;
    if (live.textContent !== sentence) {
      live.textContent = sentence;
    }
  }

  function sayState() {
    if (ended) {
      if (whenOver) {
        say(whenOver, "done");
      }
      return;
    }
    if (paused()) {
      const many = `${waitingLines.toLocaleString("en")} new line${waitingLines === 1 ? "" : "s"}`;
      say(waitingLines ? `Paused; ${many} waiting.` : "Paused.", "paused");
    } else if (isPartial) {
      say("Its end is not marked; what still comes is shown.");
    } else {
      say("Following the log as it grows.");
    }
  }

  // Who listens to the page is not to hear of every line.
  function sayStateSoon() {
    sayingSoon ||= setTimeout(() => {
      sayingSoon = 0;
      sayState();
    }, 1500);
  }

  function addLine() {
    let block = lines.lastElementChild;
    if (!block || !block.classList.contains("block") || block.childElementCount >= BLOCK) {
      block = document.createElement("code");
      block.className = "block";
      lines.append(block);
    }
    const added = document.createElement("span");
    if (number !== null) {
      added.id = `L${number}`;
      added.dataset.n = String(number);
      widen(added.dataset.n.length);
    } else {
      added.dataset.n = "·";
    }
    added.append("");
    block.append(added);
    return added;
  }

  let digits = Number(/digits-([0-9]+)/.exec(lines.className)?.[1] ?? 4);

  function widen(width) {
    if (width > digits && width <= 20) {
      lines.classList.replace(`digits-${digits}`, `digits-${width}`);
      digits = width;
    }
  }

  function addToLine(text, isEnded) {
    line ??= addLine();
    const node = line.firstChild;
    const before = node.length;
    raw += text;
    if (isEnded || raw.includes("\r") || raw.length > LONGEST_LINE) {
      if (raw.length > LONGEST_LINE) {
        raw = raw.slice(-LONGEST_LINE / 2);
      }
      // A lone carriage return begins the line anew; what it had stays in sight, above.
      node.data = raw.replace(/\r+$/, "").replaceAll("\r", "\n") + (isEnded ? "\n" : "");
    } else {
      node.appendData(text);
    }
    size += node.length - before;
    if (isEnded) {
      line = null;
      raw = "";
      number = number === null ? null : number + 1;
    }
  }

  function draw() {
    drawing = 0;
    if (paused() || (!waiting && !skipped)) {
      return;
    }
    const stays = atEnd;
    if (begun) {
      // The last line has come again, as it is now.
      begun = false;
      const last = lines.lastElementChild?.lastElementChild;
      size -= last?.textContent.length ?? 0;
      last?.remove();
    }
    const text = waiting;
    const count = waitingLines;
    waiting = "";
    waitingLines = 0;
    if (skipped) {
      // Nothing of what is shown goes before what follows now.
      lines.replaceChildren();
      size = 0;
      number = number === null ? null : number + skipped;
      line = null;
      raw = "";
      skipped = 0;
      dropped.hidden = false;
    }
    const parts = text.split("\n");
    parts.forEach((part, index) => {
      const isEnded = index < parts.length - 1;
      if (part || isEnded) {
        addToLine(part, isEnded);
      }
    });
    dropOldest(stays ? MOST : 2 * MOST);
    if (stays) {
      toEnd();
    } else {
      sayArrived(arrivedLines + count);
    }
    if (input.value) {
      searchSoon(500);
    }
  }

  function dropOldest(most) {
    while (size > most && lines.childElementCount > 1) {
      const oldest = lines.firstElementChild;
      const height = oldest.offsetHeight;
      size -= oldest.textContent.length;
      oldest.remove();
      dropped.hidden = false;
      if (!atEnd && CSS.supports && !CSS.supports("overflow-anchor", "auto")) {
        scroll.scrollTop -= height;
      }
    }
  }

  function take(text) {
    waiting += text;
    waitingLines += count(text);
    if (waiting.length > 2 * MOST) {
      const cut = waiting.indexOf("\n", waiting.length - MOST) + 1 || waiting.length - MOST;
      const lost = count(waiting.slice(0, cut));
      skipped += lost;
      waitingLines -= lost;
      waiting = waiting.slice(cut);
    }
    if (paused()) {
      sayStateSoon();
    } else {
      drawing ||= requestAnimationFrame(draw);
    }
  }

  function count(text) {
    let lineEnds = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
      lineEnds += 1;
    }
    return lineEnds;
  }

  function end(sentence, kind) {
    ended = true;
    clearTimeout(sayingSoon);
    close();
    if (paused() && waiting) {
      whenOver = kind === "done" ? sentence : "";
      say(`${sentence} What came last is shown once the pause is over.`, kind);
    } else {
      say(sentence, kind);
      pause.hidden = true;
    }
  }

  function complete(exitCode) {
    stateBadge.textContent = "complete";
    stateBadge.className = "badge";
    stateBadge.title = "The log was saved to its end.";
    if (typeof exitCode === "number") {
      const badge = document.getElementById("exit-code");
      badge.textContent = `exit code ${exitCode}`;
      badge.className = exitCode === 0 ? "badge ok" : "badge bad";
      badge.hidden = false;
      end(`The log is complete; its program ended with ${exitCode}.`, "done");
    } else {
      end("The log is complete.", "done");
    }
  }

  function beginAgain() {
    end("Another attempt has begun this log anew. ", "trouble");
    const link = document.createElement("a");
    link.href = box.dataset.page;
    link.textContent = "Show it";
    live.append(link);
  }

  function close() {
    clearTimeout(again);
    source?.close();
    source = null;
  }

  function open() {
    close();
    address.searchParams.set("offset", String(offset));
    source = new EventSource(address);
    source.addEventListener("open", () => {
      pauseBeforeTry = 2000;
      sayState();
    });
    source.addEventListener("text", (event) => {
      const told = JSON.parse(event.data);
      offset = told.offset;
      saySize(offset);
      address.searchParams.set("log", told.log);
      grows();
      if (!paused()) {
        sayState();
      }
      take(told.text);
    });
    source.addEventListener("complete", (event) => complete(JSON.parse(event.data).exit_code));
    source.addEventListener("begun-anew", beginAgain);
    source.addEventListener("gone", () => end("The log was deleted.", "trouble"));
    source.addEventListener("refused", (event) => end(JSON.parse(event.data).sentence, "trouble"));
    source.addEventListener("outage", (event) => {
      say(`${JSON.parse(event.data).sentence} This goes on as soon as it can.`, "trouble");
    });
    source.addEventListener("recovery", sayState);
    source.addEventListener("error", () => {
      say("The connection is lost; it is tried again.", "trouble");
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        seeWhy();
      }
    });
  }

  // What was answered in place of events is not told to who listens to them.
  async function seeWhy() {
    let why = "";
    try {
      why = (await fetch(address, { method: "HEAD" })).headers.get("X-Batch-Outputs");
    } catch {
      // the server is away
    }
    if (ended || source) {
      return;
    }
    if (why === "token") {
      end("The server does not know this browser any more; open the address that batch-outputs browse has printed.", "trouble");
    } else {
      again = setTimeout(open, pauseBeforeTry);
      pauseBeforeTry = Math.min(2 * pauseBeforeTry, 30000);
    }
  }

  pause.addEventListener("click", () => {
    pause.setAttribute("aria-pressed", String(!paused()));
    if (!paused()) {
      draw();
      pause.hidden = ended;
    }
    sayState();
  });

  // A browser has few connections to one server, and a page out of sight needs none.
  let hiding = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) {
      hiding = setTimeout(close, 10000);
    } else if (!ended && !source) {
      open();
    }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted && !ended) {
      open();
    }
  });

  if (!location.hash) {
    toEnd();
  }
  say("Connecting …");
  open();
})();
