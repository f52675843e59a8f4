// Shows only the fields that the chosen kind of relay needs; without it all of them are shown.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const kind = document.getElementById("id_kind");
    if (!kind) {
        return;
    }

    function update() {
        document.querySelectorAll("[data-kind]").forEach((field) => {
            field.closest(".form-row").hidden = field.dataset.kind !== kind.value;
        });
        const environment = document.querySelector(".form-row.field-environment");
        if (environment) {
            environment.hidden = kind.value !== "smtp";
        }
    }

    kind.addEventListener("change", update);
    update();
});
