import { parseArgs } from "node:util";
import { runFuzz } from "./fuzz/run-fuzz.ts";

const USAGE = `Usage: npm run fuzz -- [--seconds N] [--seed N]

Sends generated requests of every method, in every role, to a local cluster of real processes. Every
answer must be a result or a typed error; the processes must live and give their memory back.
`;

/** Runs the fuzzer. Resolves with the exit status: 0 without a fault, 1 with one, 2 for wrong usage. */
export async function main(commandLine: readonly string[]): Promise<number> {
  const options = { seconds: { type: "string" }, seed: { type: "string" } } as const;
  const numbers = { seconds: 60, seed: Math.floor(Date.now() / 1_000) };
  try {
    const { values } = parseArgs({ args: [...commandLine], options });
    for (const [name, value] of Object.entries(values) as ["seconds" | "seed", string][]) {
      if (!/^\d{1,9}$/.test(value))
        throw new Error(`Cannot use --${name} ${value}: expected a number`);
      numbers[name] = Number(value);
    }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  const isClean = await runFuzz({ ...numbers, print: (line) => process.stdout.write(`${line}\n`) });
  return isClean ? 0 : 1;
}
