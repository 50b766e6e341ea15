import type { RunCommand } from "../command.ts";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output, signal } = context;
  const validMs = Number(options["valid"]);
  const fileSystem = await context.fileSystem();
  const token = await fileSystem.enrolment.makeToken({ validMs, signal });
  if (output.options.json) {
    await output.json("ashlar.join-token/1", { token, valid_ms: validMs });
    return;
  }
  await output.line(token);
  output.note(
    "start the chunkserver with it in ASHLAR_JOIN_TOKEN; it is needed only the first time",
  );
};
