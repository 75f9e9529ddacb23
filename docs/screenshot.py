"""Take docs/images/view.png: the page of edits that `make demo` leaves, in Debian's chromium.

make demo && python docs/screenshot.py [PAGE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HOME = Path(__file__).parent.parent
PICTURE = HOME / "docs" / "images" / "view.png"
CHROMIUM = "/usr/bin/chromium"
LARGEST = 300_000
SEARCH = "State of the Union"


def main(page_file: Path) -> int:
    if not page_file.is_file():
        sys.stderr.write(f"{page_file} is not there: run `make demo` first\n")
        return 2
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1160, "height": 780}, color_scheme="light")
        page.goto(page_file.resolve().as_uri())
        page.wait_for_selector("#documents article")
        page.select_option("#show", "both")
        page.fill("#find", SEARCH)  # one document of plain prose
        page.wait_for_timeout(500)
        for _ in range(3):
            page.locator("#next-edit").evaluate("button => button.click()")
            page.wait_for_timeout(200)
        page.locator("#toolbar").evaluate("bar => window.scrollTo(0, document.querySelector('#found').offsetTop - 80)")
        page.wait_for_timeout(500)
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()
    size = PICTURE.stat().st_size
    sys.stdout.write(f"{PICTURE.relative_to(HOME)}: {size:,} bytes\n")
    return 0 if size < LARGEST else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else HOME / "demo" / "edited" / "view.html"))
