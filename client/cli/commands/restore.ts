import { AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { pathErrorMessage } from "../../../shared/base/path-errors.ts";
import { formatCount, formatSize, jsonName } from "../../../shared/display/format.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import type { AsOf } from "../../options.ts";
import type { RunCommand } from "../command.ts";
import { withParentHint } from "../parent-hint.ts";
import { resolveAsOf } from "../read-options.ts";
import {
  namesDirectory,
  parseExactPath,
  type RemotePath,
  refuseDotNames,
} from "../remote-paths.ts";
import { REPLACE_HINT, replaceRuleOf } from "../replace-flags.ts";
import { withHint } from "../with-hint.ts";
import { writeByRule } from "../write-by-rule.ts";

const HINT = `${REPLACE_HINT}; --to PATH restores to another path`;

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  const path = parseExactPath(commandArguments[0] as string);
  const toText = String(options["to"] ?? commandArguments[0]);
  const to = parseExactPath(toText);
  refuseDotNames([toText], "restore to");
  const when = options["at"] as AsOf | undefined;
  if (when === undefined) throw noState(path);
  const rule = replaceRuleOf(options);
  const fileSystem = await context.fileSystem();
  const at = await resolveAsOf(context, when);
  if (options["dryRun"] === true) {
    // Reports a path that did not exist at the index.
    const { kind } = await fileSystem.stat(path.bytes, { at, signal });
    if (kind === "file" && namesDirectory(toText)) {
      throw new AshlarError("NOT_A_DIRECTORY", pathErrorMessage("NOT_A_DIRECTORY", to.text));
    }
    if (output.options.json) {
      const names = { ...jsonName("path", path.bytes), ...jsonName("to", to.bytes) };
      await output.json("ashlar.restore/1", { ...names, from_index: at, is_dry_run: true });
    } else await output.line(`would restore ${path.text} as of index ${at} to ${to.text}`);
    return;
  }
  const restored = await writeByRule(context, {
    rule,
    target: to.text,
    write: (replace) =>
      withParentHint(context, to.bytes, () =>
        fileSystem.restore(path.bytes, { at, to: to.bytes, replace, signal }),
      ),
  }).catch((error: unknown) => {
    throw isAshlarError(error, "ALREADY_EXISTS") ? withHint(error, HINT) : error;
  });
  if (restored === null) return;
  const { index, fileCount, directoryCount, sizeBytes } = restored;
  if (!output.options.json) {
    const counts = `${formatCount(fileCount, "file")}, ${formatCount(directoryCount, "directory", "directories")}, ${formatSize(sizeBytes, true)}`;
    output.note(`restored ${to.text} as of index ${at}: ${counts}`);
    return;
  }
  await output.json("ashlar.restore/1", {
    ...jsonName("path", path.bytes),
    ...jsonName("to", to.bytes),
    from_index: at,
    index,
    file_count: fileCount,
    directory_count: directoryCount,
    size_bytes: sizeBytes,
  });
};

function noState(path: RemotePath): AshlarError {
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot restore ${path.text}: expected --at INDEX or --at TIME`,
    { hint: `ashlar history ${shellWord(path.bytes)}` },
  );
}
