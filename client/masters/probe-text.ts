import type { MasterProbe, MastersProbe } from "./probe-masters.ts";

/** Returns the state of one master: "127.0.0.1:7400: follower in term 3". */
export function describeMaster({ address, answer, problem, isVoter }: MasterProbe): string {
  if (answer?.diskFull?.kind === "log")
    return `${address}: takes no part: ${answer.diskFull.reason}`;
  if (answer !== null) return `${address}: ${answer.role} in term ${answer.term}`;
  return `${address}: ${problem ?? "no answer"}${isVoter ? "" : " (learner)"}`;
}

/** Returns "no majority: 1 of 3 masters answers". The counts are those of the voters. */
export function majorityText(answeredCount: number, count: number): string {
  return `no majority: ${answeredCount} of ${count} masters ${answeredCount === 1 ? "answers" : "answer"}`;
}

/** Returns why the masters have not answered yet, as far as a probe shows it. */
export function waitReason(probe: MastersProbe | null): string {
  if (probe === null) return "no answer";
  const { masters, voterCount, answeredCount, hasNoMajority, isAllRefused } = probe;
  if (isAllRefused) return "all of them refuse the connection";
  if (hasNoMajority) return majorityText(answeredCount, voterCount);
  const leader = masters.find(({ answer }) => answer?.role === "leader");
  const learners = masters.filter(({ isVoter }) => !isVoter);
  const answering = learners.filter(({ answer }) => answer !== null).length;
  const voters = `${answeredCount} of ${voterCount}`;
  const noun = learners.length === 1 ? "learner" : "learners";
  const counts =
    learners.length === 0
      ? `${voters} answer`
      : `${voters} and ${answering} of ${learners.length} ${noun} answer`;
  return leader === undefined
    ? `${counts}, no leader yet`
    : `${counts}, the leader is ${leader.address}`;
}
