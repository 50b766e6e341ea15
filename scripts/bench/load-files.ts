import progress from "cli-progress";
import type { FileSystem } from "../../client/file-system.ts";
import { runMany } from "./rates.ts";

const FILES_PER_DIRECTORY = 1_000;
const DIRECTORIES_PER_GROUP = 100;
/** Half of what one transaction can create: the work of an entry is bounded. */
const FILES_PER_TRANSACTION = 500;
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
  const load = { count: directories, parallel: TRANSACTIONS_IN_FLIGHT };
  const { rate } = await runMany(load, async (number) => {
    const files = Math.min(FILES_PER_DIRECTORY, count - number * FILES_PER_DIRECTORY);
    await makeDirectory(fileSystem, { number, files });
    bar?.increment(files);
  });
  bar?.stop();
  return (rate * count) / load.count;
}

/** Creates a directory with empty files in several transactions. */
async function makeDirectory(
  fileSystem: FileSystem,
  { number, files }: { readonly number: number; readonly files: number },
): Promise<void> {
  const inGroup = padded(number % DIRECTORIES_PER_GROUP);
  const directory = `${groupPath(Math.floor(number / DIRECTORIES_PER_GROUP))}/${inGroup}`;
  for (let first = 0; first < files; first += FILES_PER_TRANSACTION) {
    const transaction = fileSystem.transaction();
    if (first === 0) transaction.mkdir(directory);
    const end = Math.min(first + FILES_PER_TRANSACTION, files);
    for (let file = first; file < end; file += 1) {
      transaction.create(`${directory}/document-${inGroup}-${padded(file)}.txt`);
    }
    await transaction.commit();
  }
}

function groupPath(group: number): string {
  return `/files/${padded(group)}`;
}

function padded(number: number): string {
  return String(number).padStart(3, "0");
}
