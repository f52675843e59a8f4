// A form with data-once is sent once: a second click while the first is on its way does nothing.
"use strict";
document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-once]")) {
        return;
    }
    if (form.dataset.sent) {
        event.preventDefault();
        return;
    }
    form.dataset.sent = "yes";
});
// Coming back with the browser's back button shows the form as it was left: let it be sent again.
window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-once]").forEach((form) => delete form.dataset.sent);
});
