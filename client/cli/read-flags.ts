import type { AsOf, ReadModeName } from "../options.ts";
import type { OptionDefinition } from "./command.ts";
import { parseIsoTimeMs } from "./iso-time.ts";
import { invalidValue, isTimeAgo, parseDurationMs } from "./parse-values.ts";

/** `--at`: read a state of the past. */
export const AT: OptionDefinition = {
  flags: "--at <when>",
  description: "state as of a log index, a time (2026-11-21T09:00:00Z) or a time ago (2h)",
  parse: (text) => parseAsOf(text, "--at"),
  valueKind: "text",
};
/** `--read-mode`: which masters may answer. */
export const READ_MODE: OptionDefinition = {
  flags: "--read-mode <mode>",
  description: "linearizable (default); with session or stale any master can answer",
  choices: ["linearizable", "session", "stale"] satisfies ReadModeName[],
};

const INDEX = /^\d+$/;
/**
 * Parses a log index ("1234"), a time ("2026-11-21", "2026-11-21T09:00:00Z"), or a duration before
 * now ("2h").
 *
 * @param name the flag, for the error message
 * @throws {AshlarError} INVALID_ARGUMENT
 */
export function parseAsOf(text: string, name: string): AsOf {
  if (INDEX.test(text)) return Number(text);
  // A number without a unit is an index, so a duration needs a unit.
  if (isTimeAgo(text)) return { agoMs: parseDurationMs(text, name) };
  const timeMs = parseIsoTimeMs(text);
  if (timeMs !== null) return { timeMs };
  const expected = "an index, a time such as 2026-11-21T09:00:00Z or a duration such as 2h";
  throw invalidValue(name, expected, text);
}
