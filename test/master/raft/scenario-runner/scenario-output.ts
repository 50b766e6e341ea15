/** Output of a directive. */
export class ScenarioOutput {
  #text = "";
  /** Whether all output is discarded, as with upstream's log level "none". */
  isQuiet = false;

  get text(): string {
    return this.#text;
  }

  clear(): void {
    this.#text = "";
  }

  write(text: string): void {
    if (!this.isQuiet) this.#text += text;
  }

  line(text: string): void {
    this.write(`${text}\n`);
  }

  /** Indents the output of `body`. */
  indented(body: () => void): void {
    const outer = this.#text;
    this.#text = "";
    body();
    const lines = this.#text.replace(/\n$/, "").split("\n");
    const inner = this.#text === "" ? "" : lines.map((line) => `  ${line}\n`).join("");
    this.#text = outer + inner;
  }
}
