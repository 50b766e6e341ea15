import { formatCount, formatTime } from "../../../shared/display/format.ts";
import type { EnrolmentStatus } from "../../../shared/protocol/enrolment-api.ts";
import { serverLabel } from "../../../shared/protocol/intent.ts";
import type { FileSystem } from "../../file-system.ts";
import type { CommandContext, OptionValues, RunCommand } from "../command.ts";

export const run: RunCommand = async (context, [action = "status"], options) => {
  const { output } = context;
  const fileSystem = await context.fileSystem();
  const status = await perform(fileSystem, action, { context, options });
  if (output.options.json) {
    await output.json("ashlar.enrolment/1", jsonOf(status));
    return;
  }
  for (const line of linesOf(status)) await output.line(line);
};

function perform(
  { enrolment }: FileSystem,
  action: string,
  { context, options }: { readonly context: CommandContext; readonly options: OptionValues },
): Promise<EnrolmentStatus> {
  const { signal } = context;
  if (action === "open") return enrolment.open({ signal });
  if (action === "close") return enrolment.close({ signal, force: options["force"] === true });
  return enrolment.status({ signal });
}

function jsonOf(status: EnrolmentStatus): Record<string, unknown> {
  return {
    is_open: status.isOpen,
    key_version: status.keyVersion,
    accepted_key_versions: status.acceptedVersions,
    tokens: status.tokens.map(({ expiresMs }) => ({ expires: formatTime(expiresMs) })),
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
    ...(tokens.length === 0
      ? ["join tokens: none"]
      : [
          `join tokens: ${formatCount(tokens.length, "token")}, valid until ${tokens.map(({ expiresMs }) => formatTime(expiresMs)).join(", ")}`,
        ]),
    ...notEnrolled.map((server) => `not enrolled: ${serverLabel(server)}`),
    ...silent.map(
      (server) => `not live: ${serverLabel(server)}: without a credential it needs a token`,
    ),
  ];
}
