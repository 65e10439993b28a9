"""The pages in a real browser: what people do with them, as they do it.

Pictures of every page are left in the folder that `shots` names.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from desk import sign_in
from playwright.sync_api import Page, expect
from system import System, ticket, wait_for

from connector import audit, flow
from connector.mapping import published
from connector.model import Name
from connector.records import store
from connector.redisdb import Redis, connect

Visit = Callable[..., Page]

ADDRESSES = {
    "overview": "/",
    "events": "/events",
    "event": "/events/1",
    "records": "/records",
    "record": "/records/one?target=crm&resource=tickets&id=7001",
    "dead": "/dead",
    "mappings": "/mappings",
    "edit": "/mappings/edit?file=tickets.yaml",
    "plan": "/mappings/plan",
    "publish": "/mappings/publish",
    "targets": "/targets",
    "audit": "/audit",
}
"""Every page. `publish` and `plan` are those of a draft that changes nothing."""


def redis(system: System) -> Redis:
    return connect(system.redis.url)


def test_an_operator_signs_in_and_finds_an_event_and_its_record(visit: Visit) -> None:
    page = visit(None)
    sign_in(page, "lan")
    page.click("text=Events")
    page.fill("input[name=q]", "tickets 7001")
    page.click("button:has-text('Find')")
    page.click("td a.id")
    expect(page.locator("h1")).to_contain_text("ticket.update")
    page.click("table a:has-text('tickets 7001')")
    expect(page.locator("h1")).to_contain_text("tickets 7001")
    row = page.locator("tr", has_text="updated_at").first
    expect(row).to_contain_text("tickets.yaml:")
    expect(page.locator("section", has_text="Calls").locator("code").first).to_contain_text(
        "PUT /tickets/7001"
    )


def test_a_wrong_password_is_told(visit: Visit, browser: Any, system: System) -> None:
    context = browser.new_context(base_url=system.web_url)
    page = context.new_page()
    page.goto("/events")
    page.fill("input[name=name]", "lan")
    page.fill("input[name=password]", "not this one")
    page.click(".sign-in button")
    expect(page.locator("[role=alert]")).to_have_text("Name or password is wrong.")
    context.close()


def test_events_are_found_by_phone_kind_and_state(visit: Visit, system: System) -> None:
    system.send(
        "caresoft", ticket(7100, 1_700_000_000_000, requester={"phone_no": "+84 912 000 777"})
    )
    wait_for(lambda: system.rows("tickets").get("7100"), "the ticket")
    page = visit("vy")
    page.goto("/events?q=0912000777")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("tickets 7100")
    page.goto("/events?kind=note_create")
    kinds = page.locator("td[data-label=kind]").all_inner_texts()
    assert set(kinds) == {"note_create"}
    page.goto("/events?state=dead")
    assert set(page.locator("tbody .state").all_inner_texts()) == {"dead"}


def test_personal_data_is_hidden_until_somebody_asks_and_that_is_noted(visit: Visit) -> None:
    page = visit("lan")
    page.goto("/events?q=tickets 7001")
    page.click("td a.id")
    expect(page.locator("#body")).to_contain_text('"ticket_subject": "•••"')
    page.click("text=Show personal data")
    expect(page.locator("#body")).to_contain_text("hello")
    editor = visit("mai")
    editor.goto("/audit")
    expect(editor.locator("tbody tr", has_text="saw personal data").first).to_contain_text("lan")
    viewer = visit("vy")
    viewer.goto("/events?q=tickets 7001")
    viewer.click("td a.id")
    expect(viewer.locator("#body")).to_be_visible()
    expect(viewer.locator("text=Show personal data")).to_have_count(0)


def test_html_of_a_note_is_text_and_nothing_of_it_runs(visit: Visit) -> None:
    page = visit("mai")
    page.goto("/events?q=tickets 7001")
    page.click("td a.id")
    page.click("text=Show personal data")
    expect(page.locator("#body")).to_contain_text('<script>document.title = \\"pwned\\"</script>')
    page.goto(ADDRESSES["record"])
    page.click("text=Show personal data")
    expect(page.locator("main")).to_contain_text("<script>document.title")
    assert "pwned" not in page.title()
    assert page.locator("main script, main img[src=x]").count() == 0


def test_what_a_crm_answers_is_text_and_nothing_of_it_runs(visit: Visit, system: System) -> None:
    hostile = "\"'><script>document.title='pwned'</script><img src=x onerror=alert(1)>"
    system.behave(mode="422", times=1, answer={"errors": [{"detail": hostile, hostile: hostile}]})
    system.send("caresoft", ticket(9100, 1_700_000_000_002, ticket_subject=hostile))
    client = redis(system)
    wait_for(lambda: client.zscore("c:dead", "rcrm:tickets:9100"), "the dead letter")
    page = visit("lan")
    for address in ("/dead", "/records/one?target=crm&resource=tickets&id=9100", "/targets"):
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        expect(page.locator("main")).to_contain_text("<script>document.title=")
        assert page.locator("main script, main img").count() == 0
    page.goto("/records/one?target=crm&resource=tickets&id=9100")
    page.click("text=Show personal data")
    page.click("summary:has-text('body')")
    expect(page.locator("td details[open] pre")).to_contain_text("<script>document.title=")
    assert "pwned" not in page.title()


def test_a_dead_letter_is_tried_again(visit: Visit, system: System) -> None:
    page = visit("lan")
    page.goto("/dead")
    form = page.locator("form.group", has_text="tickets 9001")
    form.locator("tr", has_text="tickets 9001").locator("input[name=id]").check()
    form.locator("button", has_text="Retry chosen").click()
    expect(page.locator(".notice")).to_have_text("1 dead letter tried again.")
    wait_for(lambda: system.rows("tickets").get("9001"), "the ticket in the CRM")
    page.goto("/dead")
    expect(page.locator("main")).not_to_contain_text("tickets 9001")


def test_a_dead_letter_is_dropped_with_a_reason(visit: Visit, system: System) -> None:
    page = visit("lan")
    page.goto("/dead")
    page.locator("tr", has_text="tickets 9002").locator("input[name=id]").check()
    page.locator("form.group", has_text="tickets 9002").locator("text=Drop chosen").click()
    expect(page.locator("h1")).to_have_text("Drop 1 dead letter?")
    page.fill("input[name=why]", "a test of the refusal")
    page.click("button.danger")
    expect(page.locator(".notice")).to_have_text("1 dead letter dropped.")
    found = store.read(redis(system), [Name("crm", "tickets", "9002")])
    assert "a test of the refusal" in found[0].delivered.warnings[0]
    assert "9002" not in system.rows("tickets")


def test_a_target_is_paused_and_resumed(visit: Visit, system: System) -> None:
    page = visit("lan")
    page.goto("/targets")
    page.click("button:has-text('Pause')")
    expect(page.locator("h2 .state")).to_have_text("paused")
    assert flow.flow(redis(system), "crm").state == "paused"
    page.click("button:has-text('Resume')")
    expect(page.locator("h2 .state")).to_have_text("open")


def test_an_event_is_run_again(visit: Visit) -> None:
    page = visit("lan")
    page.goto("/events?q=tickets 7001")
    page.click("td a.id")
    page.click("text=Run again")
    expect(page.locator(".notice")).to_contain_text("Run again:")


def type_over(page: Page, old: str, new: str) -> None:
    """Replaces a text in the editor of mappings by hand."""
    page.evaluate(
        """([old, fresh]) => {
          const editor = document.querySelector(".CodeMirror").CodeMirror;
          const at = editor.posFromIndex(editor.getValue().indexOf(old));
          editor.focus();
          editor.setSelection(at, {line: at.line, ch: at.ch + old.length});
        }""",
        [old, new],
    )
    page.keyboard.type(new)


def test_a_mapping_is_edited_previewed_published_and_rolled_back(
    visit: Visit, system: System
) -> None:
    client = redis(system)
    before = published.number_in_force(client)
    page = visit("mai")
    serial = store.serials(client, Name("crm", "tickets", "7001"))[0]
    page.goto(f"/mappings/edit?file=tickets.yaml&event={serial}")
    expect(page.locator("#preview")).to_contain_text("No errors in the set.")
    row = page.locator("#preview tr", has_text="subject")
    expect(row).to_contain_text("the same")

    # a mistake is told at its line while it is typed
    type_over(page, "subject: ", "subjekt; ")
    expect(page.locator("#preview .problems li.error").first).to_be_visible()
    expect(page.locator(".CodeMirror-lint-marker").first).to_be_visible()
    type_over(page, "subjekt; ", "subject_line: ")
    expect(page.locator("#preview tr", has_text="subject_line")).to_contain_text("nothing")

    page.click("text=Plan…")
    expect(page.locator(".rows")).to_contain_text("subject_line")
    page.click("text=Publish…")
    failed = page.locator("section", has_text="Tests fail")
    expect(failed).to_be_visible()  # the tests of the file expect `subject`
    expect(page.locator("button:has-text('Publish')")).to_have_count(0)

    # so the edit is made otherwise: one more field
    page.click("text=Back to the draft")
    page.goto("/mappings/edit?file=tickets.yaml")
    page.click("text=Discard the draft")
    page.goto(f"/mappings/edit?file=tickets.yaml&event={serial}")
    type_over(page, "subject: ", "subject_line: ticket.ticket_subject\n")
    page.keyboard.type("subject: ")
    expect(page.locator("#preview tr", has_text="subject_line")).to_contain_text("nothing")
    page.click("text=Publish…")
    expect(page.locator(".diff")).to_contain_text("+      subject_line: ticket.ticket_subject")
    expect(page.locator("form.ask")).to_contain_text("Every worker works by this set")
    page.check("input[name=replay]")
    page.fill("input[name=message]", "the subject once more")
    page.click("button:has-text('Publish')")
    expect(page.locator(".notice")).to_contain_text("is in force")
    newest = published.versions(client)[0].note
    assert (newest.author, newest.message) == ("mai", "the subject once more")
    wait_for(lambda: "subject_line" in system.rows("tickets")["7001"], "the field in the CRM")

    page.click(f"text=Roll back to {before}…")
    expect(page.locator(".diff")).to_contain_text("-      subject_line: ticket.ticket_subject")
    page.click("button:has-text('Roll back')")
    expect(page.locator(".notice")).to_contain_text(f"the texts of {before}")
    rolled = published.versions(client)[0].note
    assert (rolled.back_to, rolled.author) == (before, "mai")
    done = [entry.action for entry in audit.entries(client)]
    assert done.index("roll_back") < done.index("publish")


def test_a_mapping_whose_text_is_hostile_is_shown_as_text(visit: Visit) -> None:
    page = visit("mai")
    page.goto("/mappings/edit?file=tickets.yaml")
    type_over(
        page, "source: caresoft", "source: </textarea><script>document.title='pwned'</script>"
    )
    expect(page.locator("#preview .problems")).to_contain_text("<script>document.title='pwned'")
    page.click("text=Check")
    expect(page.locator("#preview .problems")).to_contain_text("<script>")
    assert "pwned" not in page.title()
    page.click("text=Discard the draft")


def test_the_overview_renews_itself_and_says_what_needs_a_person(
    visit: Visit, system: System
) -> None:
    page = visit("vy")
    expect(page.locator(".matters")).not_to_contain_text("crm is paused")
    flow.pause(redis(system), "crm")
    expect(page.locator(".matters")).to_contain_text("crm is paused")
    flow.resume(redis(system), "crm")
    expect(page.locator(".matters")).not_to_contain_text("crm is paused")


def test_what_somebody_has_unfolded_stays_unfolded(visit: Visit, system: System) -> None:
    page = visit("vy")
    page.goto("/events/1")
    page.locator("summary").first.click()
    with page.expect_response("**/events/1"):
        pass  # the page has renewed itself, and asked
    expect(page.locator("details[open]")).to_have_count(1)


def test_everything_can_be_reached_by_the_keyboard(visit: Visit) -> None:
    page = visit("mai")
    page.goto("/events")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.name") == "q"
    page.keyboard.type("tickets 7001")
    page.keyboard.press("Enter")
    page.wait_for_url("**/events?q=tickets+7001**")
    page.goto("/mappings/edit?file=tickets.yaml")
    page.locator(".CodeMirror textarea").focus()
    page.keyboard.press("Tab")  # to what scrolls
    page.keyboard.press("Tab")  # and out: a keyboard is not trapped in the editor
    assert not page.evaluate("document.activeElement.closest('.CodeMirror') !== null")


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Goes on with the keyboard until an element has the focus."""
    for _ in range(200):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"the keyboard does not reach {selector}")


def test_a_mapping_is_published_and_rolled_back_by_the_keyboard_alone(
    visit: Visit, system: System
) -> None:
    before = published.number_in_force(redis(system))
    page = visit("mai")
    page.goto("/mappings?file=leads.yaml")
    tab_to(page, "a.button.main")
    page.keyboard.press("Enter")
    page.wait_for_url("**/mappings/edit**")
    tab_to(page, ".CodeMirror textarea")
    with page.expect_response("**/mappings/preview"):
        page.keyboard.type("# by the keyboard\n")
    expect(page.locator("#preview")).to_contain_text("No errors in the set.")
    tab_to(page, "button[value=publish]", "Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/mappings/publish**")
    expect(page.locator(".diff")).to_contain_text("+# by the keyboard")
    tab_to(page, "input[name=message]")
    page.keyboard.type("typed")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text("is in force")
    assert published.versions(redis(system))[0].note.message == "typed"
    tab_to(page, f"a[href='/mappings/rollback/{before}']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/mappings/rollback/**")
    tab_to(page, "button.danger")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text(f"the texts of {before}")


def test_pages_can_be_read_without_javascript(browser: Any, system: System) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=system.web_url)
    page = context.new_page()
    sign_in(page, "mai")
    for address in ADDRESSES.values():
        page.goto(address)
        assert page.locator("main").inner_text().strip()
    page.goto("/mappings/edit?file=tickets.yaml")
    assert "source: caresoft" in page.locator("textarea").input_value()
    assert "No errors in the set." in page.locator("#preview").inner_text()
    context.close()


def faults_of(page: Page, scheme: str) -> list[tuple[str, list[str]]]:
    """What axe-core calls serious or critical on a page. By scheme only the colours differ."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if scheme == "dark":
        options["runOnly"] = {"type": "rule", "values": ["color-contrast"]}
    found = Axe().run(page, options=options).response["violations"]
    return [
        (fault["id"], [node["html"][:120] for node in fault["nodes"][:3]])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("language", ["en", "vi"])
def test_no_page_has_a_serious_fault_of_accessibility(
    visit: Visit, shots: Path, language: str
) -> None:
    page = visit("mai", language=language)
    faults = []
    for name, address in ADDRESSES.items():
        page.goto(address)
        assert page.locator("html").get_attribute("lang") == language
        if name == "overview":
            expect(page.locator(".drift")).to_be_visible()
        for scheme in ("light", "dark"):
            faults += [(name, scheme, *fault) for fault in faults_of(page, scheme)]
            if (scheme, language) != ("dark", "vi"):
                picture = shots / f"{name}-{scheme}-{language}.png"
                page.screenshot(path=picture, full_page=name != "edit")
    assert faults == []


@pytest.mark.parametrize("language", ["en", "vi"])
def test_the_sign_in_has_no_serious_fault_of_accessibility(
    visit: Visit, shots: Path, language: str
) -> None:
    page = visit(None, language=language)
    page.goto("/login")
    for scheme in ("light", "dark"):
        assert faults_of(page, scheme) == []
        page.screenshot(path=shots / f"login-{scheme}-{language}.png")


def test_no_page_scrolls_sideways_on_a_phone(visit: Visit, shots: Path) -> None:
    page = visit("mai", width=360, height=740)
    wide = {}
    for name, address in ADDRESSES.items():
        page.goto(address)
        width = page.evaluate("document.documentElement.scrollWidth")
        page.screenshot(path=shots / f"{name}-phone.png", full_page=True)
        if width > 360:
            wide[name] = width
    assert wide == {}


def test_times_are_in_the_configured_zone(visit: Visit) -> None:
    page = visit("vy")
    page.goto("/events")
    title = page.locator("td time").first.get_attribute("title")
    assert title is not None
    assert title.endswith("+07:00 Asia/Ho_Chi_Minh")


def test_a_page_is_there_soon(visit: Visit) -> None:
    page = visit("vy")
    slow = {}
    for name, address in ADDRESSES.items():
        if name in ("edit", "plan", "publish", "audit"):
            continue
        began = time.monotonic()
        page.goto(address)
        seconds = time.monotonic() - began
        if seconds > 20:
            slow[name] = seconds
    assert slow == {}
