// Bundles the editor into mailer's static files, its licences beside it: `make editor`.
import {readFile, writeFile} from "node:fs/promises";
import {build} from "esbuild";

const FOLDER = "../../mailer/static/mailer/vendor/codemirror";

const {metafile} = await build({
  entryPoints: ["entry.js"],
  outfile: `${FOLDER}/codemirror.js`,
  alias: {"@codemirror/lang-javascript": "./plain.js"},
  banner: {js: "/*! CodeMirror 6. Made by scripts/codemirror; licences (MIT): LICENSES.txt */"},
  bundle: true,
  format: "iife",
  globalName: "CodeMirror",
  metafile: true,
  minify: true,
  target: "es2022",
});

const [output] = Object.values(metafile.outputs);
const names = Object.entries(output.inputs)
  .filter(([, {bytesInOutput}]) => bytesInOutput > 0)
  .map(([path]) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]);
const parts = [...new Set(names)].filter(Boolean).sort().map(async (name) => {
  const {version, license} = JSON.parse(await readFile(`node_modules/${name}/package.json`));
  const text = await readFile(`node_modules/${name}/LICENSE`, "utf8");
  return `${name} ${version} (${license})\n\n${text.trim()}\n`;
});
await writeFile(`${FOLDER}/LICENSES.txt`, (await Promise.all(parts)).join(`\n${"-".repeat(72)}\n\n`));
