// Prettier's plugin for JSON with comments, by jsonc-parser. It stands in for two of Prettier's own, Babel's
// parser and the printer of all JavaScript, which GraphiQL has use for only here and which weigh 530 kB.
import { applyEdits, format } from "jsonc-parser";
import type { Parser, Printer } from "prettier";

type Text = { text: string };

const parser: Parser<Text> = {
  parse: (text) => ({ text }),
  astFormat: "jsonc",
  locStart: () => 0,
  locEnd: ({ text }) => text.length,
};

const printer: Printer<Text> = {
  print: ({ node: { text } }) => applyEdits(text, format(text, undefined, { tabSize: 2, insertSpaces: true })),
};

export const parsers = { jsonc: parser };
export const printers = { jsonc: printer };
