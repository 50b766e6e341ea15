/** Shells with a completion script. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/**
 * The quotes that are open at the end of a line. `dollar` is `$'…'`, `backslash` a backslash outside
 * of quotes or in double quotes that quotes the next character.
 */
export type OpenQuote = "none" | "single" | "double" | "dollar";
