import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ROOT_URL } from "../support/repository.ts";
import { type Finding, lintPlanted } from "./lint-planted.ts";

const lines = (count: number, line: string): string => `${line}\n`.repeat(count);
const LONG_FUNCTION = `export function f(): number {
  let sum = 0;
${lines(70, "  sum += 1;")}  return sum;
}
`;
const TANGLED_FUNCTION = `export function f(n: number): number {
  ${[1, 2, 3, 4, 5, 6].map((bound) => `if (n > ${bound}) {`).join("\n")}
  return 1;
  ${"}".repeat(6)}
  return 0;
}
`;
const WORK = "async function work(): Promise<void> {}\n";
const VOIDED_PROMISE = `${WORK}export function f(): void {\n  void work();\n}\n`;

/** A violation of each rule that biome.json adds to the recommended ones, by the rule's name. */
const VIOLATIONS: Readonly<Record<string, string>> = {
  format: "export const  one = 1",
  organizeImports: 'import { z } from "./z.ts";\nimport { a } from "./a.ts";\n',

  noExcessiveCognitiveComplexity: TANGLED_FUNCTION,
  noExcessiveLinesPerFile: lines(401, "f();"),
  noExcessiveLinesPerFunction: LONG_FUNCTION,

  noFloatingPromises: `${WORK}export function f(): void {\n  work();\n}\n`,
  noMisusedPromises: `${WORK}export const f = (): number => (work() ? 1 : 0);\n`,
  noVoid: VOIDED_PROMISE,
  useAwaitThenable: "export const f = async (): Promise<number> => await 5;\n",

  noBarrelFile: 'export { one } from "./one.ts";\n',
  noCommonJs: "exports.one = 1;\n",
  noDefaultExport: "export default 1;\n",
  noImportCycles: 'import { two } from "./cycle.ts";\nexport const one = (): number => two();\n',
  noReExportAll: 'export * from "./one.ts";\n',
  noUndeclaredDependencies: 'import "fast-check";\n',
  noUnusedImports: 'import { unused } from "./one.ts";\n',
  useExportType: 'import type { One } from "./one.ts";\nexport { One };\n',
  useImportExtensions: 'import "./one";\n',
  useImportType: 'import { One } from "./one.ts";\nexport const one: One = 1;\n',
  useNodejsImportProtocol: 'import "fs";\n',

  noConstEnum: "export const enum Color {\n  Red = 1,\n}\n",
  noEnum: "export enum Color {\n  Red = 1,\n}\n",
  noEvolvingTypes: "export let one;\n",
  noExplicitAny: "export const f = (one: any): unknown => one;\n",
  noInferrableTypes: "export const f = (one: number = 1): number => one;\n",
  noNamespace: "export namespace Space {\n  export const one = 1;\n}\n",
  noNonNullAssertion: "export const f = (one: number | null): number => one!;\n",
  noParameterProperties: "export class Point {\n  constructor(readonly x: number) {}\n}\n",
  noTsIgnore: "// @ts-ignore\nexport const one: number = null;\n",
  useReadonlyClassProperties:
    "export class One {\n  #one = 1;\n  one(): number {\n    return this.#one;\n  }\n}\n",
  useShorthandFunctionType: "export interface Call {\n  (): void;\n}\n",

  noConsole: 'console.log("one");\n',
  noNestedTernary: "export const f = (n: number): number => (n > 1 ? 1 : n > 0 ? 2 : 3);\n",
  noParameterAssign: "export function f(one: number): number {\n  one += 1;\n  return one;\n}\n",
  noUnusedPrivateClassMembers: "export class One {\n  #one = 1;\n}\n",
  noUnusedTemplateLiteral: "export const one = `one`;\n",
  noUnusedVariables: "const one = 1;\n",
  noUselessElse:
    "export function f(n: number): number {\n  if (n > 0) {\n    return 1;\n  } else {\n    return 2;\n  }\n}\n",
  noUselessUndefinedInitialization: "let one: number | undefined = undefined;\n",
  noVar: "export var one = 1;\n",
  useConst: "let one = 1;\nexport const two = one + 1;\n",
  useDefaultParameterLast: "export const f = (one = 1, two: number): number => one + two;\n",
  useErrorMessage: "export function f(): never {\n  throw new Error();\n}\n",
  useFilenamingConvention: "export const one = 1;\n",
  useNumberNamespace: 'export const one = parseInt("1", 10);\n',
  useSingleVarDeclarator: "let one = 1,\n  two = 2;\n",
  useThrowNewError: 'export function f(): never {\n  throw Error("One");\n}\n',
  useThrowOnlyError: 'export function f(): never {\n  throw "one";\n}\n',

  noFocusedTests: 'import { it } from "node:test";\nit.only("one", () => {});\n',
  noSkippedTests: 'import { it } from "node:test";\nit.skip("one", () => {});\n',
};

/** The file of a violation, if it is not `client/<rule in kebab-case>.ts`. */
const PLACES: Readonly<Record<string, string>> = {
  noFocusedTests: "test/focused.test.ts",
  noSkippedTests: "test/skipped.test.ts",
  useFilenamingConvention: "client/camelCase.ts",
};

/** Code that a rule allows in some places only. */
const ALLOWED: ReadonlyArray<readonly [file: string, rule: string, source: string]> = [
  ["client/index.ts", "noBarrelFile", 'export { one } from "./one.ts";\n'],
  ["client/cli/print.ts", "noConsole", 'console.log("one");\n'],
  ["scripts/print.ts", "noConsole", 'console.log("one");\n'],
  ["test/long.test.ts", "noExcessiveLinesPerFunction", LONG_FUNCTION],
  ["test/property.test.ts", "noUndeclaredDependencies", 'import "fast-check";\n'],
  ["test/voided.test.ts", "noVoid", VOIDED_PROMISE],
];

/** Files that the violations import. */
const IMPORTED_FILES: ReadonlyArray<readonly [file: string, source: string]> = [
  ["client/one.ts", "export type One = number;\nexport const one = 1;\n"],
  ["client/cycle.ts", 'import { one } from "./no-import-cycles.ts";\nexport const two = one;\n'],
];

/** Rules with other tests: the import rules and the I/O boundary. */
const TESTED_ELSEWHERE = ["noRestrictedImports", "noRestrictedGlobals", "noJsRestrictedProperties"];

function placeOf(rule: string): string {
  const kebab = rule.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return PLACES[rule] ?? `client/${kebab}.ts`;
}

describe("the linter", async () => {
  const planted = new Map(IMPORTED_FILES);
  for (const [rule, source] of Object.entries(VIOLATIONS)) planted.set(placeOf(rule), source);
  for (const [file, , source] of ALLOWED) planted.set(file, source);
  const findings = await lintPlanted(planted);
  const has = (rule: string, file: string): boolean =>
    findings.some((finding: Finding) => finding.rule === rule && finding.file === file);

  for (const rule of Object.keys(VIOLATIONS)) {
    it(`refuses a violation of ${rule}`, () => assert.ok(has(rule, placeOf(rule))));
  }

  for (const [file, rule] of ALLOWED) {
    it(`allows in ${file} what ${rule} refuses elsewhere`, () => assert.ok(!has(rule, file)));
  }

  it("finds nothing in a clean file", () => {
    assert.deepEqual(
      findings.filter(({ file }) => file === "client/one.ts"),
      [],
    );
  });

  it("has a violation for every rule that biome.json turns on", async () => {
    const settings = JSON.parse(await readFile(new URL("biome.json", ROOT_URL), "utf8"));
    const sections = [settings, ...settings.overrides];
    const groups = sections.flatMap((section) => Object.values(section.linter?.rules ?? {}));
    const rules = groups
      .filter((group) => typeof group === "object")
      .flatMap((group) => Object.entries(group as object))
      .filter(([, setting]) => setting !== "off")
      .map(([rule]) => rule);
    const tested = new Set([...Object.keys(VIOLATIONS), ...TESTED_ELSEWHERE]);
    assert.deepEqual(
      rules.filter((rule) => !tested.has(rule)),
      [],
    );
  });
});
