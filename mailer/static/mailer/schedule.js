// Shows only the fields that the chosen kind of schedule needs; without it all of them are shown.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const kind = document.getElementById("id_schedule_kind");
    if (!kind) {
        return;
    }

    function update() {
        document.querySelectorAll("[data-kinds]").forEach((field) => {
            const row = field.closest(".form-row");
            row.hidden = !field.dataset.kinds.split(" ").includes(kind.value);
        });
        const enabled = document.querySelector(".form-row.field-enabled");
        if (enabled) {
            enabled.hidden = kind.value === "manual";
        }
    }

    kind.addEventListener("change", update);
    update();
});
