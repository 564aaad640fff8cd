/** How a criterion's “expected” and “seen” are read: statements, and in them the values that were compared. Pure. */
export interface Part {
  text: string;
  value: boolean;
}

/** The engine joins several statements with “; ”. */
export function statements(text: string): string[] {
  return text.split("; ").map((s) => s.trim()).filter((s) => s !== "");
}

/** Longer than any statement of ours; it is shown as it is, so that no text can cost time. */
const LONGEST = 2000;

/** Addresses, prefixes, host names of two labels or more, paths, and what the engine quotes. */
const VALUE = /“[^”]*”|(?:\d{1,3}\.){3}\d{1,3}(?:\/\d{1,2})?|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\/\d{1,3})?|(?:\/[\w.-]+){2,}|(?:[\w-]+\.)+[a-z][\w-]*\.?(?![\w])/giu;

export function marked(statement: string): Part[] {
  if (statement.length > LONGEST) return [{ text: statement, value: false }];
  const parts: Part[] = [];
  let at = 0;
  for (const found of statement.matchAll(VALUE)) {
    if (found.index > at) parts.push({ text: statement.slice(at, found.index), value: false });
    parts.push({ text: found[0], value: true });
    at = found.index + found[0].length;
  }
  if (at < statement.length) parts.push({ text: statement.slice(at), value: false });
  return parts;
}
