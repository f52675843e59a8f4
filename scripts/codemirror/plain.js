// A language without words. It stands for plain text, and for JavaScript: nothing runs in mail, so
// that parser (80 kB) stays out of the bundle, and lang-html finds these names instead.
import {StreamLanguage} from "@codemirror/language";

const plain = StreamLanguage.define({
  name: "plain",
  token(stream) {
    stream.skipToEnd();
    return null;
  },
});
plain.parser.configure = () => plain.parser;

export {
  plain as plainLanguage,
  plain as javascriptLanguage,
  plain as jsxLanguage,
  plain as tsxLanguage,
  plain as typescriptLanguage,
};
export const javascript = () => ({support: []});
