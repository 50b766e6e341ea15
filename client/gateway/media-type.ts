import { contentType } from "mime-types";

/** Returns the Content-Type of a file, judged by the ending of its name. */
export function mediaTypeOf(name: string): string {
  const dot = name.lastIndexOf(".");
  const known = dot < 0 ? false : contentType(name.slice(dot));
  return known === false ? "application/octet-stream" : known;
}
