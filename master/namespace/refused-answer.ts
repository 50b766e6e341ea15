import { AshlarError } from "../../shared/base/errors.ts";
import type { Refused } from "./command.ts";
import { COST_HINT } from "./cost.ts";
import { wordsOfRefusal } from "./refusal-words.ts";
import { expectedWords } from "./tree-reasons.ts";

/**
 * Returns the error that answers a refused command. Its words are made here, where the answer leaves
 * the master. An outcome that was read from a row with words is answered in these words.
 */
export function errorOfRefused(refused: Refused): AshlarError {
  const { code, reason, facts, operationIndex, frozen } = refused;
  const isWorded = reason === null;
  const message = isWorded ? (frozen?.words ?? code) : wordsOfRefusal({ code, reason, facts });
  const position = operationIndex === null ? {} : { operationIndex };
  return new AshlarError(code, message, {
    ...(refused.details["limit"] === "entry-units" ? { hint: COST_HINT } : {}),
    details: { ...detailsOf(refused), ...position },
  });
}

function detailsOf({ reason, facts, details }: Refused): Refused["details"] {
  if (reason !== "precondition-failed") return details;
  return { ...details, expected: expectedWords(facts as Parameters<typeof expectedWords>[0]) };
}
