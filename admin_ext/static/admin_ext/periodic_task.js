// Says in words, below the crontab's field, what the chosen crontab means.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const data = document.getElementById("crontabs-in-words");
    const select = document.getElementById("id_crontab");
    if (!data || !select) {
        return;
    }
    const words = JSON.parse(data.textContent);
    const line = document.createElement("div");
    line.className = "help";
    line.setAttribute("role", "status");
    select.closest(".form-row, .fieldBox").append(line);
    const show = () => { line.textContent = words[select.value] || ""; };
    // Django's own widget, with its "+" beside it, tells of changes through jQuery only.
    django.jQuery(select).on("change", show);
    show();
});
