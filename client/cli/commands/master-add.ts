import type { MasterAddress } from "../../masters/membership.ts";
import { CatchUpReport } from "../catch-up-report.ts";
import type { RunCommand } from "../command.ts";
import { invalidValue, parseCount } from "../parse-values.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { output, signal } = context;
  const added = commandArguments.map(parseMaster);
  const replaced = (options["replace"] as readonly number[] | undefined) ?? [];
  const report = new CatchUpReport(output, added);
  const fileSystem = await context.fileSystem();
  const { masters } = fileSystem;
  await masters.add(added, {
    signal,
    replace: replaced,
    onProgress: (status) => report.update(status),
    ...(options["wait"] === undefined ? {} : { catchUpTimeoutMs: Number(options["wait"]) }),
  });
  if (output.options.json) {
    await output.json("ashlar.master-add/1", {
      added: added.map(({ memberId, address }) => ({ member_id: memberId, address })),
      removed: replaced,
    });
    return;
  }
  output.note(`added ${added.map(({ memberId }) => memberId).join(", ")}`);
  if (replaced.length > 0) output.note(`removed ${replaced.join(", ")}`);
};

/** Parses "4=m4.example.net:7400". @throws {AshlarError} INVALID_ARGUMENT */
function parseMaster(text: string): MasterAddress {
  const match = /^(\d+)=([^=\s]+:\d{1,5})$/.exec(text);
  if (match === null) {
    throw invalidValue("the master", "NUMBER=HOST:PORT", text);
  }
  return {
    memberId: parseCount(match[1] as string, "the number of a master", 1),
    address: match[2] as string,
  };
}
