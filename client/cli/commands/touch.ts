import { isAshlarError } from "../../../shared/base/errors.ts";
import { jsonName } from "../../../shared/display/format.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { FileSystem } from "../../file-system.ts";
import type { AttributeChanges } from "../../options.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { withParentHint } from "../parent-hint.ts";
import { invalidOptions, parseTimeMs } from "../parse-values.ts";
import { parseExactPath } from "../remote-paths.ts";

/** Attempts for a file that other clients create and remove at the same time. */
const ATTEMPTS_MAX = 3;

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  const changes = await changesOf(context, options);
  const fileSystem = await context.fileSystem();
  await forEachItem(context, commandArguments, async (argument) => {
    const path = parseExactPath(argument).bytes;
    const canCreate = options["create"] !== false;
    const outcome = await withParentHint(context, path, () =>
      touch({ fileSystem, signal }, path, { changes, canCreate }),
    );
    if (outcome === "missing" || !output.options.json) return;
    const isCreated = outcome === "created";
    await output.json("ashlar.touch/1", { ...jsonName("path", path), is_created: isCreated });
  });
};

/** Returns the times of -d or -r, else the current time. -a and -m select one of the two times. */
async function changesOf(
  context: CommandContext,
  options: OptionValues,
): Promise<AttributeChanges> {
  const date = options["date"] as string | undefined;
  const reference = options["reference"] as string | undefined;
  if (date !== undefined && reference !== undefined) {
    throw invalidOptions("one of --date and --reference", "both");
  }
  const nowMs = new SystemClock().wallMs();
  let timeMs = { mtimeMs: nowMs, atimeMs: nowMs };
  if (date !== undefined) {
    const dateMs = parseTimeMs(date, { name: "--date", nowMs });
    timeMs = { mtimeMs: dateMs, atimeMs: dateMs };
  }
  if (reference !== undefined) {
    const path = parseExactPath(reference);
    const fileSystem = await context.fileSystem();
    timeMs = await fileSystem.stat(path.bytes, { signal: context.signal });
  }
  const { mtimeMs, atimeMs } = timeMs;
  const isBoth = options["access"] === options["modification"];
  return {
    ...(isBoth || options["modification"] === true ? { mtimeMs } : {}),
    ...(isBoth || options["access"] === true ? { atimeMs } : {}),
  };
}

/** Sets the times of a path. A missing file is created with them, in one step. */
async function touch(
  { fileSystem, signal }: { readonly fileSystem: FileSystem; readonly signal: AbortSignal },
  path: Uint8Array,
  { changes, canCreate }: { readonly changes: AttributeChanges; readonly canCreate: boolean },
): Promise<"set" | "created" | "missing"> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await fileSystem.setAttributes(path, changes, { signal });
      return "set";
    } catch (error) {
      if (!isAshlarError(error, "NOT_FOUND")) throw error;
      if (!canCreate) return "missing";
    }
    try {
      const creation = fileSystem.transaction().create(path).setAttributes(path, changes);
      await creation.commit({ signal });
      return "created";
    } catch (error) {
      // Another client created the file since then.
      if (!isAshlarError(error, "ALREADY_EXISTS") || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}
