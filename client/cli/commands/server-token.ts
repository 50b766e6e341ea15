import { AshlarError } from "../../../shared/base/errors.ts";
import { formatCount, formatTime } from "../../../shared/display/format.ts";
import { formatDuration } from "../../../shared/display/quantities.ts";
import { createHasher } from "../../../shared/platform/hasher.ts";
import {
  JOIN_TOKEN_VALID_MS_MAX,
  joinTokenHash,
  joinTokenId,
} from "../../../shared/protocol/enrolment-api.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { requireAction } from "../require-action.ts";
import { formatTable } from "../table-view.ts";

/** The actions, with the options that each one uses. */
const ACTIONS = { create: ["valid"], list: [], revoke: ["all"] } as const;
const VALID_MS_DEFAULT = 60 * 60 * 1_000;

export const run: RunCommand = async (context, [given = "create", ...ids], options) => {
  const action = requireAction("server token", { action: given, options }, ACTIONS);
  if (action === "revoke") await revoke(context, ids, options["all"] === true);
  else if (ids.length > 0) throw unexpectedIds(action, ids);
  else if (action === "list") await list(context);
  else await create(context, options);
};

async function create(context: CommandContext, options: OptionValues): Promise<void> {
  const { output, signal } = context;
  const validMs = Number(options["valid"] ?? VALID_MS_DEFAULT);
  if (!(validMs >= 1 && validMs <= JOIN_TOKEN_VALID_MS_MAX)) throw invalidValidity(validMs);
  const fileSystem = await context.fileSystem();
  const token = await fileSystem.enrolment.makeToken({ validMs, signal });
  const id = joinTokenId(joinTokenHash(createHasher().hasher, token));
  if (output.options.json) {
    await output.json("ashlar.join-token/1", { token, id, valid_ms: validMs });
    return;
  }
  await output.line(token);
  output.note(
    `start the chunkserver with it in ASHLAR_JOIN_TOKEN; it is needed only the first time. To revoke it: ashlar server token revoke ${id}`,
  );
}

/** Prints the valid tokens; with --quiet only their ids. */
async function list(context: CommandContext): Promise<void> {
  const { output, signal } = context;
  const { tokens } = await (await context.fileSystem()).enrolment.status({ signal });
  if (output.options.json) {
    for (const { id, expiresMs } of tokens) {
      await output.json("ashlar.join-token-list/1", { id, expires: formatTime(expiresMs) });
    }
  } else if (output.options.quiet) {
    for (const { id } of tokens) await output.line(id);
  } else if (tokens.length === 0) {
    output.note("no valid join tokens");
  } else {
    const columns = ["ID", "EXPIRES (UTC)"].map((heading) => ({ heading }));
    const rows = tokens.map(({ id, expiresMs }) => [id, formatTime(expiresMs)]);
    await output.line(formatTable(columns, rows, output.columns));
  }
}

async function revoke(
  context: CommandContext,
  ids: readonly string[],
  isAll: boolean,
): Promise<void> {
  const { output, signal } = context;
  if (isAll === ids.length > 0) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot revoke join tokens: expected either ids or --all: current value is ${isAll ? `--all ${ids.join(" ")}` : "neither"}`,
      { hint: "ashlar server token list" },
    );
  }
  const { enrolment } = await context.fileSystem();
  const revoked = isAll ? (await enrolment.status({ signal })).tokens.map(({ id }) => id) : ids;
  await enrolment.revokeTokens(isAll ? "all" : ids, { signal });
  if (output.options.json) await output.json("ashlar.join-token-revoke/1", { revoked });
  else output.note(`revoked ${formatCount(revoked.length, "join token")}`);
}

function invalidValidity(validMs: number): AshlarError {
  const [given, max] = [validMs, JOIN_TOKEN_VALID_MS_MAX].map(formatDuration);
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot use --valid: expected a duration from 1ms to ${max}: current value is ${given}`,
  );
}

function unexpectedIds(action: string, ids: readonly string[]): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot ${action} join tokens: expected no ids: current value is ${ids.join(" ")}`,
  );
}
