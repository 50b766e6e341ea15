import progress from "cli-progress";
import type { FileSystem } from "../../client/file-system.ts";
import { runMany } from "./rates.ts";

const FILES_PER_DIRECTORY = 1_000;
const DIRECTORIES_PER_GROUP = 100;
/**
 * Each transaction makes 5 directories with 1,000 files each: half of the limit of a transaction.
 */
const DIRECTORIES_PER_TRANSACTION = 5;
const TRANSACTIONS_IN_FLIGHT = 4;

/**
 * Creates `count` empty files, 1,000 in each directory: `/files/007/042/document-042-0815.txt`.
 * Resolves with the number of files per second.
 */
export async function loadFiles(fileSystem: FileSystem, count: number): Promise<number> {
  const directories = Math.ceil(count / FILES_PER_DIRECTORY);
  await fileSystem.mkdir("/files");
  for (let group = 0; group * DIRECTORIES_PER_GROUP < directories; group += 1) {
    await fileSystem.mkdir(groupPath(group));
  }
  const bar = process.stderr.isTTY
    ? new progress.SingleBar({ stream: process.stderr, clearOnComplete: true })
    : null;
  bar?.start(count, 0);
  const load = {
    count: Math.ceil(directories / DIRECTORIES_PER_TRANSACTION),
    parallel: TRANSACTIONS_IN_FLIGHT,
  };
  const { rate } = await runMany(load, async (index) => {
    const first = index * DIRECTORIES_PER_TRANSACTION;
    const end = Math.min(first + DIRECTORIES_PER_TRANSACTION, directories);
    const createdCount = await makeDirectories(fileSystem, { first, end, count });
    bar?.increment(createdCount);
  });
  bar?.stop();
  return (rate * count) / load.count;
}

/**
 * Creates the directories `first` to `end` (exclusive) in one transaction. Returns the file count.
 */
async function makeDirectories(
  fileSystem: FileSystem,
  range: { readonly first: number; readonly end: number; readonly count: number },
): Promise<number> {
  const transaction = fileSystem.transaction();
  let createdCount = 0;
  for (let number = range.first; number < range.end; number += 1) {
    const inGroup = padded(number % DIRECTORIES_PER_GROUP);
    const directory = `${groupPath(Math.floor(number / DIRECTORIES_PER_GROUP))}/${inGroup}`;
    transaction.mkdir(directory);
    const files = Math.min(FILES_PER_DIRECTORY, range.count - number * FILES_PER_DIRECTORY);
    for (let file = 0; file < files; file += 1) {
      transaction.create(`${directory}/document-${inGroup}-${padded(file)}.txt`);
    }
    createdCount += files;
  }
  await transaction.commit();
  return createdCount;
}

function groupPath(group: number): string {
  return `/files/${padded(group)}`;
}

function padded(number: number): string {
  return String(number).padStart(3, "0");
}
