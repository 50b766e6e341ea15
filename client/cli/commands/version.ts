import type { RunCommand } from "../command.ts";
import { VERSION } from "../version.ts";

export const run: RunCommand = async ({ output }) => {
  const { version, platform, arch } = process;
  if (output.options.json) {
    await output.json("ashlar.version/1", { version: VERSION, node: version, platform, arch });
  } else await output.line(`ashlar ${VERSION} (Node ${version}, ${platform} ${arch})`);
};
