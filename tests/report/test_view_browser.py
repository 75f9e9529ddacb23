"""The page of edits in headless Chromium, from disk, as a reader uses it."""

from __future__ import annotations

import random
import re
import time

import pytest

from recension.report import Mark, ViewedDocument, ViewedText, edit_page, write_view

pytestmark = pytest.mark.browser

HOSTILE = [
    "</script><script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "--> <!-- <!--<script> ]]> </style> </textarea>",
    "javascript:document.title='run'",
    "line\u2028separator\u2029paragraph",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001d53c astral \U00020000",
    "עברית mixed with English \u202eand an override",
    "e\u0301 combining a\u0308\u0323 n\u0303",
    "\x00 nul \x07 bell \ufeff mark",
    "&lt;b&gt; &amp; &#x41; \\u003c ${title} `",
]


class Opened:
    """A page, and whatever it complained of or asked for."""

    def __init__(self, browser, path, **options):
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.complaints.append(m.text))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.set_default_timeout(8_000)
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self.page

    def __exit__(self, *failure):
        self.context.close()
        if failure[0] is None:
            assert self.complaints == []
            assert [u for u in self.requests if not u.startswith("file:")] == []
            assert len(self.requests) == 1


def document(name: str, plain: list[str], edits: list[tuple[str, str]], generation: int = 1, path: str = "text"):
    text, marks = plain[0], []
    for (old, new), after in zip(edits, plain[1:], strict=True):
        marks.append(Mark(len(text), old, new, 0.9931, 0.0042))
        text += new + after
    return ViewedDocument(name, "corpus.jsonl:1", 1, (ViewedText(generation, path, text, tuple(marks)),))


def written(tmp_path, report, documents):
    path = tmp_path / "view.html"
    with path.open("w", encoding="utf-8", newline="") as file:
        write_view(file, report, documents)
    return path


SHOWN = """n => [...document.querySelectorAll('.doc')[n].querySelectorAll('.text')].map(t => {
  const copy = t.cloneNode(true);
  copy.querySelectorAll('del').forEach(d => d.remove());
  return copy.textContent;
})"""


def unfold(page):
    """Open what is folded, from the front and from the end by turns."""
    page.evaluate(
        "() => { for (let k = 0, all; (all = document.querySelectorAll('.fold')).length; k++)"
        " all[k % 2 ? 0 : all.length - 1].click(); }"
    )


def test_document_text_is_never_markup(chromium, tmp_path, make_report):
    documents = [document(bad, [bad, bad], [(bad, bad)]) for bad in HOSTILE]
    report = make_report(title=HOSTILE[0], notes=tuple(HOSTILE), settings={h: h for h in HOSTILE})
    with Opened(chromium, written(tmp_path, report, documents)) as page:
        assert page.title().split() == HOSTILE[0].split()
        assert page.locator("img").count() == 0
        assert page.locator(".doc").count() == len(HOSTILE)
        for i, bad in enumerate(HOSTILE):
            assert page.evaluate(SHOWN, i) == [bad * 3]
            assert page.locator(".doc h3").nth(i).evaluate("e => e.textContent") == bad
        for _ in HOSTILE:
            page.keyboard.press("n")
            assert page.locator("#tip").is_visible()
        for bad in HOSTILE:
            page.fill("#find", bad)
            page.wait_for_timeout(150)
            assert page.locator(".doc").count() == 1, bad
        assert page.title().split() == HOSTILE[0].split()
        assert page.locator("a, img, iframe, object, form").count() == 0


def test_edits_stand_where_they_are_in_any_script(chromium, tmp_path, make_report):
    rng = random.Random(7)
    pieces = [
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001d53c",
        "e\u0301",
        "שלום ",
        "word ",
        "\n",
        "、漢字",
        "ß",
    ]

    def some(low, high):
        return "".join(rng.choice(pieces) for _ in range(rng.randint(low, high)))

    documents = []
    for i in range(20):
        many = rng.randint(0, 12) if i % 4 else 900
        longest = 3000 if i % 4 else 3 if i % 8 else 60
        plain = [some(0, longest if rng.random() < 0.3 else 20) for _ in range(many + 1)]
        documents.append(document(f"d{i}", plain, [(some(1, 2), some(0, 2)) for _ in range(many)]))
    crowd = [("x", some(0, 3)) for _ in range(900)]
    documents[4] = document("side by side", [""] * 901, crowd)
    documents[8] = document("gone at the end", ["far " * 900, ""], [("x", "")])
    with Opened(chromium, written(tmp_path, make_report(), documents)) as page:
        assert page.locator(".fold").count() > 20
        unfold(page)
        for i, d in enumerate(documents):
            assert page.evaluate(SHOWN, i) == [d.generations[0].text]
            marks = page.locator(".doc").nth(i).locator("mark")
            shown = marks.evaluate_all(
                "all => all.map(m => { m.querySelector('del').remove(); return m.textContent; })"
            )
            assert shown == [m.new for m in d.generations[0].marks]


def test_old_and_new_with_their_probabilities(chromium, tmp_path, make_report):
    path = written(tmp_path, make_report(), [document("d", ["It was", " night."], [(" dark", " stormy")])])
    with Opened(chromium, path) as page:
        mark, tip = page.locator("mark"), page.locator("#tip")
        assert tip.is_hidden()
        mark.hover()
        said = " ".join(tip.inner_text().split())
        assert said == "before ␣dark p 0.9931 after ␣stormy p 0.0042 edit 1 of 1 in this document"
        page.mouse.move(5, 5)
        assert tip.is_hidden()
        mark.focus()
        assert tip.is_visible()
        page.keyboard.press("Escape")
        assert tip.is_hidden()
        assert page.locator(".text").inner_text() == "It was stormy night."
        page.keyboard.press("o")
        assert re.sub(r"\s+", " ", page.locator(".text").inner_text()) == "It was darkstormy night."
        page.keyboard.press("o")
        assert page.locator(".text").inner_text() == "It was dark night."
        assert page.locator("#show").input_value() == "old"


def test_a_tap_shows_the_edit_on_a_phone(chromium, tmp_path, make_report):
    long = "word " * 400
    documents = [document(f"a-very-long-identifier-{i}" * 4, [long, long], [(" old", "W" * 120)]) for i in range(3)]
    path = written(tmp_path, make_report(2), documents)
    with Opened(chromium, path, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True) as page:
        page.locator("mark").first.tap()
        assert page.locator("#tip").is_visible()
        box = page.locator("#tip").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        small = page.evaluate(
            "[...document.querySelectorAll('#toolbar button, #toolbar select, #find')]"
            ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 32).map(e => e.id)"
        )
        assert small == []


def test_keys_and_buttons_go_through_edits_and_documents(chromium, tmp_path, make_report):
    documents = [document(f"d{i:02}", ["a ", " b"], [("x", "y")]) for i in range(45)]
    documents.insert(1, document("plain", ["nothing here"], []))
    with Opened(chromium, written(tmp_path, make_report(), documents)) as page:

        def current():
            return page.locator(".doc.current h3").inner_text(), page.locator("#where-edit").inner_text()

        for _ in range(2):
            page.keyboard.press("n")
        assert current() == ("d01", "edit 2 / 45")
        assert page.evaluate("document.activeElement.tagName") == "MARK"
        page.keyboard.press("p")
        page.keyboard.press("p")
        assert current() == ("d44", "edit 45 / 45")
        page.click("#next-edit")
        assert current() == ("d00", "edit 1 / 45")
        assert page.evaluate("document.activeElement.id") == "next-edit"
        page.keyboard.press("Enter")
        assert current() == ("d01", "edit 2 / 45")
        page.keyboard.press("k")
        assert current()[0] == "plain"
        page.keyboard.press("n")
        assert current() == ("d01", "edit 2 / 45")
        for _ in range(20):
            page.keyboard.press("j")
        assert current()[0] == "d21"
        assert "page 2 of 3" in page.locator("#pages").inner_text()
        page.click("text=Later ›")
        assert current()[0] == "d39"
        page.check("#edited-only")
        assert "45 of 46 documents" in page.locator("#found").inner_text()


def test_search_finds_texts_ids_and_replaced_words(chromium, tmp_path, make_report):
    far = "filler " * 500
    documents = [
        document("one", [far + "a needle (here) " + far, " end"], [("rare", "common")]),
        document("two-NEEDLE", ["nothing", ""], [("x", "y")]),
        document("three", ["nothing at all"], []),
        document("four", ["nee", "le across an edit"], [("x", "d")]),
    ]
    with Opened(chromium, written(tmp_path, make_report(), documents)) as page:

        def found(query):
            page.fill("#find", query)
            page.wait_for_timeout(160)
            return page.locator(".doc h3").all_inner_texts()

        assert found("needle") == ["one", "two-NEEDLE", "four"]
        assert "3 of 4 documents" in page.locator("#found").inner_text()
        assert page.locator(".doc").nth(0).locator(".hit").all_inner_texts() == ["needle"]
        assert page.locator(".doc").nth(1).locator("h3 .hit").all_inner_texts() == ["NEEDLE"]
        assert "".join(page.locator(".doc").nth(2).locator(".hit").all_inner_texts()) == "needle"
        page.keyboard.press("Enter")
        assert page.locator(".current-hit").inner_text() == "needle"
        page.keyboard.press("Enter")
        assert page.locator(".current-hit").inner_text() == "NEEDLE"
        page.keyboard.press("Shift+Enter")
        assert page.locator(".current-hit").inner_text() == "needle"
        assert found("(here)") == ["one"]
        assert found("rare") == ["one"]
        assert page.locator("mark.was-hit").count() == 1
        assert found("[*\\") == []
        assert "Nothing matches" in page.locator(".empty").inner_text()
        page.click("text=Show all documents")
        assert page.locator(".doc").count() == 4
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "find"
        page.keyboard.type("no")
        assert page.locator("#find").input_value() == "no"


def test_generations_are_shown_one_at_a_time(chromium, tmp_path, make_report):
    texts = (
        ViewedText(1, "messages[1].content", "B c", (Mark(0, "a", "B", 1, 0),)),
        ViewedText(1, "messages[3].content", "z"),
        ViewedText(2, "messages[1].content", "B D", (Mark(2, "c", "D", 1, 0),)),
    )
    path = written(tmp_path, make_report(2), [ViewedDocument("d", "f:1", 2, texts)])
    with Opened(chromium, path) as page:
        assert page.locator("#generation").input_value() == "2"
        assert page.evaluate(SHOWN, 0) == ["B D", "z"]
        assert page.locator("mark ins").all_inner_texts() == ["D"]
        page.select_option("#generation", "1")
        assert page.evaluate(SHOWN, 0) == ["B c", "z"]
        assert page.locator("mark ins").all_inner_texts() == ["B"]
        assert page.locator(".path").all_inner_texts() == ["messages[1].content", "messages[3].content"]
        assert "edition 2" in page.locator(".doc header").inner_text()


@pytest.mark.parametrize("spread", [400, 1], ids=["in 400 documents", "in one document"])
def test_ten_thousand_edits(chromium, tmp_path, make_report, spread):
    rng = random.Random(3)
    each = 10_000 // spread
    documents = []
    for i in range(spread):
        plain = [" ".join(["quite ordinary words"] * rng.randint(1, 8)) for _ in range(each + 1)]
        documents.append(document(f"doc-{i}", plain, [(" old", f" new{k}") for k in range(each)]))
    path = written(tmp_path, make_report(documents=spread), documents)
    begin = time.perf_counter()
    opened = Opened(chromium, path)
    with opened as page:
        page.wait_for_selector("mark")
        assert time.perf_counter() - begin < 3
        assert "10,000 edits" in page.locator("#found").inner_text()
        page.keyboard.press("n")
        assert page.locator("#where-edit").inner_text() == "edit 1 / 10,000"
        begin = time.perf_counter()
        page.keyboard.press("p")
        page.keyboard.press("p")
        assert page.locator("#where-edit").inner_text() == "edit 9,999 / 10,000"
        assert page.locator("mark.current ins").inner_text() == f"new{each - 2}"
        page.keyboard.press("n")
        page.keyboard.press("n")
        assert page.locator("#where-edit").inner_text() == "edit 1 / 10,000"
        assert time.perf_counter() - begin < 3
        begin = time.perf_counter()
        page.fill("#find", f"new{each - 1}")
        page.wait_for_selector(".hit")
        assert time.perf_counter() - begin < 3
        assert "10,000 edits" in page.locator("#found").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_theme_follows_the_system_until_it_is_chosen(chromium, tmp_path, make_report, scheme):
    path = tmp_path / "report.html"
    path.write_text(edit_page(make_report(2)), encoding="utf-8")
    ground = {"light": "rgb(247, 246, 242)", "dark": "rgb(20, 21, 23)"}
    other = "dark" if scheme == "light" else "light"
    with Opened(chromium, path, color_scheme=scheme, viewport={"width": 390, "height": 800}) as page:
        shade = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(shade) == ground[scheme]
        page.click("#theme")
        assert page.evaluate(shade) == ground[other]
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("svg[role=img]").count() == 6
