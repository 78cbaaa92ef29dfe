"""Two people edit one note; one of them is away for a while; both see the same text."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from tests.browser.notes import new_note, same, saved, share, text, typed
from tests.browser.people import People


async def test_two_people_write_at_once_and_see_the_same(people: People) -> None:
    ann, ben = await people.join("Ann Archer"), await people.join("Ben Baker")
    address = await new_note(ann, "Plans")
    await share(ann, "Ben Baker", "write")
    await ben.page.goto(address)
    await expect(text(ben)).to_be_editable()
    await expect(ben.field("Title")).to_have_value("Plans")
    await typed(ann, "From the top. ")
    await expect(text(ben)).to_contain_text("From the top.")
    await asyncio.gather(typed(ann, "apple " * 20), typed(ben, "berry " * 20))
    await saved(ann)
    await saved(ben)
    shown = await same(ann, ben)
    assert shown.count("apple") == shown.count("berry") == 20
    # Each sees the other's cursor, with a name.
    await text(ben).focus()
    await expect(text(ann).locator('.caret[data-name="Ben Baker"]')).to_be_attached()


async def test_what_was_typed_offline_is_kept_and_sent_later(people: People) -> None:
    ann, ben = await people.join("Ann Archer"), await people.join("Ben Baker")
    address = await new_note(ann, "Journey")
    await share(ann, "Ben Baker", "write")
    await ben.page.goto(address)
    await typed(ann, "Before. ")
    await expect(text(ben)).to_contain_text("Before.")
    await ben.context.set_offline(True)
    await expect(ben.connection).to_have_attribute("data-status", "offline")
    await typed(ben, "Written in the tunnel. ")
    await typed(ann, "Written at home. ")
    await expect(ben.page.get_by_test_id("save-state")).to_contain_text("kept here")
    await saved(ann)
    assert "tunnel" not in await text(ann).inner_text()
    await ben.context.set_offline(False)
    await saved(ben)
    await expect(text(ann)).to_contain_text("tunnel")
    shown = await same(ann, ben)
    assert "Written in the tunnel." in shown
    assert "Written at home." in shown


async def test_a_reader_sees_but_cannot_write_until_it_may(people: People) -> None:
    ann, ben = await people.join("Ann Archer"), await people.join("Ben Baker")
    address = await new_note(ann, "Rules")
    await share(ann, "Ben Baker", "read")
    await ben.page.goto(address)
    await typed(ann, "Rule one. ")
    await expect(text(ben)).to_contain_text("Rule one.")
    await expect(text(ben)).to_have_attribute("contenteditable", "false")
    await expect(ben.page.get_by_test_id("save-state")).to_have_text("Read only")


async def test_a_note_is_exported_as_markdown(people: People) -> None:
    ann = await people.join("Ann Archer")
    await new_note(ann, "Shopping / today")
    await typed(ann, "# Food")
    await ann.page.keyboard.press("Enter")
    await ann.page.keyboard.type("- bread")
    await saved(ann)
    async with ann.page.expect_download() as download:
        await ann.button("Export as Markdown").click()
    file = await download.value
    assert file.suggested_filename.endswith(".md")
    path = await file.path()
    html = await text(ann).inner_html()
    assert (await asyncio.to_thread(path.read_text)).strip() == "# Food\n\n- bread", html


async def test_hostile_paste_runs_nothing(people: People) -> None:
    ann = await people.join("Ann Archer")
    await new_note(ann, "Paste")
    await text(ann).focus()
    await ann.page.evaluate(
        """() => {
          const data = new DataTransfer();
          data.setData('text/html', '<p>pasted<img src=x onerror="window.hacked=1">'
            + '<a href="javascript:window.hacked=2">link</a><script>window.hacked=3</script></p>');
          document.activeElement.dispatchEvent(
            new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
        }"""
    )
    await expect(text(ann)).to_contain_text("pasted")
    await expect(text(ann).locator("img, script, a[href^=javascript]")).to_have_count(0)
    assert await ann.page.evaluate("() => window.hacked") is None
    ann.problems[:] = [p for p in ann.problems if "Content Security Policy" not in p]
