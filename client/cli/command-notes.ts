/**
 * Notes in the help of a command: what happens to existing targets, links, special files and modes.
 * The cluster has files and directories only; docs/cli.md has the details.
 */
export const COMMAND_NOTES: Readonly<Record<string, readonly string[]>> = {
  put: [
    "Existing targets: a file is kept, and the item fails, unless -f, -n, -i or --resume is given. A directory is merged with -r.",
    "Links: a symbolic link to a file is stored as that file. Below a directory, a link to a directory or to nothing is not stored, and is reported. Hard links become separate files.",
    "Special files: below a directory, FIFOs, sockets and devices are not stored, and are reported. A FIFO or device that is named is read to its end.",
    "Modes: a new file or directory has the permission bits of its source without the umask; --mode sets those of files. -p keeps all bits, owner and times, also for a target that exists. Without -p, a file that is replaced keeps its own.",
  ],
  get: [
    "Existing targets: a file is kept, and the item fails, unless -f, -n, -i or --resume is given. A directory is merged with -r.",
    "Links: a target that is a symbolic link is followed; one to nothing needs -f.",
    "Special files: a target that is a FIFO or a device is written to, not replaced.",
    "Modes: a new file or directory has the permission bits of its source without the umask. -p keeps all bits, times, and the owner if the user may set it; setuid and setgid only with the owner. Without -p, a file that is replaced keeps its own.",
    "Holes: blocks of 64 KiB of zeros take no space.",
  ],
  sync: [
    "Existing targets: a file that differs is replaced: the command is the request. -n keeps and skips it, -i asks. What only TARGET has is kept; --delete removes it, after one question on a terminal, and only with --yes elsewhere. A file and a directory in each other's place fail without --delete.",
    "Differences: size or time of modification. If only the time differs, the content is compared and only the time is set. -c compares the content of every file; the cluster has its hashes, so only local files are read.",
    "Links: a symbolic link to a file is stored as that file, and one in a local TARGET is followed. A link to a directory or to nothing is not stored, and is reported; --delete removes a link and never follows it.",
    "Special files: FIFOs, sockets and devices are not stored, and are reported.",
    "Modes: times of files are always kept. A new file or directory has the permission bits of its source without the umask; one that exists keeps its own. -p keeps all bits, owner and times, also of what exists.",
  ],
  cp: [
    "Existing targets: a file is kept, and the item fails, unless -f, -n or -i is given. A directory is merged with -r. A directory never replaces a file, nor a file a directory.",
    "Links and special files: the cluster has none.",
    "Modes: a new copy has the permission bits of its source; -p also keeps owner and times, of directories, too. A file that is replaced keeps its permission bits and owner without -p.",
  ],
  mv: [
    "Existing targets: a target is kept, and the item fails, unless -f, -n or -i is given. -f replaces a file by a file and an empty directory by a directory, nothing else.",
    "Links and special files: the cluster has none.",
    "Modes: permission bits, owner and times are kept.",
  ],
  restore: [
    "Existing targets: a target is kept unless -f, -n or -i is given. -f replaces it, a directory including everything in it; the replaced version is in the history.",
    "Links and special files: the cluster has none.",
    "Modes: a file has its permission bits, owner and times of then, a directory its permission bits and owner.",
  ],
  rm: [
    "Directories: removed only with -r, atomically with everything in them. One that is not empty needs an answer or --yes.",
    "Links and special files: the cluster has none.",
    'A last name "." or ".." is refused, and so is a slash after the name of a file.',
    "Space: a removed file takes space until its history is dropped; `ashlar history` shows it.",
  ],
  rmdir: [
    "Existing entries: a directory that is not empty is kept, and the item fails. A file is never removed.",
    'A last name "." or ".." is refused.',
  ],
  mkdir: [
    "Existing targets: a file or a directory is an error; with -p an existing directory is not, and it keeps its permission bits.",
    "Modes: -m sets those of the new directory, and of the parents that -p makes. The default is 755.",
  ],
  touch: [
    "Existing targets: a file or a directory keeps its content and gets the times. A missing file is created, unless -c is given.",
    "Links and special files: the cluster has none.",
    "Modes: a new file has the permission bits 644.",
  ],
  chmod: [
    "Directories: only the directory itself is changed, unless -R is given.",
    "Links and special files: the cluster has none.",
    "Modes: all bits are set, with setuid, setgid and sticky: 755 clears them.",
  ],
  chown: [
    "Directories: only the directory itself is changed, unless -R is given.",
    "Links and special files: the cluster has none.",
    "Modes: permission bits are kept.",
  ],
  txn: [
    "Existing targets: each line has the key `replace`; docs/cli.md lists the keys.",
    "All lines are committed, or none of them.",
  ],
  backup: [
    "Existing targets: FILE is kept, and the command fails, unless -f is given.",
    "Contents: the state of the masters, with all names and modes; not the data of the chunkservers.",
  ],
};
