import { AshlarError } from "../../../shared/base/errors.ts";
import type { RunCommand } from "../command.ts";
import { editConfig } from "../config-edit.ts";

export const run: RunCommand = async ({ env, output }, [name = ""]) => {
  let where = "";
  let wasUsed = false;
  await editConfig(env, ({ path, clusters, values }) => {
    if (!Object.hasOwn(clusters, name)) throw unknownName(path, name, Object.keys(clusters));
    where = clusters[name] as string;
    wasUsed = values.cluster === name;
    return { kind: "forget", name };
  });
  if (output.options.json) {
    await output.json("ashlar.cluster-forget/1", { name, where, was_used: wasUsed });
    return;
  }
  output.note(`forgot the name ${name} of ${where}; the cluster and its data are unchanged`);
  if (wasUsed) output.note("the config file selects no cluster now; hint: ashlar cluster use NAME");
};

function unknownName(path: string, name: string, names: readonly string[]): AshlarError {
  const known = names.join(", ") || "none";
  return new AshlarError(
    "NOT_FOUND",
    `Cannot forget the cluster ${name}: expected a name in ${path}: current names are ${known}`,
    { hint: "ashlar cluster list" },
  );
}
