// Names for what the stock admin leaves without one, for those who listen: fields of tables by their
// column, drop-downs with a search by their label; and tables that scroll can be reached by keys.
"use strict";
window.addEventListener("load", () => {
    function nameBy(element, words) {
        if (element && words) {
            element.setAttribute("aria-label", words.trim());
            element.removeAttribute("aria-labelledby");
        }
    }

    function nameAll() {
        document.querySelectorAll(".inline-group .tabular td").forEach((cell) => {
            const field = [...cell.classList].find((name) => name.startsWith("field-"));
            const column = field && cell.closest("table").querySelector(`.column-${field.slice(6)}`);
            cell.querySelectorAll("input:not([type=hidden]), select, textarea").forEach((input) => {
                if (column && !input.labels?.length) {
                    nameBy(input, column.textContent);
                }
            });
        });
        document.querySelectorAll(".select2-container").forEach((box) => {
            const select = box.previousElementSibling;
            const words = select?.labels?.[0]?.textContent || select?.getAttribute("aria-label");
            box.querySelectorAll("[role=combobox], [role=textbox]").forEach((part) => {
                nameBy(part, words);
            });
        });
        document.querySelectorAll(".inline-group, .results").forEach((group) => {
            if (group.scrollWidth > group.clientWidth) {
                group.tabIndex = 0;
            }
        });
    }

    // After the admin's own scripts, which make the drop-downs when jQuery says so.
    const ready = window.django?.jQuery || ((act) => act());
    ready(nameAll);
    document.addEventListener("formset:added", nameAll);
});
