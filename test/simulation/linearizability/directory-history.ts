import type { NameChange, NameInput, NameOutput } from "./directory-operations.ts";
import type { Operation } from "./history.ts";

/**
 * Parses the history of one directory. Each line has the times of the call and the return, the
 * operation or the steps of a transaction, and the answer:
 *
 *     1-2 put b v38 → at 109
 *     3-? rename a b; create a → ?
 *     4-5 read b → v38 at 109
 */
export function directoryHistory(text: string): Operation<NameInput, NameOutput>[] {
  const lines = text.trim().split("\n");
  return lines.map((line, position) => {
    const [left = "", answer = ""] = line.trim().split(" → ");
    const [times = "", ...words] = left.split(" ");
    const [callTime = 0, returnTime = 0] = times.split("-").map(Number);
    const input = parseInput(words.join(" "));
    const output = parseOutput(answer);
    return { process: `p${position}`, key: "/d", input, output, callTime, returnTime };
  });
}

function parseInput(text: string): NameInput {
  const steps = text.split("; ");
  const [kind, name = ""] = text.split(" ");
  if (kind === "read") return { kind, name };
  if (steps.length > 1) return { kind: "transact", steps: steps.map(parseChange) };
  return parseChange(text);
}

function parseChange(text: string): NameChange {
  const [kind, name = "", last = ""] = text.split(" ");
  if (kind === "put") return { kind, name, value: last };
  if (kind === "rename") return { kind, name, to: last };
  if (kind === "create" || kind === "remove") return { kind, name };
  throw new Error(`Not a change: ${text}`);
}

function parseOutput(text: string): NameOutput | null {
  if (text === "?") return null;
  if (text === "nothing") return { kind: "nothing" };
  if (text === "ALREADY_EXISTS" || text === "NOT_FOUND") return { kind: "refused", code: text };
  const [value = "", version = ""] = text.split("at ");
  if (value === "") return { kind: "done", version: Number(version) };
  return { kind: "found", value: value.trim(), version: Number(version) };
}

/**
 * The beginning of a history of the whole-cluster simulation: `--seed 9392 --seconds 360 --nodes
 * 5x5x4 --workload mixed --pace 1` at commit eca8fd8. A master with a corrupt state was the leader,
 * so the answers of 40 consecutive changes were discarded.
 */
export const MANY_UNANSWERED = `
1-2 put b v38 → at 109
3-? create e → ?
4-? put a v45 → ?
5-? put e v46 → ?
6-? rename b e → ?
7-? rename c d; rename e c; rename e d → ?
8-? put e v50 → ?
9-? put d v52 → ?
10-? rename e b → ?
11-? rename b a → ?
12-? put a v53 → ?
13-? put e v54 → ?
14-? create b → ?
15-? remove b; remove c; remove d → ?
16-? create d → ?
17-? put d v55 → ?
18-? create e → ?
19-? remove a → ?
20-? put a v57 → ?
21-? put e k1.2.long.1 → ?
22-? create d → ?
23-? remove b; remove e → ?
24-? create a → ?
25-? put e v60 → ?
26-? put a v62 → ?
27-? remove d → ?
28-? remove e → ?
29-? rename e b → ?
30-? remove b; create c; rename c a → ?
31-? rename e b → ?
32-? put d v66 → ?
33-? rename b d → ?
34-? create a → ?
35-? put e v68 → ?
36-? put e v69 → ?
37-? create e → ?
38-? put c v70 → ?
39-? rename e b → ?
40-? put d v72 → ?
41-? remove e → ?
42-? put d v74 → ?
43-? put a v78 → ?
44-45 read d → v74 at 219
46-47 put c v79 → at 332
48-? put c k1.2.long.2 → ?
49-50 put d v82 → at 361
51-? put b k2.1.long.2 → ?
52-53 create e → ALREADY_EXISTS
54-55 put a v84 → at 366
56-57 read c → v79 at 332
58-59 put d v86 → at 383
60-61 read b → v68 at 208
62-63 create d; create c → ALREADY_EXISTS
64-65 read c → k1.2.long.2 at 400
66-67 remove d → at 416
68-69 read e → k1.2.long.1 at 231
70-71 create a → ALREADY_EXISTS
72-73 read a → v84 at 366
74-75 remove b; rename e b; rename c d → at 444
76-77 read e → nothing
`;
