import { jsonName } from "../../../shared/display/format.ts";
import type { RunCommand } from "../command.ts";
import { forEachItem } from "../each-item.ts";
import { withParentHint } from "../parent-hint.ts";
import { refuseDotNames } from "../remote-paths.ts";
import { replaceRuleOf } from "../replace-flags.ts";
import { TargetClaims } from "../target-claims.ts";
import { remoteTransfers, requireOtherTarget, splitTarget } from "../transfer-targets.ts";
import { writeByRule } from "../write-by-rule.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  const { sources } = splitTarget(commandArguments, "mv");
  refuseDotNames(sources, "move");
  const rule = replaceRuleOf(options);
  const transfers = remoteTransfers(context, commandArguments, {
    command: "mv",
    glob: options["glob"] !== false,
    isTargetName: options["targetDirectory"] === false,
  });
  const fileSystem = await context.fileSystem();
  const claims = new TargetClaims(sources);
  await forEachItem(context, transfers, async (transfer) => {
    if (transfer.kind === "failed") throw transfer.error;
    const { source, target } = transfer;
    requireOtherTarget(source, target);
    await claims.during({ target: target.bytes, source: source.bytes }, async () => {
      const moved = await writeByRule(context, {
        rule,
        target: target.text,
        write: (replace) =>
          withParentHint(context, target.bytes, () =>
            fileSystem.rename(source.bytes, target.bytes, { replace, signal }),
          ),
      });
      if (moved === null) return false;
      output.detail(`${source.text} -> ${target.text}`);
      if (output.options.json) {
        const names = { ...jsonName("from", source.bytes), ...jsonName("to", target.bytes) };
        await output.json("ashlar.mv/1", names);
      }
      return true;
    });
  });
};
