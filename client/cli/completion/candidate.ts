/** A possible word at the cursor. */
export interface Candidate {
  /** The whole word as a program receives it, in the form of `textOfBytes`. */
  readonly text: string;
  /** More can follow in the same word: it is a directory, or a flag before its value. */
  readonly isPartial: boolean;
}
