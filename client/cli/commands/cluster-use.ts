import { resolve } from "node:path";
import { AshlarError } from "../../../shared/base/errors.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import { isMasterList, parseClusterAddress } from "../../../shared/platform/cluster-address.ts";
import { isClusterName } from "../../../shared/platform/user-config.ts";
import { type CliEnv, systemPathOf } from "../cli-env.ts";
import type { RunCommand } from "../command.ts";
import { editConfig, type UserConfig } from "../config-edit.ts";
import { invalidValue } from "../parse-values.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const { env, output, settings } = context;
  const [name = "", typedWhere] = commandArguments;
  if (!isClusterName(name)) {
    throw invalidValue("the name", 'letters, digits, "-" and "_", at most 63', name);
  }
  const where = typedWhere === undefined ? undefined : await checkedWhere(env, name, typedWhere);
  let used = "";
  await editConfig(env, (config) => {
    used = usedCluster(config, name, where);
    if (options["force"] !== true) checkNothingIsLost(config, name, used);
    return { kind: "select", name, where };
  });
  if (output.options.json) await output.json("ashlar.cluster-use/1", { name, where: used });
  else output.note(`${name} is ${used}`);
  const { origin, value } = settings.cluster;
  if (origin === "--cluster" || origin === "ASHLAR_CLUSTER") {
    output.note(`${origin} takes precedence: it is ${value}`);
  }
};

/** Returns the addresses, or the absolute path of the directory. @throws {AshlarError} */
async function checkedWhere(env: CliEnv, name: string, typed: string): Promise<string> {
  const where = isMasterList(typed) ? typed : resolve(systemPathOf(env, typed));
  await parseClusterAddress(where, `the cluster ${name}`);
  return where;
}

/** Returns the cluster that gets or has the name. @throws {AshlarError} NOT_FOUND */
function usedCluster(
  { path, clusters }: UserConfig,
  name: string,
  where: string | undefined,
): string {
  const used = where ?? knownAs(clusters, name);
  if (used !== undefined) return used;
  const names = Object.keys(clusters).join(", ") || "none";
  throw new AshlarError(
    "NOT_FOUND",
    `Cannot use the cluster ${name}: expected a name in ${path}: current names are ${names}`,
    { hint: `ashlar cluster use ${name} DIRECTORY, or HOST:PORT,… of its masters` },
  );
}

/** @throws {AshlarError} ALREADY_EXISTS if the file would no longer contain a cluster of now */
function checkNothingIsLost(
  { path, values, clusters }: UserConfig,
  name: string,
  used: string,
): void {
  const known = knownAs(clusters, name);
  if (known !== undefined && known !== used) {
    throw new AshlarError(
      "ALREADY_EXISTS",
      `Cannot give the name ${name} to ${used}: it is the name of ${known}`,
      { hint: "--force gives it to the other cluster" },
    );
  }
  const { cluster = name } = values;
  const isKept = Object.hasOwn(clusters, cluster) || Object.values(clusters).includes(cluster);
  if (isKept || cluster === name || cluster === used) return;
  throw new AshlarError(
    "ALREADY_EXISTS",
    `Cannot select the cluster ${name}: "cluster" in ${path} is ${cluster}, which has no name`,
    { hint: `ashlar cluster use NAME ${shellWord(cluster)} gives it a name, --force replaces it` },
  );
}

function knownAs(clusters: UserConfig["clusters"], name: string): string | undefined {
  return Object.hasOwn(clusters, name) ? clusters[name] : undefined;
}
