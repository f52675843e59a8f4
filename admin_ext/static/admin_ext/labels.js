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

    function wordsOf(select) {
        return select?.labels?.[0]?.textContent || select?.getAttribute("aria-label");
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
            const words = wordsOf(box.previousElementSibling);
            box.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox]").forEach((part) => {
                nameBy(part, words);
            });
        });
        document.querySelectorAll(".help-tooltip[aria-label]").forEach((tip) => {
            tip.setAttribute("role", "img");
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
    // A drop-down's own field for typing is made when it opens.
    window.django?.jQuery?.(document).on("select2:open", (event) => {
        nameBy(document.querySelector(".select2-dropdown .select2-search__field"), wordsOf(event.target));
    });
});
