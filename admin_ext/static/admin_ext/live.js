// Live parts of a page: <div data-live="URL" data-live-seconds="5">…</div>
//
// The URL (same origin, behind the admin's login) answers with the HTML that belongs inside the
// element, rendered by the template that rendered it first; so without this script a refresh shows
// the same. Of a part whose element with data-live-stage has another stage than before, the whole
// page is loaded anew: buttons and other parts depend on it, too. With data-live-done nothing more is
// to come.
"use strict";
(() => {
    const SLOWEST = 60;

    async function fetchPart(url) {
        const response = await fetch(url, {
            credentials: "same-origin",
            redirect: "error", // a login page must not land inside a card
            headers: {"X-Requested-With": "XMLHttpRequest"},
        });
        const kind = response.headers.get("Content-Type") || "";
        if (!response.ok || !kind.startsWith("text/html")) {
            throw new Error(`${url}: ${response.status} ${kind}`);
        }
        return new DOMParser().parseFromString(await response.text(), "text/html").body;
    }

    function watch(element) {
        const usual = Math.max(1, Number(element.dataset.liveSeconds) || 5);
        let wait = usual;
        const url = new URL(element.dataset.live, window.location.href);
        if (url.origin !== window.location.origin || element.querySelector("[data-live-done]")) {
            return;
        }

        const stage = (part) => part.querySelector("[data-live-stage]")?.dataset.liveStage;
        const first = stage(element);

        async function update() {
            // Neither for a hidden tab nor under the hand of somebody who is in it.
            if (!document.hidden && !element.contains(document.activeElement)) {
                try {
                    const fresh = await fetchPart(url);
                    if (fresh.innerHTML !== element.innerHTML) {
                        element.replaceChildren(...fresh.childNodes);
                    }
                    element.classList.remove("live-stale");
                    wait = usual;
                    if (stage(element) !== first) {
                        window.location.reload();
                        return;
                    }
                } catch {
                    element.classList.add("live-stale");
                    wait = Math.min(wait * 2, SLOWEST);
                }
            }
            window.setTimeout(update, wait * 1000);
        }

        window.setTimeout(update, wait * 1000);
    }

    document.addEventListener("DOMContentLoaded", () => {
        document.querySelectorAll("[data-live]").forEach(watch);
    });
})();
