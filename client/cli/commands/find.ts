import { jsonAttributes, jsonName } from "../../../shared/display/format.ts";
import { SystemClock } from "../../../shared/platform/system-clock.ts";
import type { Attributes } from "../../index.ts";
import type { CommandContext, RunCommand } from "../command.ts";
import { parseFindTests } from "../find-tests.ts";
import { invalidOptions } from "../parse-values.ts";
import { forEachPath } from "../patterns/expand-paths.ts";
import { readOptionsOf } from "../read-options.ts";
import { baseName, parseExactPath, type RemotePath, remotePath } from "../remote-paths.ts";

const NUL = Uint8Array.of(0);

export const run: RunCommand = async (context, commandArguments, options) => {
  const isNulSeparated = options["print0"] === true;
  if (isNulSeparated && context.output.options.json) {
    throw invalidOptions("one of --print0 and --json", "both");
  }
  const tests = parseFindTests(options);
  const newer = ((options["newer"] as readonly string[] | undefined) ?? []).map(parseExactPath);
  const fileSystem = await context.fileSystem();
  const readOptions = await readOptionsOf(context, options);
  const newerMs: number[] = [];
  for (const { bytes } of newer) newerMs.push((await fileSystem.stat(bytes, readOptions)).mtimeMs);
  const isSelected = tests({ nowMs: new SystemClock().wallMs(), newerMs });
  const depthMin = (options["mindepth"] as number | undefined) ?? 0;
  const depthMax = (options["maxdepth"] as number | undefined) ?? Number.POSITIVE_INFINITY;

  const printSelected = async (path: Uint8Array, attributes: Attributes): Promise<void> => {
    if (!isSelected({ name: baseName(path), attributes })) return;
    if (isNulSeparated) await context.output.bytes(Buffer.concat([path, NUL]));
    else await print(context, remotePath(path), attributes);
  };
  const task = async ({ bytes }: RemotePath): Promise<void> => {
    const attributes = await fileSystem.stat(bytes, readOptions);
    if (depthMin === 0) await printSelected(bytes, attributes);
    if (attributes.kind !== "directory" || depthMax === 0) return;
    for await (const entry of fileSystem.walk(bytes, { ...readOptions, depthMax })) {
      if (entry.depth >= depthMin) await printSelected(entry.pathBytes, entry.attributes);
    }
  };
  const roots = commandArguments.length === 0 ? ["/"] : commandArguments;
  await forEachPath(context, roots, { glob: options["glob"] !== false, readOptions, task });
};

async function print(
  { output }: CommandContext,
  path: RemotePath,
  attributes: Attributes,
): Promise<void> {
  if (!output.options.json) return output.line(path.text);
  await output.json("ashlar.find/1", {
    ...jsonName("path", path.bytes),
    ...jsonAttributes(attributes),
  });
}
