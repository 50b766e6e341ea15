import { formatTime } from "../../../shared/display/format.ts";
import type { EnrolmentStatus } from "../../../shared/protocol/enrolment-api.ts";
import { serverLabel } from "../../../shared/protocol/intent.ts";
import type { FileSystem } from "../../file-system.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";
import { requireAction } from "../require-action.ts";

/** The actions, with the options that each one uses. */
const ACTIONS = { status: [], open: [], close: ["force", "rotate"] } as const;
type Action = keyof typeof ACTIONS;

export const run: RunCommand = async (context, [given = "status"], options) => {
  const { output, signal } = context;
  const action = requireAction("server enrolment", { action: given, options }, ACTIONS);
  const fileSystem = await context.fileSystem();
  const before = action === "close" ? await fileSystem.enrolment.status({ signal }) : null;
  const status = await perform(fileSystem, action, { context, options });
  if (output.options.json) {
    await output.json("ashlar.enrolment/1", jsonOf(status));
    return;
  }
  if (output.options.quiet) {
    await output.line(status.isOpen ? "open" : "closed");
    return;
  }
  for (const line of linesOf(status)) await output.line(line);
  if (before !== null && before.keyVersion === status.keyVersion) {
    output.note(
      `it was closed before: the key was not rotated; to rotate it, use close --rotate ${status.keyVersion}`,
    );
  }
};

function perform(
  { enrolment }: FileSystem,
  action: Action,
  { context, options }: { readonly context: CommandContext; readonly options: OptionValues },
): Promise<EnrolmentStatus> {
  const { signal } = context;
  if (action === "open") return enrolment.open({ signal });
  if (action === "close") {
    const force = options["force"] === true;
    const rotateFrom = options["rotate"] as number | undefined;
    return enrolment.close({ signal, force, ...(rotateFrom === undefined ? {} : { rotateFrom }) });
  }
  return enrolment.status({ signal });
}

function jsonOf(status: EnrolmentStatus): Record<string, unknown> {
  return {
    is_open: status.isOpen,
    key_version: status.keyVersion,
    accepted_key_versions: status.acceptedVersions,
    tokens: status.tokens.map(({ id, expiresMs }) => ({ id, expires: formatTime(expiresMs) })),
    not_enrolled: status.notEnrolled.map(({ serverId }) => serverId),
    silent: status.silent.map(({ serverId }) => serverId),
  };
}

function linesOf(status: EnrolmentStatus): string[] {
  const { isOpen, keyVersion, acceptedVersions, tokens, notEnrolled, silent } = status;
  const accepted =
    acceptedVersions.length === 1 ? "" : `; ${acceptedVersions.join(", ")} are accepted`;
  return [
    isOpen
      ? "enrolment: open: any process that reaches the masters can become a chunkserver"
      : "enrolment: closed: a new chunkserver needs a token of `ashlar server token`",
    `chunk key: version ${keyVersion}${accepted}`,
    tokens.length === 0
      ? "join tokens: none"
      : `join tokens: ${tokens.length}, the last valid until ${formatTime(Math.max(...tokens.map(({ expiresMs }) => expiresMs)))}; ashlar server token list`,
    ...notEnrolled.map((server) => `not enrolled: ${serverLabel(server)}`),
    ...silent.map(
      (server) => `not live: ${serverLabel(server)}: without a credential it needs a token`,
    ),
  ];
}
