// A filter that is looked for by typing: what is chosen is shown at once.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    // Select2 tells of changes through jQuery only.
    django.jQuery("form.pick-filter select").on("change", (event) => {
        event.target.form.requestSubmit();
    });
});
