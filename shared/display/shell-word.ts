import { displayName } from "../base/path.ts";

/** Bytes that have no meaning for a shell at any position of a word. */
const PLAIN = /^[A-Za-z0-9_@%+:,./-]+$/;

/**
 * Returns a word that a shell reads as exactly these bytes (bash, zsh, ksh; POSIX.1-2024, 2.2). Every
 * command that is printed to be pasted or evaluated contains its values in this form. The word is on
 * one line. A NUL byte cannot be part of a word, and is not in any path.
 *
 * @param value bytes, or a text that is encoded as UTF-8
 */
export function shellWord(value: string | Uint8Array): string {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  const shown = displayName(bytes);
  if (PLAIN.test(shown)) return shown;
  // A backslash is shown as two of them. Any other backslash is the escape of a byte.
  if (!shown.replaceAll("\\\\", "").includes("\\")) {
    return `'${shown.replaceAll("\\\\", "\\").replaceAll("'", "'\\''")}'`;
  }
  // `!` is a history expansion in an interactive shell.
  return `$'${shown.replaceAll("'", "\\'").replaceAll("!", "\\x21")}'`;
}
