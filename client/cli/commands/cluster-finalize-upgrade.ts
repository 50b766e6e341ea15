import type { FinalizedUpgrade } from "../../../shared/protocol/masters-api.ts";
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
  const { before, after, olderMasters } = await fileSystem.masters.finalizeUpgrade({ signal });
  if (output.options.json) {
    await output.json("ashlar.finalize-upgrade/1", {
      level: after,
      previous_level: before,
      older_masters: olderMasters.map(({ id, address, featureLevelMax }) => ({
        member_id: id,
        address,
        supported_level: featureLevelMax,
      })),
    });
  } else if (after === before && olderMasters.length > 0) {
    output.note(`nothing was changed: the cluster stays at feature level ${after}`);
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
  for (const note of olderMasterNotes(olderMasters)) output.note(note);
};

/** Returns lines that name the masters that keep the feature level from rising, and what to do. */
export function olderMasterNotes(olderMasters: FinalizedUpgrade["olderMasters"]): string[] {
  if (olderMasters.length === 0) return [];
  const names = olderMasters.map(
    ({ id, address, featureLevelMax }) =>
      `master ${id} (${address}) runs an older version, which supports feature level ${featureLevelMax}`,
  );
  return [...names, "start the new version on these masters, then repeat the command"];
}
