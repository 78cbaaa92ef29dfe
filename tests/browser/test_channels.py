"""A channel with two people in it: typing, threads, reactions, unread marks, members."""

from __future__ import annotations

import json

from playwright.async_api import expect

from tests.browser.channels import message, new_channel, say
from tests.browser.people import People


async def test_two_people_talk_and_see_each_other_type(people: People) -> None:
    ann, ben = await people.join("Ann"), await people.join("Ben")
    address = await new_channel(ann, "garden")
    await ben.page.goto(address)
    await expect(ben.field("Message #garden")).to_be_visible()
    await ben.field("Message #garden").press_sequentially("Good mor")
    await expect(ann.page.get_by_text("Ben is typing")).to_be_visible()
    await ben.field("Message #garden").press_sequentially("ning, *all*")
    await ben.field("Message #garden").press("Enter")
    await expect(message(ann, "Good morning")).to_have_count(1)
    await expect(message(ann, "Good morning").locator("em")).to_have_text("all")
    await expect(message(ben, "Good morning")).to_have_count(1)
    await expect(ann.page.get_by_text("Ben is typing")).to_have_count(0)


async def test_threads_reactions_edits_and_deletions_are_seen_by_both(people: People) -> None:
    ann, ben = await people.join("Ann"), await people.join("Ben")
    address = await new_channel(ann, "garden")
    await ben.page.goto(address)
    await say(ann, "garden", "Who waters the roses?")
    await expect(message(ben, "roses")).to_be_visible()

    await message(ben, "roses").hover()
    await message(ben, "roses").get_by_role("button", name="Add reaction").click()
    picker = ben.page.get_by_label("Choose a reaction")
    await picker.get_by_role("button").first.click()
    chip = message(ann, "roses").get_by_role("list", name="Reactions").get_by_role("button").first
    await expect(chip).to_contain_text("1")
    await chip.click()
    theirs = message(ben, "roses").get_by_role("list", name="Reactions").get_by_role("button")
    await expect(theirs.first).to_contain_text("2")

    await message(ben, "roses").hover()
    await message(ben, "roses").get_by_role("button", name="Reply in thread").click()
    thread = ben.page.get_by_role("complementary", name="Thread")
    await thread.get_by_role("textbox", name="Reply", exact=True).fill("I do, tonight")
    await thread.get_by_role("textbox", name="Reply", exact=True).press("Enter")
    await expect(thread.get_by_text("I do, tonight")).to_be_visible()
    await message(ann, "roses").get_by_text("1 reply").click()
    await expect(
        ann.page.get_by_role("complementary", name="Thread").get_by_text("I do, tonight")
    ).to_be_visible()

    await message(ann, "roses").hover()
    await message(ann, "roses").get_by_role("button", name="Edit message").click()
    await ann.field("Edit message").fill("Who waters the tulips?")
    await ann.field("Edit message").press("Enter")
    await expect(message(ben, "tulips")).to_be_visible()
    await message(ann, "tulips").hover()
    await message(ann, "tulips").get_by_role("button", name="Delete message").click()
    await ann.page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    await expect(message(ben, "tulips")).to_have_count(0)


async def test_what_is_said_elsewhere_is_marked_unread_and_told(people: People) -> None:
    ann, ben = await people.join("Ann"), await people.join("Ben")
    first = await new_channel(ann, "garden")
    await new_channel(ann, "kitchen")
    await ben.page.goto(first)
    await say(ben, "garden", "Rain!")
    entry = ann.page.get_by_role("list", name="Channels", exact=True).get_by_role(
        "link", name="garden"
    )
    await expect(entry).to_contain_text("1")
    toast = ann.page.get_by_role("region", name="Alerts")
    await expect(toast).to_contain_text("Rain!")
    await toast.get_by_role("link").click()
    await expect(message(ann, "Rain!")).to_be_visible()
    await expect(entry).not_to_contain_text("1")
    await ann.page.reload()
    await expect(message(ann, "Rain!")).to_be_visible()
    await expect(entry).not_to_contain_text("1")


async def test_a_private_channel_lets_members_in_and_out_live(people: People) -> None:
    ann, ben = await people.join("Ann"), await people.join("Ben Baker")
    await ben.open("Channels")
    await new_channel(ann, "secrets", private=True)
    await say(ann, "secrets", "Only for us")
    entry = ben.page.get_by_role("list", name="Channels", exact=True).get_by_role(
        "link", name="secrets"
    )
    await expect(entry).to_have_count(0)
    await ann.page.get_by_role("button", name="Members").click()
    await ann.field("Add people").fill("Ben")
    await ann.page.get_by_role("list", name="Found").get_by_role("button").first.click()
    await entry.click()
    await expect(message(ben, "Only for us")).to_be_visible()
    await ann.button("Remove Ben Baker").click()
    await expect(entry).to_have_count(0)
    await expect(ben.field("Message #secrets")).to_have_count(0)


async def test_a_message_of_another_is_kept_over_a_broken_connection(people: People) -> None:
    ann, ben = await people.join("Ann"), await people.join("Ben")
    address = await new_channel(ann, "garden")
    await ben.page.goto(address)
    await expect(ben.field("Message #garden")).to_be_visible()
    await ben.context.set_offline(True)
    await expect(ben.connection).to_have_attribute("data-status", "offline")
    for number in range(5):
        await say(ann, "garden", f"message {number} of five")
        await expect(message(ann, f"message {number} of five")).to_be_visible()
    await ben.context.set_offline(False)
    for number in range(5):
        await expect(message(ben, f"message {number} of five")).to_have_count(1)


async def test_html_in_a_channel_is_text(people: People) -> None:
    name = "<img src=x onerror='window.hacked=1'>"
    ann, ben = await people.join(name), await people.join(name)
    address = await new_channel(ann, "garden")
    await ben.page.goto(address)
    text = "<script>window.hacked=2</script><b onclick='window.hacked=3'>x</b> " + json.dumps(name)
    await say(ann, "garden", text)
    await expect(message(ben, "window.hacked=2")).to_be_visible()
    await expect(message(ben, "window.hacked=2")).to_contain_text(name)
    assert await ben.page.evaluate("() => window.hacked") is None
    assert await ann.page.evaluate("() => window.hacked") is None
