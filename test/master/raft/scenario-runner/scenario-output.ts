/** What a directive printed. */
export class ScenarioOutput {
  #text = "";
  /** Nothing is kept, as with upstream's highest log level. */
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

  /** What `body` prints, each line further to the right. */
  indented(body: () => void): void {
    const outer = this.#text;
    this.#text = "";
    body();
    const lines = this.#text.replace(/\n$/, "").split("\n");
    const inner = this.#text === "" ? "" : lines.map((line) => `  ${line}\n`).join("");
    this.#text = outer + inner;
  }
}
