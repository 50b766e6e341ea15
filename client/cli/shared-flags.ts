import type { OptionDefinition } from "./command.ts";

/* Options that commands of several tables take, with one meaning. */

/** For commands that print exact bytes also on a terminal, as ls(1) does. */
export const HUMAN: OptionDefinition = {
  flags: "-h, --human-readable",
  description: "print sizes as 1.5 GiB (powers of 1024)",
};
/** For commands that print such sizes on a terminal anyway. */
export const HUMAN_ELSEWHERE: OptionDefinition = {
  flags: "-h, --human-readable",
  description: "print sizes as 1.5 GiB (powers of 1024); the default on a terminal",
};
export const NO_GLOB: OptionDefinition = {
  flags: "--no-glob",
  description: "take * ? [ ] { } in remote paths literally",
};
export const RECURSIVE: OptionDefinition = {
  flags: "-r, --recursive",
  description: "include directories and everything in them",
};
export const NO_TARGET_DIRECTORY: OptionDefinition = {
  flags: "-T, --no-target-directory",
  description: "TARGET is the name of the copy, also if it is a directory",
};
export const DRY_RUN: OptionDefinition = {
  flags: "--dry-run",
  description: "print what would be done and change nothing",
};
