/** The command for each name that other tools give it, as a hint that can be pasted and completed. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  upload: "ashlar put FILE /PATH",
  download: "ashlar get /PATH FILE",
  delete: "ashlar rm /PATH",
  del: "ashlar rm /PATH",
  remove: "ashlar rm /PATH",
  unlink: "ashlar rm /PATH",
  copy: "ashlar cp /SOURCE /TARGET",
  move: "ashlar mv /SOURCE /TARGET",
  rename: "ashlar mv /SOURCE /TARGET",
  list: "ashlar ls /PATH",
  dir: "ashlar ls /PATH",
  ln: "ashlar cp /SOURCE /TARGET; a copy shares the data, and there are no links",
  link: "ashlar cp /SOURCE /TARGET; a copy shares the data, and there are no links",
  more: "ashlar cat /PATH | more",
  less: "ashlar cat /PATH | less",
  fsck: "ashlar verify /PATH",
  rsync: "ashlar sync DIRECTORY ashlar:/PATH",
};

/** Returns the hint for the message of an unknown command; null if there is none. */
export function hintForOtherName(message: string): string | null {
  const [, name = ""] = /^unknown command '([^']*)'/.exec(message) ?? [];
  return Object.hasOwn(OTHER_NAMES, name) ? (OTHER_NAMES[name] ?? null) : null;
}
