/** How a role looks and what it is called; the same in glyph, picture and map. */
import type { Role } from "../../gen/api";

export const ROLES: Record<Role, { word: string; tone: "frost" | "ok" | "fail" | "accent" | "neutral" }> = {
  learner: { word: "your machine", tone: "accent" },
  router: { word: "router", tone: "frost" },
  server: { word: "server", tone: "ok" },
  switch: { word: "switch", tone: "frost" },
  attacker: { word: "attacker", tone: "fail" },
  defender: { word: "defender", tone: "ok" },
  aux: { word: "device", tone: "neutral" },
  client: { word: "client", tone: "neutral" },
};
