// What mailer/static/mailer/source.js uses of CodeMirror, as the global CodeMirror.
import {StyleModule} from "style-mod";

// Into a document, style-mod writes a <style> element, which the site's policy forbids; into a
// shadow root it adopts a stylesheet, which is allowed. So it is shown the document as such a root.
const adopting = {
  ownerDocument: document,
  get adoptedStyleSheets() {
    return document.adoptedStyleSheets;
  },
  set adoptedStyleSheets(sheets) {
    document.adoptedStyleSheets = sheets;
  },
};
const mount = StyleModule.mount;
StyleModule.mount = (root, modules) => mount(root === document ? adopting : root, modules);

export {EditorState, StateField} from "@codemirror/state";
export {
  Decoration,
  EditorView,
  MatchDecorator,
  ViewPlugin,
  WidgetType,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
export {defaultKeymap, history, historyKeymap} from "@codemirror/commands";
export {LanguageSupport, syntaxHighlighting} from "@codemirror/language";
export {html} from "@codemirror/lang-html";
export {jinja} from "@codemirror/lang-jinja";
export {highlightSelectionMatches, search, searchKeymap} from "@codemirror/search";
export {autocompletion} from "@codemirror/autocomplete";
export {classHighlighter} from "@lezer/highlight";
export {plainLanguage} from "./plain.js";
