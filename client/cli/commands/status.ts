import { setTimeout as sleep } from "node:timers/promises";
import { type AshlarError, isAshlarError } from "../../../shared/base/errors.ts";
import { formatTime } from "../../../shared/display/format.ts";
import type { ClusterStatus } from "../../../shared/protocol/fleet-api.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { Degraded, Stopped } from "../exit-status.ts";
import {
  describeUnserved,
  type UnservedReport,
  unservedJson,
  unservedReport,
} from "../masters-report.ts";
import { NodeNames } from "../node-names.ts";
import type { Output } from "../output.ts";
import { describeStatus, refusalJson } from "../status-view.ts";

const WATCH_MS = 2_000;
/** CSI H and CSI J of ECMA-48: moves the cursor to the top and erases the screen below it. */
const REDRAW = "\x1b[H\x1b[J";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output } = context;
  const names = await NodeNames.of(context);
  if (options["watch"] === true) return watch(context, names, options);
  let status: ClusterStatus;
  try {
    const fileSystem = await context.fileSystem();
    status = await fileSystem.status({ signal: context.signal });
  } catch (error) {
    // A cluster of which no master runs is an error: there is nothing to show.
    const report = isAshlarError(error, "NO_LEADER") ? unservedReport(error) : null;
    if (report === null) throw error;
    await printUnserved(report, { output, names });
    throw new Degraded();
  }
  if (output.options.json) await output.json("ashlar.status/1", jsonStatus(status));
  else await output.line(textOf(status, { context, names, options }));
  if (status.health.word !== "ok") throw new Degraded();
};

async function printUnserved(
  report: UnservedReport,
  { output, names }: { readonly output: Output; readonly names: NodeNames },
): Promise<void> {
  if (output.options.json) return output.json("ashlar.status/1", unservedJson(report));
  await output.line(describeUnserved(report, { output, names }));
  if (report.hint !== undefined) output.note(`  hint: ${report.hint}`);
}

interface StatusRun {
  readonly context: CommandContext;
  readonly names: NodeNames;
  readonly options: OptionValues;
}

function textOf(status: ClusterStatus, { context, names, options }: StatusRun): string {
  const { output } = context;
  const isHuman = options["humanReadable"] === true || output.isTerminal;
  return describeStatus(status, { output, names, isHuman });
}

/**
 * Prints the status every 2 s until the command is stopped, also that of a cluster that cannot serve,
 * from the start or later. A terminal is redrawn. Elsewhere, and with --json, only a status that
 * differs from the last one is printed.
 */
async function watch(
  context: CommandContext,
  names: NodeNames,
  options: OptionValues,
): Promise<never> {
  const { output, signal } = context;
  let lastText = "";
  for (;;) {
    const text = await watchedText({ context, names, options });
    if (output.isTerminal) await output.bytes(Buffer.from(`${REDRAW}${text.shown}\n`));
    else if (text.compared !== lastText) await output.line(text.shown);
    lastText = text.compared;
    try {
      await output.withoutWaits(() => sleep(WATCH_MS, undefined, { signal }));
    } catch {
      throw new Stopped();
    }
  }
}

interface WatchedText {
  readonly shown: string;
  /** The part that is compared: without what changes all the time. */
  readonly compared: string;
}

async function watchedText(run: StatusRun): Promise<WatchedText> {
  const { context } = run;
  let status: ClusterStatus;
  try {
    status = await context.attempt((fileSystem, signal) => fileSystem.status({ signal }));
  } catch (error) {
    if (context.signal.aborted) throw new Stopped();
    // A cluster that can answer later is watched; a wrong address, for example, is an error.
    if (!isAshlarError(error) || error.retry === "never") throw error;
    return problemText(run, error);
  }
  const compared = JSON.stringify(stableJson(status));
  if (!context.output.options.json) return { shown: textOf(status, run), compared };
  return { shown: JSON.stringify({ schema: "ashlar.status/1", ...jsonStatus(status) }), compared };
}

function problemText({ context, names }: StatusRun, error: AshlarError): WatchedText {
  const { output } = context;
  const found = unservedReport(error);
  const report = found ?? { reason: error.message, masters: [], hint: error.hint };
  const problems = report.masters.map(({ address, problem }) => [address, problem]);
  const compared = JSON.stringify([error.code, problems]);
  if (output.options.json) {
    const json = { schema: "ashlar.status/1", ...unservedJson(report) };
    return { shown: JSON.stringify(json), compared };
  }
  const text = found === null ? error.message : describeUnserved(found, { output, names });
  const hint = report.hint === undefined ? "" : `\n  hint: ${report.hint}`;
  return { shown: `${text}${hint}`, compared };
}

/** Returns the keys that change when something happens, and not because time passes. */
function stableJson(status: ClusterStatus): Record<string, unknown> {
  const { health, masters, chunkservers } = status;
  return {
    word: health.word,
    reasonCount: health.reasons.length,
    masters: masters.map(({ memberId, role, term, refusal }) => [
      memberId,
      role,
      term,
      refusal !== undefined,
    ]),
    servers: chunkservers.map(({ serverId, state, isRefused, isDiskFailed }) => [
      serverId,
      state,
      isRefused,
      isDiskFailed,
    ]),
    lost: status.namespace.chunksLost,
    underReplicated: status.namespace.chunksUnderReplicated,
  };
}

function jsonStatus(status: ClusterStatus): Record<string, unknown> {
  const { namespace, history } = status;
  return {
    cluster_id: status.clusterId,
    index: status.index,
    health: {
      word: status.health.word,
      reasons: status.health.reasons,
      is_full: status.health.isFull,
    },
    masters: status.masters.map((master) => ({
      member_id: master.memberId,
      address: master.address,
      role: master.role,
      term: master.term,
      last_index: master.lastIndex,
      committed_index: master.committedIndex,
      applied_index: master.appliedIndex,
      clock_ahead_ms: master.clockAheadMs ?? null,
      refusal: refusalJson(master.refusal),
      disk_full: master.diskFull ?? null,
    })),
    chunkservers: status.chunkservers.map((server) => ({
      server_id: server.serverId,
      address: server.address,
      host: server.host,
      rack: server.rack,
      state: server.state,
      is_refused: server.isRefused,
      is_disk_failed: server.isDiskFailed,
      unreadable_count: server.unreadableCount ?? null,
      capabilities: server.capabilities ?? null,
      total_bytes: server.space.totalBytes,
      available_bytes: server.space.availableBytes,
      used_bytes: server.space.usedBytes,
      disk_id: server.space.diskId ?? null,
      chunk_count: server.chunkCount,
      last_heard_ms_ago: server.lastHeardMsAgo,
    })),
    feature_level: status.featureLevel ?? null,
    enrolment:
      status.enrolment === undefined
        ? null
        : {
            is_open: status.enrolment.isOpen,
            key_version: status.enrolment.keyVersion,
            not_enrolled_count: status.enrolment.notEnrolledCount,
          },
    default_copies: status.defaultCopies ?? null,
    namespace: {
      file_count: namespace.fileCount,
      directory_count: namespace.directoryCount,
      chunk_count: namespace.chunkCount,
      logical_bytes: namespace.logicalBytes,
      staged_bytes: namespace.stagedBytes,
      chunks_under_replicated: namespace.chunksUnderReplicated,
      chunks_lost: namespace.chunksLost,
      purges_pending: namespace.purgesPending,
    },
    history: {
      versions: history.versions,
      versions_max: history.versionsMax,
      retention_ms: history.retentionMs,
      oldest_index: history.oldestIndex,
      oldest_time: formatTime(history.oldestTimeMs),
    },
  };
}
