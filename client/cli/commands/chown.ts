import { AshlarError } from "../../../shared/base/errors.ts";
import { changeAttributes } from "../change-attributes.ts";
import type { RunCommand } from "../command.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const [owner = "", ...paths] = commandArguments;
  await changeAttributes(context, paths, parseOwner(owner), options);
};

/** "1000", "1000:100" or ":100". */
function parseOwner(text: string): { uid?: number; gid?: number } {
  const match = /^(\d+)?(?::(\d+))?$/.exec(text);
  const [, uid, gid] = match ?? [];
  if (uid === undefined && gid === undefined) {
    throw new AshlarError(
      "INVALID_ARGUMENT",
      `Cannot use the owner "${text}": expected UID, UID:GID or :GID as numbers`,
    );
  }
  return {
    ...(uid === undefined ? {} : { uid: Number(uid) }),
    ...(gid === undefined ? {} : { gid: Number(gid) }),
  };
}
