/** JSON for people: where it is broken, and what its pieces are. Browsers word and place their parse errors differently. */

export interface Problem {
  line: number;
  column: number;
  what: string;
}

const DEPTH = 32;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\r\n]*/y;
const WORD = /true|false|null/y;

class Broken extends Error {
  readonly at: number;
  constructor(at: number, what: string) {
    super(what);
    this.at = at;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) throw new Broken(this.#at, "Nothing may follow the end of the document.");
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (!found) return false;
    this.#at += found[0].length;
    return true;
  }

  #space(): void {
    this.#take(SPACE);
  }

  #char(): string {
    this.#space();
    return this.#text[this.#at] ?? "";
  }

  #value(depth: number): void {
    const c = this.#char();
    if (c === "") throw new Broken(this.#at, depth ? "It ends before a bracket is closed." : "There is nothing here.");
    if (depth >= DEPTH && (c === "{" || c === "[")) throw new Broken(this.#at, `It is nested more than ${DEPTH} deep.`);
    if (c === "{") this.#list("}", depth, () => {
      if (this.#char() !== '"') throw new Broken(this.#at, 'A field’s name in double quotes is missing.');
      this.#string();
      if (this.#char() !== ":") throw new Broken(this.#at, "A colon is missing after the field’s name.");
      this.#at += 1;
    });
    else if (c === "[") this.#list("]", depth, () => undefined);
    else if (c === '"') this.#string();
    else if (!this.#take(WORD) && !this.#take(NUMBER)) throw new Broken(this.#at, "A value is missing: text in double quotes, a number, true, false, null, { or [.");
  }

  #string(): void {
    if (!this.#take(STRING)) throw new Broken(this.#at, "This text has no closing quote on its line, or a character that must be escaped.");
  }

  #list(close: string, depth: number, before: () => void): void {
    this.#at += 1;
    if (this.#char() === close) {
      this.#at += 1;
      return;
    }
    for (;;) {
      before();
      this.#value(depth + 1);
      const c = this.#char();
      if (c === close) break;
      if (c !== ",") throw new Broken(this.#at, c === "" ? "It ends before a bracket is closed." : `A comma or ${close} is missing.`);
      this.#at += 1;
      if (this.#char() === close) throw new Broken(this.#at, "A comma stands before the closing bracket.");
    }
    this.#at += 1;
  }
}

/** The first thing that is wrong, or null. */
export function problem(text: string): Problem | null {
  try {
    new Reader(text).document();
    return null;
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    const before = text.slice(0, error.at).split("\n");
    return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1, what: error.message };
  }
}

export interface Piece {
  kind: "name" | "text" | "number" | "word" | "mark";
  text: string;
}

const PIECES = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|(true|false|null)|[^"\d\w-]+|./g;

/** Indented JSON in pieces, so that names, texts and numbers can look different. */
export function pieces(value: unknown): Piece[] {
  const text = JSON.stringify(value, null, 2) ?? "null";
  return [...text.matchAll(PIECES)].flatMap(([all, string, colon, number, word]): Piece[] => {
    if (string !== undefined) return colon === undefined ? [{ kind: "text", text: string }] : [{ kind: "name", text: string }, { kind: "mark", text: colon }];
    if (number !== undefined) return [{ kind: "number", text: number }];
    return [{ kind: word === undefined ? "mark" : "word", text: all }];
  });
}
