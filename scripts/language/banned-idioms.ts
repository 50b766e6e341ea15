/** An idiom that a reader has to translate, and the plain words that replace it. */
export interface BannedIdiom {
  /**
   * A regular expression, matched as whole words without regard to case. One that begins with a
   * lookbehind for the start of a sentence is matched with regard to case.
   */
  readonly pattern: string;
  /** The plain words, or how to write the sentence. */
  readonly replacement: string;
}

/** Idioms that no comment, doc page, message or test name contains. See CONTRIBUTING.md, "Language". */
export const BANNED_IDIOMS: readonly BannedIdiom[] = [
  { pattern: "whoever|whomever|whatever|whichever|wherever", replacement: "name the subject" },
  { pattern: "nobody|somebody|no one|whom", replacement: "name the process or the caller" },
  { pattern: "so long|as long as it|for so long", replacement: "a duration with its name; while" },
  { pattern: "anew|afresh", replacement: "again" },
  { pattern: "under way|underway", replacement: "in progress, pending" },
  { pattern: "stands? (?:for|in|at|beside|behind)|stood", replacement: "means, is in" },
  { pattern: "beside (?:it|them|the|its)", replacement: "next to, alongside" },
  { pattern: "any more", replacement: "no longer" },
  { pattern: "goes on|go on|went on|going on|gone on", replacement: "continues" },
  { pattern: "rotten|rotted|rots", replacement: "corrupt; bit rot for the phenomenon" },
  { pattern: "hears? (?:of|from)|heard", replacement: "receives, is notified" },
  { pattern: "of (?:no )?use", replacement: "useful, unused" },
  { pattern: "lies (?:in|at|on|behind|beside)", replacement: "is in" },
  { pattern: "comes? (?:about|back|out|in|with)", replacement: "say what happens" },
  { pattern: "brings? (?:about|forth)", replacement: "causes" },
  { pattern: "by and by|at first(?! start)", replacement: "say when" },
  {
    pattern: "that is there|what is there|is there already|which is there",
    replacement: "existing",
  },
  { pattern: "(?:the|its|his|their) own (?:silence|word|life)", replacement: "plain words" },
  { pattern: "mends?|mended|mending", replacement: "repair, fix" },
  { pattern: "tells? (?:of|that|whether)|told", replacement: "reports, says" },
  { pattern: "(?:is|are|was) to be", replacement: "must" },
  { pattern: "must needs|ought", replacement: "must" },
  { pattern: "lets? go|gives? up (?:on|for)|is given up", replacement: "drops, abandons" },
  {
    pattern: "takes? (?:it|them|this|that|the|a) \\w+ for",
    replacement: "mistakes for, treats as",
  },
  { pattern: "taken for", replacement: "mistaken for, treated as" },
  { pattern: "lemma|heir|graver|bury|ailments?|hopeless", replacement: "the field's term" },
  {
    pattern: "(?<=^|[.;:] )What (?:is|was|are|it|the|a|has|became|they|this|one)",
    replacement: "start the sentence with the noun",
  },
  { pattern: "(?<=^|[.;:] )Who(?:ever)?(?= )", replacement: "name the subject" },
];

/** Words that no identifier contains, as one of its camel-case words. */
export const BANNED_IDENTIFIER_WORDS: ReadonlyMap<string, string> = new Map([
  ["ailment", "error"],
  ["ailments", "errors"],
  ["bell", "notifier"],
  ["bury", "writeTombstone"],
  ["graver", "mostUncertain"],
  ["greeting", "handshake"],
  ["heir", "successor"],
  ["hopeless", "allReplicasBad"],
  ["lend", "acquire"],
  ["lent", "acquired"],
  ["picky", "preferred"],
  ["rotten", "corrupt"],
  ["whoever", "the role"],
]);

/** Names of the wire protocol that stay, because a change would break the protocol. */
export const WIRE_NAMES: ReadonlySet<string> = new Set(["isRotten", "reportRot"]);

/** Texts that stay: they seed the random sources of simulations, and recorded seeds depend on them. */
export const SEED_TEXTS: ReadonlySet<string> = new Set(["mended state"]);

/** Endings that no type name has: injected dependencies are an `Env` or end in `Deps`. */
export const BANNED_TYPE_ENDINGS: readonly string[] = [
  "World",
  "Parts",
  "Hooks",
  "Effects",
  "Backend",
];
