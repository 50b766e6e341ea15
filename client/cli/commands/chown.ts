import { changeAttributes } from "../change-attributes.ts";
import type { RunCommand } from "../command.ts";
import { invalidValue } from "../parse-values.ts";

export const run: RunCommand = async (context, commandArguments, options) => {
  const [owner = "", ...paths] = commandArguments;
  await changeAttributes(context, paths, parseOwner(owner), options);
};

/** Parses "1000", "1000:100" or ":100". @throws {AshlarError} INVALID_ARGUMENT */
function parseOwner(text: string): { uid?: number; gid?: number } {
  const match = /^(\d+)?(?::(\d+))?$/.exec(text);
  const [, uid, gid] = match ?? [];
  if (uid === undefined && gid === undefined) {
    throw invalidValue("the owner", "UID, UID:GID or :GID as numbers", text);
  }
  return {
    ...(uid === undefined ? {} : { uid: Number(uid) }),
    ...(gid === undefined ? {} : { gid: Number(gid) }),
  };
}
