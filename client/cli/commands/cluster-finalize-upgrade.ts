import type { RunCommand } from "../command.ts";
import { confirm } from "../confirm.ts";

const QUESTION = "Finish the upgrade? The masters can then not return to an older version";

export const run: RunCommand = async (context, _arguments, options) => {
  const { output, signal } = context;
  const fileSystem = await context.fileSystem();
  const { featureLevel } = await fileSystem.status({ signal });
  const isNeeded = featureLevel === undefined || featureLevel.current < featureLevel.supported;
  if (isNeeded && options["yes"] !== true && !(await confirm(context, QUESTION))) {
    output.note("nothing was changed");
    return;
  }
  const { before, after } = await fileSystem.masters.finalizeUpgrade({ signal });
  if (output.options.json) {
    await output.json("ashlar.finalize-upgrade/1", { level: after, previous_level: before });
  } else if (after === before) {
    output.note(
      `nothing to do: the cluster is at feature level ${after}, which all masters support`,
    );
  } else {
    output.note(`the cluster is at feature level ${after}; before, it was at ${before}`);
    const { enrolment } = await fileSystem.status({ signal });
    if (enrolment?.isOpen === true) {
      output.note("when all chunkservers have enrolled: ashlar server enrolment close");
    }
  }
};
