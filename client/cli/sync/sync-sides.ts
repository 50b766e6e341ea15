import { AshlarError } from "../../../shared/base/errors.ts";
import { displayName, isWithin, parsePath } from "../../../shared/base/path.ts";
import { shellWord } from "../../../shared/display/shell-word.ts";
import { bytesOfText } from "../argument-text.ts";
import type { CliEnv } from "../cli-env.ts";
import { LocalPath } from "../local-path.ts";
import {
  parseRemotePath,
  type RemotePath,
  refuseDotNames,
  withoutScheme,
} from "../remote-paths.ts";

interface LocalSide {
  readonly place: "local";
  readonly path: LocalPath;
}

interface ClusterSide {
  readonly place: "cluster";
  readonly path: RemotePath;
}

/** The source and the target, as the user gave them. At least one is in the cluster. */
export type SyncSides =
  | { readonly source: LocalSide; readonly target: ClusterSide }
  | { readonly source: ClusterSide; readonly target: LocalSide | ClusterSide };

/**
 * Parses the two arguments of a sync. A path with `ashlar:` is in the cluster, any other on this
 * machine: `/a` can be either, and a guess could delete files on the wrong side.
 *
 * @throws {AshlarError} INVALID_ARGUMENT if both are local, if one contains the other, or if the
 *   target ends with `.` or `..`
 */
export function syncSides(env: CliEnv, [source, target]: readonly [string, string]): SyncSides {
  if (isInCluster(target)) refuseDotNames([target], "sync to");
  const [from, to] = [parseSide(env, source), parseSide(env, target)];
  if (from.place === "cluster") {
    if (to.place === "cluster") requireApart(from.path, to.path);
    return { source: from, target: to };
  }
  if (to.place === "cluster") return { source: from, target: to };
  throw noClusterSide(source, target);
}

function parseSide(env: CliEnv, argument: string): LocalSide | ClusterSide {
  if (isInCluster(argument)) return { place: "cluster", path: parseRemotePath(argument) };
  return { place: "local", path: LocalPath.parse(env, argument).withoutSlashes() };
}

const isInCluster = (argument: string): boolean => withoutScheme(argument) !== argument;

function noClusterSide(source: string, target: string): AshlarError {
  const [from, to] = [source, target].map(bytesOfText) as [Uint8Array, Uint8Array];
  const inCluster = (path: Uint8Array): Uint8Array => Buffer.concat([Buffer.from("ashlar:"), path]);
  const into = `ashlar sync ${shellWord(from)} ${shellWord(inCluster(to))} (into the cluster)`;
  const outOf = `ashlar sync ${shellWord(inCluster(from))} ${shellWord(to)} (out of it)`;
  const canBe = [target.startsWith("/") ? into : null, source.startsWith("/") ? outOf : null];
  const hints = canBe.filter((hint) => hint !== null);
  return new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot sync ${displayName(from)} and ${displayName(to)}: expected "ashlar:" before the path in the cluster`,
    {
      hint:
        hints.length > 0
          ? hints.join(", or ")
          : "ashlar sync DIRECTORY ashlar:/PATH; rsync -a copies from one local directory to another",
    },
  );
}

/** A tree that is copied into itself has no end, and --delete would remove the source in a target. */
function requireApart(source: RemotePath, target: RemotePath): void {
  const [from, to] = [parsePath(source.bytes), parsePath(target.bytes)];
  if (!isWithin(from, to) && !isWithin(to, from)) return;
  throw new AshlarError(
    "INVALID_ARGUMENT",
    `Cannot sync ${source.text} to ${target.text}: expected two directories of which none contains the other`,
  );
}
