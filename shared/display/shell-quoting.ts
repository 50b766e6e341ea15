/** Words of these characters alone have no special meaning in a POSIX shell. */
const PLAIN_WORD = /^[\w@%+:,./-]+$/;

/**
 * Returns `text` as one word of a POSIX shell (sh, bash, zsh): as it is if it is plain, else in
 * single quotes, between which no character is special (POSIX.1-2017, 2.2.2).
 */
export function shellQuoted(text: string): string {
  return PLAIN_WORD.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
