/** Separate programs that the launcher starts. Each has its own --help. */
export const DAEMONS: Readonly<Record<string, string>> = {
  master: "run a master",
  chunkserver: "run a chunkserver",
  "restore-cluster": "create the data directory of a master from a backup",
  gateway: "serve the files over HTTP, with web pages to browse and upload",
};
