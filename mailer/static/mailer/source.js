// A source editor in place of a field: <textarea data-source="html">, or <pre data-source="html"> to
// be read. Without this script they are what they are.
//
// The textarea stays what the form sends and what other scripts listen to: each change is written
// into it with an input event, and what others write into it is shown.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
    const cm = window.CodeMirror;

    const braces = new cm.MatchDecorator({
        regexp: /\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}/g,
        decoration: cm.Decoration.mark({class: "source-template"}),
    });
    const templateMarks = cm.ViewPlugin.define(
        (view) => ({
            marks: braces.createDeco(view),
            update(change) {
                this.marks = braces.updateDeco(change, this.marks);
            },
        }),
        {decorations: (plugin) => plugin.marks},
    );

    function language(kind) {
        const html = cm.html({autoCloseTags: false});
        return cm.jinja({base: kind === "html" ? html : new cm.LanguageSupport(cm.plainLanguage)});
    }

    class Reason extends cm.WidgetType {
        constructor(words) {
            super();
            this.words = words;
        }

        eq(other) {
            return other.words === this.words;
        }

        toDOM() {
            const reason = document.createElement("div");
            reason.className = "source-reason";
            reason.textContent = this.words;
            return reason;
        }
    }

    function lineOf(state, problem) {
        return state.doc.line(Math.min(Math.max(problem.line, 1), state.doc.lines));
    }

    // Each line that is wrong, and below it why; they stay with their lines until the next save.
    function problemMarks(problems) {
        const starts = cm.StateField.define({
            create: (state) => problems.map((problem) => lineOf(state, problem).from),
            update: (places, change) => places.map((place) => change.changes.mapPos(place, 1)),
        });
        const marks = (state) => (place, index) => {
            const line = state.doc.lineAt(place);
            const widget = new Reason(problems[index].words);
            return [
                cm.Decoration.line({class: "source-wrong"}).range(line.from),
                cm.Decoration.widget({widget, block: true, side: 1}).range(line.to),
            ];
        };
        const decorate = (state) =>
            cm.Decoration.set(state.field(starts).flatMap(marks(state)), true);
        return [starts, cm.EditorView.decorations.compute(["doc", starts], decorate)];
    }

    // Over a selection a browser types so that the look of what was there is kept, in style
    // attributes, which the policy forbids; so it is left to the editor.
    const typeOver = cm.EditorView.domEventHandlers({
        beforeinput(event, view) {
            const drawn = document.getSelection().getRangeAt(0);
            if (event.inputType !== "insertText" || !event.data || drawn.collapsed) {
                return false;
            }
            let from = view.posAtDOM(drawn.startContainer, drawn.startOffset);
            let to = view.posAtDOM(drawn.endContainer, drawn.endOffset);
            const {main} = view.state.selection;
            if (main.from <= from && to <= main.to) {
                ({from, to} = main); // more than is drawn
            }
            const insert = view.state.toText(event.data);
            view.dispatch({
                changes: {from, to, insert},
                selection: {anchor: from + insert.length},
                scrollIntoView: true,
                userEvent: "input.type",
            });
            return true;
        },
    });

    // What can stand at the end of `before`: names to fill in, filters after "|", tags after "{%".
    function offered(before, {names, filters, tags}) {
        const [, brace, inside] = /(\{\{|\{%)-?((?:(?!\}\}|%\}|\{\{|\{%).)*)$/s.exec(before) || [];
        const code = inside?.replace(/"[^"]*"|'[^']*'/g, "0");
        if (code === undefined || /["']/.test(code)) {
            return null;
        }
        const [, lead, word] = /^(.*?)\s*([\p{L}_][\p{L}\p{N}_]*)?$/su.exec(code);
        if (lead.endsWith("|")) {
            return {word, words: filters};
        }
        if (brace === "{%" && !lead) {
            return {word, words: tags};
        }
        const goesOn = !lead || /\b(?:if|elif|in|and|or|not)$|[=<>(,]$/.test(lead);
        return goesOn ? {word, words: names, alone: brace === "{{" && !lead} : null;
    }

    // {{ na → {{ name }}, unless the braces are closed already.
    function fillIn(view, {label}, from, to) {
        const line = view.state.doc.lineAt(from);
        const closed = /^[^{]*\}\}/.test(view.state.sliceDoc(to, line.to));
        const opened = view.state.sliceDoc(line.from, from).endsWith("{{");
        const insert = `${opened ? " " : ""}${label}${closed ? "" : " }}"}`;
        view.dispatch({
            changes: {from, to, insert},
            selection: {anchor: from + insert.length},
            scrollIntoView: true,
            userEvent: "input.complete",
        });
    }

    function completion(offers) {
        return cm.autocompletion({
            icons: false,
            override: [
                (context) => {
                    const start = Math.max(0, context.pos - 500);
                    const found = offered(context.state.sliceDoc(start, context.pos), offers);
                    const apply = found?.alone ? fillIn : undefined;
                    return found && {
                        from: context.pos - (found.word || "").length,
                        options: found.words.map((label) => ({label, apply})),
                        validFor: /^[\p{L}\p{N}_]*$/u,
                    };
                },
            ],
        });
    }

    // What both kinds of editor have; `attributes` are those of the text for those who listen.
    function makeView(field, attributes, extensions) {
        const frame = document.createElement("div");
        frame.className = `source-editor source-${field.dataset.source}`;
        const view = new cm.EditorView({
            doc: field.value ?? field.textContent,
            parent: frame,
            extensions: [
                ...extensions,
                cm.lineNumbers(),
                cm.highlightSpecialChars(),
                cm.EditorView.lineWrapping,
                cm.EditorView.contentAttributes.of(attributes),
                cm.syntaxHighlighting(cm.classHighlighter),
                language(field.dataset.source),
                templateMarks,
                cm.search(),
                cm.highlightSelectionMatches(),
                cm.keymap.of([...cm.searchKeymap, ...cm.historyKeymap, ...cm.defaultKeymap]),
            ],
        });
        field.hidden = true;
        field.after(frame);
        return view;
    }

    function labelOf(field) {
        return field.labels?.[0] || field.closest(".form-row")?.querySelector("label");
    }

    function write(field) {
        const problems = JSON.parse(field.dataset.problems || "[]");
        const keys = document.createElement("div");
        keys.className = "help";
        keys.id = `${field.id}_keys`;
        keys.textContent = field.dataset.keys;
        let taking = false;

        const attributes = {
            "aria-label": labelOf(field).textContent.trim(),
            "aria-describedby": `${field.getAttribute("aria-describedby") || ""} ${keys.id}`.trim(),
            "aria-invalid": field.getAttribute("aria-invalid") || "false",
            spellcheck: String(field.spellcheck),
        };
        const view = makeView(field, attributes, [
            cm.history(),
            cm.highlightActiveLine(),
            typeOver,
            completion(JSON.parse(field.dataset.offers)),
            problemMarks(problems),
            cm.EditorView.updateListener.of((update) => {
                if (update.docChanged && !taking) {
                    field.value = update.state.doc.toString();
                    field.dispatchEvent(new Event("input", {bubbles: true}));
                }
            }),
        ]);
        (field.closest(".flex-container") || view.dom.parentElement).after(keys);

        function take() {
            const now = view.state.doc.toString();
            if (field.value !== now) {
                taking = true;
                view.dispatch({changes: {from: 0, to: now.length, insert: field.value}});
                taking = false;
            }
        }

        field.addEventListener("input", take);
        field.addEventListener("change", take);
        window.addEventListener("pageshow", take); // a browser fills in what was there before
        labelOf(field).addEventListener("click", () => view.focus());
        if (problems.length > 0) {
            const first = document.querySelector(".errorlist");
            const at = lineOf(view.state, problems[0]).from;
            const effects = cm.EditorView.scrollIntoView(at, {y: "center"});
            const isFirst = field.closest(".form-row").contains(first);
            view.dispatch({selection: {anchor: at}, effects: isFirst ? effects : []});
        }
    }

    function read(field) {
        const attributes = {"aria-label": labelOf(field).textContent.trim(), tabindex: "0"};
        makeView(field, attributes, [
            cm.EditorState.readOnly.of(true),
            cm.EditorView.editable.of(false),
        ]);
    }

    document.querySelectorAll("textarea[data-source]").forEach(write);
    document.querySelectorAll("pre[data-source]").forEach(read);
});
