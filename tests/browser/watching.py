"""A tab that tells on its pages: what the browser complains of, and what no hand can reach."""

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

#: Looks at each page once it is there, and again whenever something of it changes. Its complaints
#: are the console's: a test hears of a violated content security policy in the same way.
LOOK = """
addEventListener("load", () => {
    const CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, [tabindex='0']";

    function scrolls(element) {
        for (let part = element.parentElement; part; part = part.parentElement) {
            if (/auto|scroll/.test(getComputedStyle(part).overflowX)) {
                return true;
            }
        }
        return false;
    }

    function look() {
        const wide = document.documentElement.scrollWidth;
        if (wide > innerWidth) {
            console.error(`${location.pathname} is ${wide} px wide, the window ${innerWidth}`);
        }
        for (const control of document.querySelectorAll(CONTROLS)) {
            const {left, right, width} = control.getBoundingClientRect();
            const outside = left < -1 || right > innerWidth + 1;
            if (width && outside && control.checkVisibility() && !scrolls(control)) {
                console.error(`out of reach on ${location.pathname}: ${control.outerHTML}`);
            }
        }
    }

    look();
    new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
});
"""


def open_tab(context: BrowserContext) -> tuple[Page, list[str]]:
    """A tab, and what there is to complain of in whatever it shows; that grows."""
    page = context.new_page()
    page.add_init_script(LOOK)
    complaints: list[str] = []

    def console(message: ConsoleMessage) -> None:
        # LOOK itself is kept out of a message's preview, as every script is.
        ours = message.text.startswith("Blocked script execution") and "/frame/" in message.text
        if message.type == "error" and not ours:
            complaints.append(f"{page.url}: {message.text}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            complaints.append(f"{response.status}: {response.url}")

    def failed(request: Request) -> None:
        # What a page still asked for when it was left, and what became a download.
        if request.failure != "net::ERR_ABORTED":
            complaints.append(f"{request.failure}: {request.url}")

    page.on("console", console)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    page.on("response", answered)
    page.on("requestfailed", failed)
    return page, complaints
