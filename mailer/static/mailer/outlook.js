// Keeps a part of a form's page up with what is filled in:
// <div data-outlook="URL" data-outlook-fields="lists" data-mailing="14">…</div>
//
// The URL (same origin, behind the admin's login) answers with the HTML for the values of these
// fields, rendered as the saved object's; without this script the page shows the saved one's.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const PAUSE = 400; // milliseconds without a change before the site is asked

    function watch(part) {
        const form = part.closest("form");
        if (!form) {
            return;
        }
        const names = new Set(part.dataset.outlookFields.split(" "));
        let asked = new AbortController();
        let timer = 0;

        async function update() {
            asked.abort();
            asked = new AbortController();
            const values = new URLSearchParams();
            for (const [name, value] of new FormData(form)) {
                if (names.has(name)) {
                    values.append(name, value);
                }
            }
            if (part.dataset.mailing) {
                values.append("mailing", part.dataset.mailing);
            }
            try {
                const response = await fetch(`${part.dataset.outlook}?${values}`, {
                    credentials: "same-origin",
                    redirect: "error", // a login page must not land inside a form
                    signal: asked.signal,
                });
                if (!response.ok) {
                    throw new Error(String(response.status));
                }
                const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
                part.replaceChildren(...fresh.body.childNodes);
                part.classList.remove("live-stale");
            } catch (error) {
                if (error.name !== "AbortError") {
                    part.classList.add("live-stale");
                }
            }
        }

        function changed(event) {
            if (names.has(event.target.name)) {
                part.classList.add("live-stale");
                window.clearTimeout(timer);
                timer = window.setTimeout(update, PAUSE);
            }
        }

        form.addEventListener("input", changed);
        // A drop-down with a search tells of changes through jQuery only.
        django.jQuery(form).on("change", changed);
    }

    document.querySelectorAll("[data-outlook]").forEach(watch);
});
