"""How the pages look: to eyes in the light and in the dark, on a phone, and to those who have a page read to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from support.browser import open_window
from support.peers import needs
from support.studio import Studio

pytestmark = needs("chromium")

CONTRAST = """
() => {
  const dot = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const parse = (color) => {
    if (!known.has(color)) {
      dot.clearRect(0, 0, 1, 1);
      dot.fillStyle = color;
      dot.fillRect(0, 0, 1, 1);
      known.set(color, [...dot.getImageData(0, 0, 1, 1).data].map((part) => part / 255));
    }
    return known.get(color);
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    if (!element) {
      return parse(getComputedStyle(document.documentElement).colorScheme.includes("dark") &&
        matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#ffffff");
    }
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, ground(element.parentElement));
  };
  const poor = new Map();
  let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node && seen < 2000; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) {
      continue;
    }
    if (element.closest("[aria-hidden=true], :disabled, noscript, script, style, iframe, video, audio")) {
      continue;
    }
    seen += 1;
    const style = getComputedStyle(element);
    const behind = ground(element);
    const front = over(parse(style.color), behind);
    const [high, low] = [light(front), light(behind)].sort((one, other) => other - one);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) {
      const where = `${element.localName}.${element.className}: ${node.data.trim().slice(0, 30)}`;
      poor.set(where, `${ratio.toFixed(2)} (${style.color} on ${behind.map((part) => Math.round(part * 255))})`);
    }
  }
  return [seen, Object.fromEntries(poor), getComputedStyle(document.body).backgroundColor];
}
"""

STRUCTURE = """
() => {
  const faults = [];
  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map((it) => Number(it.localName[1]));
  if (levels.filter((level) => level === 1).length !== 1) faults.push(`h1: ${levels}`);
  if (levels.some((level, at) => at && level > levels[at - 1] + 1)) faults.push(`a level is left out: ${levels}`);
  if (levels[0] !== 1) faults.push(`h1 is not the first heading: ${levels}`);
  if (document.querySelectorAll("main").length !== 1) faults.push("not one main");
  if (!document.documentElement.lang) faults.push("no language");
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (ids.length < 3000 && twice.length) faults.push(`ids that stand twice: ${twice}`);
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption && !table.closest("[aria-label]")) faults.push("a table without a caption");
  }
  for (const box of document.querySelectorAll("*")) {
    if (ids.length > 3000) break;
    const style = getComputedStyle(box);
    const scrolls = ["auto", "scroll"].includes(style.overflowX) && box.scrollWidth > box.clientWidth + 1;
    if (scrolls && box.tabIndex < 0 && !box.querySelector("a, button, input")) {
      faults.push(`cannot be scrolled by keys: ${box.localName}.${box.className}`);
    }
  }
  return faults;
}
"""

OVERFLOW = """
() => {
  const wide = document.documentElement.clientWidth;
  const faults = [];
  if (document.scrollingElement.scrollWidth > wide) {
    for (const element of document.body.querySelectorAll("*")) {
      const { right } = element.getBoundingClientRect();
      if (right > wide + 1) faults.push(`${element.localName}.${element.className} ends at ${Math.round(right)}`);
    }
    faults.push(`the page is ${document.scrollingElement.scrollWidth} wide, the window ${wide}`);
  }
  return faults.slice(-5);
}
"""

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
NAMED = (
    "button",
    "link",
    "checkbox",
    "searchbox",
    "textbox",
    "image",
    "Iframe",
    "region",
    "navigation",
    "video",
    "audio",
)


Faults: TypeAlias = dict[object, object]


@dataclass
class Seen:
    """What was found on the pages, by page; empty where there was nothing wrong."""

    unreadable: Faults = field(default_factory=dict)
    too_wide: Faults = field(default_factory=dict)
    not_to_be_read_out: Faults = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    grounds: dict[str, set[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def seen(studio: Studio, chromium: Browser) -> Seen:
    """Look at a page of each sort once, in the light and in the dark, wide and narrow."""
    seen = Seen()
    with open_window(chromium, studio.page.address, "looks") as window:
        window.expect("status of 404")
        session = window.context.new_cdp_session(window.tab)
        for name, address in studio.addresses.items():
            window.tab.set_viewport_size({"width": 1280, "height": 800})
            window.tab.goto(address)
            expect(window.tab.get_by_role("heading", level=1)).to_be_visible()
            seen.titles[name] = window.tab.title()
            if found := [*window.tab.evaluate(STRUCTURE), *nameless(session)]:
                seen.not_to_be_read_out[name] = found
            look_at_colours(window.tab, name, seen)
            for width in (360, 320):
                window.tab.set_viewport_size({"width": width, "height": 640})
                if found := window.tab.evaluate(OVERFLOW):
                    seen.too_wide[name, width] = found
    return seen


def look_at_colours(tab: Page, name: str, seen: Seen) -> None:
    """Measure the contrast of all text, in the light and in the dark."""
    for scheme in SCHEMES:
        tab.emulate_media(color_scheme=scheme)
        texts, poor, ground = tab.evaluate(CONTRAST)
        assert texts > 5
        seen.grounds.setdefault(scheme, set()).add(ground)
        if poor:
            seen.unreadable[name, scheme] = poor


def test_text_can_be_read_in_the_light_and_in_the_dark(seen: Seen) -> None:
    """On every page each text stands out from what is behind it by 4.5 to 1 at least; dark pages are dark."""
    assert seen.unreadable == {}
    assert not seen.grounds["light"] & seen.grounds["dark"]


def test_pages_fit_on_a_phone(seen: Seen) -> None:
    """No page is wider than a window of 360 pixels, or of 320: what is wide scrolls in a box of its own."""
    assert seen.too_wide == {}


def test_pages_can_be_read_out(seen: Seen) -> None:
    """Every control and picture has a name, headings are in order, tables have captions, titles tell pages apart."""
    assert seen.not_to_be_read_out == {}
    titles = [seen.titles[name] for name in ("jobs", "job", "task", "kind", "previews", "complete log", "search")]
    assert len(set(titles)) == len(titles)


def nameless(session: CDPSession) -> list[str]:
    """What the browser would tell a screen reader without a name."""
    root = session.send("DOM.getDocument", {"depth": 0})["root"]["nodeId"]
    faults = []
    for role in NAMED:
        nodes = session.send("Accessibility.queryAXTree", {"nodeId": root, "role": role})["nodes"]
        unnamed = [node for node in nodes if not node["ignored"] and not node.get("name", {}).get("value", "").strip()]
        if unnamed:
            described = session.send("DOM.describeNode", {"backendNodeId": unnamed[0]["backendDOMNodeId"]})["node"]
            faults.append(
                f"{len(unnamed)} {role} without a name, such as {described['localName']} {described['attributes']}"
            )
    return faults
