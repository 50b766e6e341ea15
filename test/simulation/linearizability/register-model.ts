import type { SequentialModel } from "./history.ts";

/** A place that holds one number. */
export type RegisterInput =
  | { readonly kind: "write"; readonly value: number }
  | { readonly kind: "read" };

/** What a read saw; of a write, that it was done. */
export type RegisterOutput = number | "done";

export const registerModel: SequentialModel<number, RegisterInput, RegisterOutput> = {
  initial: 0,
  step(state, input, output) {
    if (input.kind === "write") return input.value;
    return output === null || output === state ? state : null;
  },
  describeState: String,
  describe(input, output) {
    const asked = input.kind === "write" ? `write ${input.value}` : "read";
    return `${asked} → ${output ?? "?"}`;
  },
  isRead: (input) => input.kind === "read",
};
