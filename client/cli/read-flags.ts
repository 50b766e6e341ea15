import { AshlarError } from "../../shared/base/errors.ts";
import type { AsOf, ReadModeName } from "../options.ts";
import type { OptionDefinition } from "./command.ts";
import { parseDurationMs } from "./parse-values.ts";

export const AT: OptionDefinition = {
  flags: "--at <when>",
  description: "as of a log index, a time (2026-11-21T09:00:00Z) or so long ago (2h)",
  parse: (text) => parseAsOf(text, "--at"),
};
export const READ_MODE: OptionDefinition = {
  flags: "--read-mode <mode>",
  description: "linearizable (default); session or stale: any master answers",
  choices: ["linearizable", "session", "stale"] satisfies ReadModeName[],
};

const INDEX = /^\d+$/;
/** ISO 8601 with a day; without a zone it is local time, as ECMA-262 has it. */
const DAY = /^\d{4}-\d{2}-\d{2}/;

/**
 * An index ("1234"), a time ("2026-11-21", "2026-11-21T09:00:00Z"), or a duration before now ("2h").
 *
 * @throws {AshlarError} INVALID_ARGUMENT naming `what`
 */
export function parseAsOf(text: string, what: string): AsOf {
  if (INDEX.test(text)) return Number(text);
  // A number without a unit is an index, so a duration has one.
  if (/[a-z]$/i.test(text) && !DAY.test(text)) return { agoMs: parseDurationMs(text, what) };
  const timeMs = DAY.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(timeMs)) return { timeMs };
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use ${what}: expected an index, a time such as 2026-11-21T09:00:00Z or a duration such as 2h: got "${text}"`,
  );
}
