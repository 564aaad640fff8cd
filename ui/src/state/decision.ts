/** The decision an error tells of, if a gate said no. */
export function decisionOf(details: unknown): number | null {
  if (typeof details !== "object" || details === null || !("decisions" in details) || !Array.isArray(details.decisions)) return null;
  const first: unknown = details.decisions[0];
  return typeof first === "number" ? first : null;
}
