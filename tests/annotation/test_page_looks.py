"""Whoever cannot see colours, hover or use a large window can use the annotation page as well."""

import pytest

# All texts that are seen, with the contrast of their colour to what lies behind them (WCAG 2).
_CONTRASTS = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = rgb => {
    const [r, g, b] = rgb.map(v => v / 255).map(
      v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(e).backgroundColor);
      if (a === 1) return [r, g, b];
      if (a > 0) throw new Error("a translucent background");
    }
    return [255, 255, 255];
  };
  const result = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
      || (e.matches("input[type=text], input[type=number]") && e.value);
    if (own && e.checkVisibility({visibilityProperty: true}) && !e.matches("option, noscript")) {
      const text = light(parse(getComputedStyle(e).color).slice(0, 3)), ground = light(behind(e));
      const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
      result.push([ratio, (e.id || e.className) + ": " + e.textContent.slice(0, 30)]);
    }
  }
  return result;
}"""
_CONTROLS = """() => [...document.querySelectorAll(
    "button, input, select, canvas[tabindex], [role=slider], progress, dialog")]
  .filter(e => e.checkVisibility())
  .map(e => [e.outerHTML.slice(0, 80),
    e.getAttribute("aria-label") || [...(e.labels ?? [])].map(l => l.textContent.trim()).join()
    || (e.getAttribute("aria-labelledby")
      && document.getElementById(e.getAttribute("aria-labelledby")).textContent)
    || e.textContent.trim()])"""
# What sticks out of the window, and texts of controls that are cut off.
_OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth, high = document.documentElement.clientHeight;
  const out = [];
  if (document.documentElement.scrollWidth > wide || document.body.scrollHeight > high) {
    out.push("the page scrolls");
  }
  for (const e of document.querySelectorAll(
      "header *, main *, aside *, footer *, dialog[open], dialog[open] *")) {
    const box = e.getBoundingClientRect();
    const seen = e.checkVisibility() && box.width > 0 && !e.closest("#objects, #tracks, svg");
    if (seen && (box.left < -0.5 || box.top < -0.5 || box.right > wide + 0.5
        || box.bottom > high + 0.5)) {
      out.push("out of the window: " + e.outerHTML.slice(0, 60));
    }
    if (seen && e.matches("button, label, output, #transport, header, .heading, #job p")
        && e.scrollWidth > e.clientWidth + 1) {
      out.push("cut off: " + e.outerHTML.slice(0, 60));
    }
  }
  return out;
}"""


def _check(tab, state):
    poor = [(round(ratio, 2), text) for ratio, text in tab.page.evaluate(_CONTRASTS) if ratio < 4.5]
    assert not poor, (state, poor)
    controls = tab.page.evaluate(_CONTROLS)
    assert len(controls) > 2 and all(name for _, name in controls), (state, controls)
    assert tab.page.evaluate(_OVERFLOW) == [], state


@pytest.mark.parametrize("width, height", [(1280, 720), (900, 700)])
def test_every_state_fits_and_can_be_read_and_named(workplace, width, height):
    server = workplace.serve(num_frames=200_000, delay=0.02)
    names = ("grasper", "a bipolar forceps with a name that is rather long", None, "4", "5", "6")
    for number, name in enumerate(names):
        server.session.add_object(name)
        server.session.add_point(number + 1, 0, 5 + 8 * number, 20, 1)
    tab = workplace.tab(server, width, height).open().seen()
    _check(tab, "objects")
    tab.press("3", "p").ready(busy="track")
    tab.page.wait_for_selector("#job-speed:has-text('left')")
    _check(tab, "tracking")
    with tab.edit():
        tab.press("Escape")
    tab.press("Home").ready(frame=0)
    tab.click(30, 30)
    tab.press("ArrowRight").ready(frame=1)
    _check(tab, "out of date")
    for key, state in (("x", "export"), ("Delete", "remove"), ("?", "help")):
        tab.seen().press(key)
        tab.page.wait_for_selector("dialog[open]")
        _check(tab, state)
        tab.press("Escape")
        tab.page.wait_for_selector("dialog[open]", state="detached")
    tab.press("F2")
    _check(tab, "rename")
    tab.press("Escape", "h")
    _check(tab, "hidden")


def test_an_empty_session_and_a_wrong_token(workplace):
    workplace.expected_error = "status of 403"
    tab = workplace.tab(width=900, height=700).open().ready(frame=0)
    _check(tab, "empty")
    wrong = workplace.tab().open("wrong")
    wrong.page.wait_for_selector("#denied:visible")
    assert min(ratio for ratio, _ in wrong.page.evaluate(_CONTRASTS)) >= 4.5


def test_every_control_is_reached_by_tab_and_shows_it(workplace):
    tab = workplace.tab().open().ready(frame=0)
    tab.click(20, 20).seen()
    wanted = tab.page.evaluate(
        """() => [...document.querySelectorAll("#page :is(button, input, select, [tabindex])")]
          .filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0)
          .map(e => e.outerHTML)"""
    )
    reached = set()
    for _ in range(len(wanted) + 3):  # the way goes through the page itself, too
        tab.press("Tab")
        name, ring = tab.page.evaluate(
            """() => [document.activeElement.outerHTML,
                     getComputedStyle(document.activeElement).outlineStyle]"""
        )
        assert ring != "none" or name.startswith("<body"), name
        reached.add(name)
    assert set(wanted) <= reached


def test_marks_are_told_apart_without_colours(workplace):
    """Each mark of the legend is drawn in a shape of its own."""
    tab = workplace.tab().open().ready(frame=0)
    shapes = tab.page.evaluate(
        "() => [...document.querySelectorAll('#legend svg')].map(e => e.innerHTML)"
    )
    plain = {shape.replace("#ffc53d", "").replace("#b4bfc7", "") for shape in shapes}
    assert len(shapes) == len(plain) == 6
