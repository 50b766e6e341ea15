import { formatCount, formatSize, formatTime } from "../../shared/display/format.ts";
import type { ClusterStatus } from "../../shared/protocol/fleet-api.ts";
import { historySpaceText, spaceOf } from "./cluster-space.ts";
import type { NodeNames } from "./node-names.ts";
import type { Output } from "./output.ts";
import { type Column, formatTable } from "./table-view.ts";

const HEALTH_COLORS = { ok: "green", degraded: "yellow", critical: "red" } as const;
/** The state is also a word: colour never carries it alone. */
const STATE_COLORS: Readonly<Record<string, "red" | "yellow">> = {
  dead: "red",
  unreachable: "red",
  suspect: "yellow",
  stopped: "yellow",
  "disk failed": "red",
};

const MASTER_COLUMNS: readonly Column[] = [
  { heading: "MASTER" },
  { heading: "ROLE" },
  { heading: "TERM", isRight: true },
  { heading: "LAST", isRight: true, dropRank: 2 },
  { heading: "COMMITTED", isRight: true, dropRank: 3 },
  { heading: "APPLIED", isRight: true, dropRank: 1 },
  { heading: "ADDRESS" },
];
const SERVER_COLUMNS: readonly Column[] = [
  { heading: "CHUNKSERVER", dropRank: 3 },
  { heading: "STATE" },
  { heading: "RACK", dropRank: 5 },
  { heading: "USED", isRight: true },
  { heading: "AVAILABLE", isRight: true },
  { heading: "CHUNKS", isRight: true, dropRank: 4 },
  { heading: "HEARD", isRight: true, dropRank: 2 },
  { heading: "ADDRESS", dropRank: 1 },
];

/** Dependencies of `describeStatus`. */
export interface StatusView {
  readonly output: Pick<Output, "paint" | "columns">;
  readonly names: NodeNames;
  /** Whether sizes are printed as "1.5 GiB". */
  readonly isHuman: boolean;
}

/** Returns the text of `ashlar status`. */
export function describeStatus(status: ClusterStatus, view: StatusView): string {
  const { output, names } = view;
  const { word, reasons } = status.health;
  return [
    `cluster ${status.clusterId}: ${output.paint([HEALTH_COLORS[word], "bold"], word)}`,
    ...reasons.map((reason) => `  ${names.nameServersIn(reason, status.chunkservers)}`),
    "",
    masterTable(status, view),
    "",
    serverTable(status, view),
    "",
    namespaceLine(status, view),
    spaceLine(status, view),
    historyLine(status),
    ...upgradeLines(status),
    ...enrolmentLines(status),
    ...[historySpaceText(status) ?? []].flat(),
  ].join("\n");
}

/** Adds a column of node names to a table if the nodes have names. */
export function withNodes(
  columns: readonly Column[],
  names: NodeNames,
): { readonly columns: readonly Column[]; readonly cell: (address: string) => readonly string[] } {
  if (names.isEmpty) {
    // Without a name the id is the only name of a row, so it is kept.
    const [first, ...rest] = columns;
    return {
      columns: first === undefined ? [] : [{ ...first, dropRank: 0 }, ...rest],
      cell: () => [],
    };
  }
  return {
    columns: [{ heading: "NODE" }, ...columns],
    cell: (address) => [names.find(address) ?? "-"],
  };
}

function masterTable({ masters }: ClusterStatus, { output, names }: StatusView): string {
  const { columns, cell } = withNodes(MASTER_COLUMNS, names);
  const rows = names.inOrder(masters).map((master) => {
    const isReachable = master.role !== "unreachable";
    const { term, lastIndex, committedIndex, appliedIndex } = master;
    return painted(output, master.role, [
      ...cell(master.address),
      String(master.memberId),
      master.role,
      ...[term, lastIndex, committedIndex, appliedIndex].map((number) =>
        isReachable ? String(number) : "-",
      ),
      master.address,
    ]);
  });
  return formatTable(columns, rows, output.columns);
}

function serverTable(
  { chunkservers }: ClusterStatus,
  { output, names, isHuman }: StatusView,
): string {
  const { columns, cell } = withNodes(SERVER_COLUMNS, names);
  const rows = names.inOrder(chunkservers).map((server) => {
    const { usedBytes, availableBytes } = server.space;
    return paintedServer(output, server, [
      ...cell(server.address),
      server.serverId.slice(0, 8),
      serverState(server),
      server.rack,
      formatSize(usedBytes, isHuman),
      formatSize(availableBytes, isHuman),
      String(server.chunkCount),
      heardText(server.lastHeardMsAgo),
      server.address,
    ]);
  });
  return formatTable(columns, rows, output.columns);
}

/** Returns the cells of a row in the colour of its state. */
function painted(
  output: Pick<Output, "paint">,
  state: string,
  cells: readonly string[],
): readonly string[] {
  const color = STATE_COLORS[state];
  return color === undefined ? cells : cells.map((cell) => output.paint(color, cell));
}

/** Returns the cells of the row of a chunkserver in the colour of its state. */
export function paintedServer(
  output: Pick<Output, "paint">,
  { isDiskFailed, isRefused, state }: ClusterStatus["chunkservers"][number],
  cells: readonly string[],
): readonly string[] {
  return painted(output, isDiskFailed && !isRefused ? "disk failed" : state, cells);
}

/** Returns the value of the key `refusal` of a master: null if it follows the leader. */
export function refusalJson(
  refusal: ClusterStatus["masters"][number]["refusal"] | null,
): { readonly for_ms: number; readonly reason: string } | null {
  return refusal ? { for_ms: refusal.forMs, reason: refusal.reason } : null;
}

/** Returns the state of a chunkserver in words. */
export function serverState({
  state,
  isRefused,
  isDiskFailed,
  lastHeardMsAgo,
}: ClusterStatus["chunkservers"][number]): string {
  if (isRefused) return "refused";
  if (state === "suspect" && lastHeardMsAgo === null) return "waiting";
  return isDiskFailed ? `${state}, disk failed` : state;
}

function heardText(lastHeardMsAgo: number | null): string {
  if (lastHeardMsAgo === null) return "not yet";
  return lastHeardMsAgo < 120_000
    ? `${(lastHeardMsAgo / 1000).toFixed(1)} s ago`
    : `${Math.floor(lastHeardMsAgo / 60_000)} min ago`;
}

function namespaceLine({ namespace }: ClusterStatus, { isHuman }: StatusView): string {
  const { fileCount, directoryCount, chunkCount, logicalBytes } = namespace;
  const parts = [
    formatCount(fileCount, "file"),
    formatCount(directoryCount, "directory", "directories"),
    `${formatCount(chunkCount, "chunk")} (small files have none)`,
    isHuman ? formatSize(logicalBytes, true) : formatCount(logicalBytes, "byte"),
  ];
  return parts.join(", ");
}

/** Returns the raw space, and the part of it that files can use. */
function spaceLine(status: ClusterStatus, { isHuman }: StatusView): string {
  const { usedBytes, availableBytes, usableBytes } = spaceOf(status);
  const raw = `space: ${formatSize(usedBytes, isHuman)} used, ${formatSize(availableBytes, isHuman)} available`;
  if (usableBytes === null) return raw;
  const copies = formatCount(status.defaultCopies ?? 1, "copy", "copies");
  return `${raw}; for files with ${copies}: ${formatSize(usableBytes, isHuman)}`;
}

/** Returns a line if the cluster does not use all features of the leader's version. */
function upgradeLines({ featureLevel }: ClusterStatus): readonly string[] {
  if (featureLevel === undefined || featureLevel.current >= featureLevel.supported) return [];
  const { current, supported } = featureLevel;
  return [
    `upgrade: feature level ${current}, the leader supports ${supported}; once all masters run its version: ashlar cluster finalize-upgrade`,
  ];
}

/** Returns a warning if any process that reaches the masters can become a chunkserver. */
function enrolmentLines({ enrolment }: ClusterStatus): readonly string[] {
  if (enrolment?.isOpen !== true) return [];
  const { notEnrolledCount } = enrolment;
  const left =
    notEnrolledCount === 0
      ? "all live chunkservers have enrolled"
      : `${formatCount(notEnrolledCount, "live chunkserver")} not enrolled yet`;
  return [
    `warning: chunkservers join without a token; ${left}; to end it: ashlar server enrolment close`,
  ];
}

function historyLine({ history }: ClusterStatus): string {
  const { versions, versionsMax, oldestIndex, oldestTimeMs } = history;
  return `history: ${formatCount(versions, "old version")} (at most ${versionsMax}), back to index ${oldestIndex}, ${formatTime(oldestTimeMs)}`;
}
