/**
 * Checks the subjects of new commits: `npm run check:commits [-- BASE]`.
 *
 * New commits are those that `HEAD` reaches and `BASE` does not. The form is `area: verb …`: the area
 * in lower case, an imperative verb, at most 72 characters. Merge commits are not checked. The rule
 * finds a verb that is not imperative by its ending, so it knows words and not grammar; review
 * checks the rest.
 */
import { execFileSync } from "node:child_process";

/** The last commit before the rule came into force. */
const DEFAULT_BASE = "f9903aaacd9164f546c43409c2143cf9e20c1146";
/** Commits that are checked where the history does not contain the base, as in a shallow clone. */
const FALLBACK_COUNT = 20;
const SUBJECT_LENGTH_MAX = 72;
const FORM = /^[a-z0-9][a-z0-9 ,./-]*: [a-z]/;

/** Endings of a participle and of the third person. Words in -ss are imperative: pass, address. */
const NOT_IMPERATIVE = /(?:ed|ing|[^s]s)$/;
/** Imperative verbs that have one of these endings. */
const IMPERATIVE = new Set(
  `alias bias bring canvas cling embed exceed feed focus need ping proceed ring seed shed shred speed
  spring string succeed swing`.split(/\s+/),
);
/** Words that begin a description and not an instruction. */
const NOT_VERBS = new Set(
  `a all also an each every how it no not one only some that the there this two what when where
  which who whoever why`.split(/\s+/),
);

process.exitCode = main(process.argv[2] ?? DEFAULT_BASE);

function main(base) {
  if (git("rev-parse", "--is-inside-work-tree") === null) {
    console.log("skipped: this directory is not a git repository");
    return 0;
  }
  const commits = newCommits(base);
  const failures = commits.flatMap(({ id, subject }) =>
    problemsOf(subject).map((problem) => `${id} ${subject}\n         ${problem}`),
  );
  for (const failure of failures) console.error(failure);
  console.log(`${commits.length} commit subjects checked, ${failures.length} problems`);
  return failures.length === 0 ? 0 : 1;
}

/** Returns the commits to check, the newest first. */
function newCommits(base) {
  const isBaseInHistory = git("merge-base", "--is-ancestor", base, "HEAD") !== null;
  if (!isBaseInHistory) {
    console.log(`${base} is not in this history: checking its last ${FALLBACK_COUNT} commits`);
  }
  const range = isBaseInHistory ? [`${base}..HEAD`] : [`--max-count=${FALLBACK_COUNT}`, "HEAD"];
  const output = git("log", "--no-merges", "--format=%h %s", ...range) ?? "";
  const lines = output.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const space = line.indexOf(" ");
    return { id: line.slice(0, space), subject: line.slice(space + 1) };
  });
}

/** Returns the rules that `subject` breaks, each as a sentence. */
function problemsOf(subject) {
  const problems = [];
  if (subject.length > SUBJECT_LENGTH_MAX) {
    problems.push(`Expected at most ${SUBJECT_LENGTH_MAX} characters: it has ${subject.length}`);
  }
  if (!FORM.test(subject)) {
    problems.push('Expected the form "area: verb …", both in lower case');
    return problems;
  }
  const [verb = ""] = subject.slice(subject.indexOf(": ") + 2).match(/^[a-z]+/) ?? [];
  if (NOT_VERBS.has(verb) || (NOT_IMPERATIVE.test(verb) && !IMPERATIVE.has(verb))) {
    problems.push(`Expected an imperative verb after the area: found "${verb}"`);
  }
  return problems;
}

/** Returns the output of git without the last line break. Null if git fails. */
function git(...parameters) {
  try {
    const stdio = ["ignore", "pipe", "ignore"];
    return execFileSync("git", parameters, { encoding: "utf8", stdio }).trimEnd();
  } catch {
    return null;
  }
}
