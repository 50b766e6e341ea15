import { formatCount } from "../../../shared/display/format.ts";
import { formatDuration } from "../../../shared/display/quantities.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";

const QUESTION = "Forget all old versions? Removed and replaced files can then not be restored";

export const run: RunCommand = async (context, _arguments, options) => {
  const retentionMs = options["retention"] as number | undefined;
  if (retentionMs === undefined) await trim(context, options);
  else await setRetention(context, retentionMs, options);
};

async function trim(context: CommandContext, options: OptionValues): Promise<void> {
  const { output, signal } = context;
  if (!(await isConfirmed(context, options, QUESTION))) return;
  const fileSystem = await context.fileSystem();
  const before = await fileSystem.status({ signal });
  const { oldestIndex } = await fileSystem.trimHistory({ signal });
  const { versions } = before.history;
  if (output.options.json) {
    await output.json("ashlar.history-trim/1", { versions, oldest_index: oldestIndex });
    return;
  }
  output.note(
    `forgot ${formatCount(versions, "old version")}; the chunkservers free the space within a minute`,
  );
}

/** Changes the retention. A shorter one loses states, so it is confirmed. */
async function setRetention(
  context: CommandContext,
  retentionMs: number,
  options: OptionValues,
): Promise<void> {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const { history } = await fileSystem.status({ signal });
  const previousMs = history.retentionMs;
  const [time, previous] = [formatDuration(retentionMs), formatDuration(previousMs)];
  const question = `Keep old versions for ${time} and not for ${previous}? Older ones can then not be restored`;
  if (retentionMs < previousMs && !(await isConfirmed(context, options, question))) return;
  await fileSystem.setHistoryRetention(retentionMs, { signal });
  if (output.options.json) {
    await output.json("ashlar.history-retention/1", {
      retention_ms: retentionMs,
      previous_retention_ms: previousMs,
    });
    return;
  }
  output.note(`old versions are kept for ${time}; before, they were kept for ${previous}`);
}

async function isConfirmed(
  context: CommandContext,
  options: OptionValues,
  question: string,
): Promise<boolean> {
  if (options["yes"] === true || (await confirm(context, question))) return true;
  context.output.note("nothing was changed");
  return false;
}
