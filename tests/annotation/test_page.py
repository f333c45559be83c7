"""Whole sessions on the annotation page, by keyboard alone and by pointer, in a real browser."""

import time

import pytest


def _type(tab, text):
    tab.page.keyboard.type(text)
    tab.press("Enter")


def test_a_session_by_keyboard_alone(workplace):
    workplace.expected_error = "status of 400"  # the browser notes what the server refuses
    tab = workplace.tab().open().ready(frame=0)
    assert tab.page.is_visible("#first-steps")
    with tab.edit():
        tab.press("n")
    tab.ready(object=1)
    assert tab.page.is_hidden("#first-steps")
    # The first key shows the cross-hair in the middle; then 10 pixels each, or 1 with Shift.
    tab.press("l", "l", "l", "i", "Shift+I", "Shift+J").ready(cross="51,13")
    with tab.edit():
        tab.press("Enter")
    tab.press("k", "k", "Shift+L").ready(cross="52,33")
    with tab.edit():
        tab.press("Shift+Enter")
    prompt = tab.prompts()[0]
    assert (prompt["points"], prompt["labels"]) == ([[51, 13], [52, 33]], [1, 0])

    with tab.edit():
        tab.press("n")
    tab.ready(object=2).press("j", "b", "j", "j", "i", "b")
    tab.page.wait_for_selector('body[data-pending="0"]')
    tab.seen()
    assert tab.prompts(2)[0]["box"] == [22, 23, 42, 33]
    with tab.edit():
        tab.press("u")
    assert tab.ids() == [1, 2] and not tab.prompts(2)
    with tab.edit():
        tab.press("Shift+U")
    assert tab.prompts(2)[0]["box"] == [22, 23, 42, 33]

    tab.press("F2")
    with tab.edit():
        _type(tab, "p1 [grasper] ?")  # no key of it is a command
    assert tab.session.describe()["objects"][1]["name"] == "p1 [grasper] ?"
    assert tab.data("frame") == "0" and tab.page.locator("dialog[open]").count() == 0
    tab.press("1").ready(object=1).press("2").ready(object=2)

    tab.press("p")
    tab.page.wait_for_function("() => document.getElementById('message').textContent[0] === 'F'")
    tab.seen()
    assert tab.message().startswith("Finished: tracking forward, 40 of 40 frames")
    tab.ready(frame=39)  # it was followed
    tab.press("Home").ready(frame=0)
    tab.press("ArrowRight", "ArrowRight", "Shift+ArrowRight", "ArrowLeft").ready(frame=11)
    with tab.edit():
        tab.press("i", "Enter")  # a correction
    assert tab.prompts(2)[11]["correction"]
    assert tab.session.timeline()["objects"]["2"]["stale"] == [[12, 39]]
    tab.seen().press("Home", "]").ready(frame=11).press(".").ready(frame=12).press(".").ready(
        frame=30
    )
    tab.press(",").ready(frame=12).press("[", "[").ready(frame=0)
    tab.press("f")
    _type(tab, "25")
    tab.ready(frame=25)
    assert "Out of date" in tab.page.text_content('#objects li[data-object="2"] .answer')
    tab.press("Shift+P")
    tab.page.wait_for_selector('#message[data-kind="error"]')
    assert "Nothing to track" in tab.message()

    tab.press("o", "o", "Shift+O").ready(opacity="0.5")
    tab.press("z", "+", "+")
    assert tab.zoom > 11
    tab.press("g", "}").ready(tool="brush", radius=2)
    with tab.edit():
        tab.press("k", "d")
    assert tab.prompts(2)[25]["mask"]
    with tab.edit():
        tab.press("e", "d")
    with tab.edit():
        tab.press("Backspace")
    assert 25 not in tab.prompts(2)
    tab.press("v").ready(tool="point")

    tab.seen().press("x")
    assert "p1 [grasper] ?: 12–39" in tab.page.text_content("#stale-list")
    tab.press("Enter")  # track first, then export
    tab.page.wait_for_selector('#message[data-kind="good"]:has-text("Exported")')
    assert tab.session.timeline()["objects"]["2"]["stale"] == []
    assert "masks.json" in tab.message()
    tab.press("Delete")
    assert "p1 [grasper] ?" in tab.page.text_content("#remove h2")
    with tab.edit():
        tab.press("Enter")
    assert tab.ids() == [1]
    with tab.edit():
        tab.press("Control+z")
    assert tab.ids() == [1, 2]


def test_a_session_by_pointer(workplace):
    tab = workplace.tab(delay=0.02, num_frames=60).open().ready(frame=0)
    tab.click(20, 20)
    tab.click(30, 20, button="right").seen()
    tab.page.click("#add-object")
    tab.ready(object=2)
    tab.drag((40, 10), (44, 12), (60, 30)).seen()
    tab.hold((5, 5), (20, 20))
    revision = tab.data("revision")
    tab.press("Escape")  # ends the drag
    tab.page.mouse.up()
    tab.hold((5, 5), (20, 20), button="right").page.mouse.up(button="right")
    tab.page.wait_for_timeout(50)
    assert tab.ready().data("revision") == revision

    tab.page.select_option("#limit", "50")
    tab.page.click("#track-forward")
    tab.ready(busy="track")
    tab.page.wait_for_function("() => Number(document.body.dataset.frame) >= 5")
    assert "frames/s" in tab.page.text_content("#job-speed")
    assert " of 50 " in tab.page.text_content("#job-numbers")
    tab.page.click("#cancel")
    tab.seen()
    assert tab.message().startswith("Cancelled: tracking forward")
    fresh = tab.session.timeline()["objects"]["1"]["fresh"]
    assert fresh[0] == 0 and 5 <= fresh[1] < 49
    # The timeline: one frame is a share of its width.
    ruler = tab.page.locator("#ruler").bounding_box()
    tab.page.mouse.click(ruler["x"] + ruler["width"] * 3.5 / 60, ruler["y"] + 8)
    tab.ready(frame=3)
    tab.click(25, 25)
    assert tab.prompts(2)[3]["correction"]
    tab.page.click("#track-both")
    tab.ready(busy="track")
    tab.press("Escape").ready()

    tab.page.click("#open-export")
    tab.page.check("text=COCO")
    tab.page.check("text=Export as it is")
    tab.page.fill("[name=name]", "../out")
    assert tab.page.is_disabled("#export [type=submit]")
    tab.page.fill("[name=name]", "first try")
    tab.page.click("#export [type=submit]")
    tab.page.wait_for_selector('#message[data-kind="good"]:has-text("Exported")')
    assert tab.message().startswith("Exported masks.json, coco.json to /")
    assert tab.message().endswith("/first try")
    assert tab.page.locator("dialog[open]").count() == 0

    tab.page.click('li[data-object="2"] .show')
    assert tab.page.get_attribute('li[data-object="2"] .show', "aria-pressed") == "false"
    tab.page.dblclick('li[data-object="1"] .choose')
    with tab.edit():
        _type(tab, "hook")
    tab.page.click('li[data-object="2"] .remove')
    tab.page.click("text=Keep")
    assert tab.ids() == [1, 2] and tab.session.describe()["objects"][0]["name"] == "hook"


def test_an_edit_while_tracking_pauses_it(workplace):
    tab = workplace.tab(delay=0.03, num_frames=120).open().ready(frame=0)
    tab.click(20, 20)
    tab.press("p").ready(busy="track").press("Home").ready(busy="track", frame=0)
    tab.click(22, 20)
    assert tab.session.describe()["revision"] < 100
    assert [20, 20] in tab.prompts()[0]["points"] and [22, 20] in tab.prompts()[0]["points"]


def test_the_context_menu_never_opens(workplace):
    tab = workplace.tab().open().ready(frame=0)
    # A listener after all others: whatever reaches it with its default would open the menu.
    tab.page.evaluate(
        """() => window.addEventListener("contextmenu", event => {
          document.body.dataset.menu = (document.body.dataset.menu ?? "") + event.defaultPrevented;
        })"""
    )
    tab.click(20, 20, button="right")
    x, y = tab.at(-1, 10)
    tab.page.mouse.click(x, y, button="right")
    tab.page.click("#timeline", button="right")
    assert tab.data("menu") == "truetruetrue"


def test_it_plays_by_the_clock_and_space_pans(workplace):
    tab = workplace.tab(num_frames=60).open().ready(frame=0)
    frames = tab.page.evaluate(
        """() => new Promise(resolve => {
          const seen = [], start = performance.now();
          new MutationObserver(() => {
            seen.push([performance.now() - start, Number(document.body.dataset.frame)]);
            if (seen.length > 200 || performance.now() - start > 900) resolve(seen);
          }).observe(document.body, {attributeFilter: ["data-frame"]});
          document.getElementById("play").click();
          setTimeout(() => resolve(seen), 1500);
        })"""
    )
    assert len(frames) > 5 and [f for _, f in frames] == sorted(f for _, f in frames)
    late, frame = frames[-1]
    assert frame / 25 <= late / 1000 + 0.05  # 25 frames a second, never before its time
    tab.press("Space").ready(playing="false")
    left = float(tab.page.get_attribute("#picture", "data-left"))
    tab.page.keyboard.down("Space")
    tab.hold((20, 20), (24, 20)).page.mouse.up()
    tab.page.keyboard.up("Space")
    tab.ready(playing="false")
    moved = float(tab.page.get_attribute("#picture", "data-left")) - left
    assert moved > 30 and tab.ids() == []


def test_a_reload_restores(workplace):
    tab = workplace.tab().open().ready(frame=0)
    tab.click(20, 20).press("n").ready(object=2)
    tab.press("g", "}", "1", "Shift+ArrowRight", "o").ready(frame=10, object=1)
    tab.page.mouse.move(*tab.at(30, 20))
    tab.page.mouse.wheel(0, -300)
    tab.page.wait_for_timeout(50)
    names = ("zoom", "frame", "object", "tool", "radius", "opacity")
    before = [tab.data(name) for name in names], tab.at(30, 20)
    tab.page.reload()
    tab.ready(frame=10)
    assert [tab.data(name) for name in names] == before[0]
    assert tab.at(30, 20) == pytest.approx(before[1], abs=1)


def test_two_tabs_follow_each_other(workplace):
    server = workplace.serve()
    one, two = (workplace.tab(server).open().ready(frame=0) for _ in range(2))
    one.click(20, 20)
    two.seen().ready(object=1)
    assert two.page.text_content("#objects .name") == "Object 1"
    two.click(25, 20)
    one.seen()
    assert one.prompts()[0]["points"] == [[20, 20], [25, 20]]
    two.press("F2")
    with two.edit():
        _type(two, "scissors")
    one.page.wait_for_selector(".name:has-text('scissors')")
    one.press("p")
    two.page.wait_for_selector("#message:has-text('Finished')")
    one.ready(frame=39)
    two.ready(frame=0)  # the tab that did not ask for it stays where it is


def test_the_connection_is_lost_and_comes_back(workplace):
    workplace.expected_error = "net::ERR_"
    tab = workplace.tab().open().ready(frame=0)
    tab.click(20, 20)
    tab.seen().server.stop()
    tab.page.wait_for_selector('body[data-connection="lost"]')
    assert "connection to the server is lost" in tab.message()
    assert tab.page.is_disabled("#track-forward") and tab.page.is_visible("#picture")
    tab.server.start()
    tab.ready()
    assert "lost" not in tab.message()
    tab.click(30, 20).press("ArrowRight").ready(frame=1)
    assert len(tab.prompts()[0]["points"]) == 2


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_wrong_token(workplace, token):
    workplace.expected_error = "status of 403"
    tab = workplace.tab().open(token)
    tab.page.wait_for_selector("text=Open the address that the terminal printed")
    assert tab.page.is_hidden("#page")
    assert not [url for url in tab.requests if "/api/masks" in url or "/api/frames" in url]


def test_a_failed_edit_is_said_and_the_picture_stays(workplace):
    workplace.expected_error = "status of 500"
    tab = workplace.tab().open().ready(frame=0)

    def broken(*_):
        raise RuntimeError("out of memory")

    tab.click(20, 20)
    tab.session.add_point = broken
    tab.page.mouse.click(*tab.at(30, 30))
    tab.page.wait_for_selector('#message[data-kind="error"]')
    assert "out of memory" in tab.message()
    del tab.session.add_point
    tab.click(31, 30)
    assert tab.page.get_attribute("#message", "data-kind") == "info"


def test_a_first_prompt_that_compiles(workplace):
    tab = workplace.tab().open().ready(frame=0)
    add_point = tab.session.add_point

    def slow(*values):
        time.sleep(2.3)
        return add_point(*values)

    tab.session.add_point = slow
    tab.page.mouse.click(*tab.at(20, 20))
    tab.page.wait_for_selector('body[data-busy="edit"]')
    tab.page.mouse.click(*tab.at(25, 20))  # of the object that the first one makes
    tab.page.wait_for_selector("#message[data-kind=busy]:has-text('compiles')")
    tab.session.add_point = add_point
    tab.seen()
    assert tab.prompts()[0]["points"] == [[20, 20], [25, 20]] and tab.ids() == [1]


def test_frames_of_a_long_video(workplace):
    server = workplace.serve(num_frames=200_000)
    tab = workplace.tab(server).open().ready(frame=0)
    tab.press("End").ready(frame=199_999)
    tab.click(20, 20)
    ruler = tab.page.locator("#ruler").bounding_box()
    tab.page.mouse.click(ruler["x"] + ruler["width"] / 2, ruler["y"] + 8)
    tab.page.wait_for_function("() => document.body.dataset.frame.startsWith('100')")
    tab.press("]").ready(frame=199_999)
    tab.page.wait_for_selector('#timeline[aria-valuetext="Frame 199999 of 199999"]')


def test_a_click_right_after_n_is_for_the_new_object(workplace):
    """Also where the server is busy with a frame and has not made the object yet."""
    tab = workplace.tab(workplace.serve(delay=0.5)).open().ready(frame=0)
    tab.click(20, 20)
    tab.page.wait_for_selector('body[data-pending="0"]')
    tab.press("p")
    tab.page.wait_for_selector("#job:not([hidden])")
    with tab.edit():
        tab.press("n")
        tab.page.mouse.click(*tab.at(40, 20))
    tab.page.wait_for_selector('body[data-pending="0"]')
    tab.seen()
    assert tab.prompts(1)[0]["points"] == [[20, 20]]
    assert tab.prompts(2)[0]["points"] == [[40, 20]]


def test_a_stroke_longer_than_the_session_takes_is_painted_whole(workplace):
    tab = workplace.tab(workplace.serve(width=100, height=60)).open().ready(frame=0)
    before = int(tab.data("revision"))
    tab.press("g")
    tab.page.mouse.move(*tab.at(0, 0))
    tab.page.mouse.down()
    walk = """([left, top, zoom]) => {
      const canvas = document.getElementById("picture");
      for (let i = 1; i < 4300; i++) {
        const clientX = left + (i % 100) * zoom;
        const clientY = top + Math.floor(i / 100) * zoom;
        const where = { clientX, clientY, pointerId: 1, buttons: 1, bubbles: true };
        canvas.dispatchEvent(new PointerEvent("pointermove", where));
      }
    }"""
    tab.page.evaluate(walk, [*tab.at(0, 0), tab.zoom])
    tab.page.mouse.move(*tab.at(99, 42))
    tab.page.mouse.up()
    tab.page.wait_for_function("before => document.body.dataset.revision > before + 1", arg=before)
    tab.page.wait_for_selector('body[data-pending="0"]')
    tab.seen()
    assert "points" not in tab.message()
    labels, _ = tab.session.masks(0)
    assert labels[:43].all() and tab.ids() == [1]
