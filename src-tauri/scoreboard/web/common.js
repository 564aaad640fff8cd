// What both pages share. Text only ever becomes text: nothing here makes markup out of what a server or a stranger says.
export const points = (milli) => (milli / 1000).toLocaleString("en-GB", { maximumFractionDigits: 3 });
export const many = (count, one, more) => `${count.toLocaleString("en-GB")} ${count === 1 ? one : more}`;
/** In the reader's own time, which is named. */
export const when = (at) => new Date(at).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
const own = (words, key) => (Object.hasOwn(words, key) ? words[key] : undefined);

const TRACKS = { netplus: "Network+", ccna: "CCNA", cissp: "CISSP" };
export const trackWord = (track) => own(TRACKS, track) ?? track;
const TIERS = {
  "self-attested": ["Self-attested", "signed with a laptop’s key, which shows where it comes from, not who worked or that nobody helped"],
  "instructor-seeded": ["Instructor-seeded", "seed and challenge came from this server, so the lab’s values could not be known before"],
  "re-graded": ["Re-graded", "this server recomputed every outcome from the evidence and came to the same score"],
  "re-executed": ["Re-executed", "what was submitted was tried under a fresh seed, and it came out the same"],
};
export const tierWord = (tier) => own(TIERS, tier)?.[0] ?? tier;
export const tierMeans = (tier) => own(TIERS, tier)?.[1] ?? "";
/** Every fact that a server can establish, the first ones first. */
export const FACTS = {
  signature: "The signature holds under the key that the verdict names.",
  "enrolled-key": "That key is enrolled in a class here.",
  "known-lab": "The lab is one of this server’s own, with the criteria and points that are claimed.",
  "issued-seed": "Seed and challenge came from this server; it was worked on in time and arrived in time.",
  digests: "Score and evidence are the ones that were signed.",
  "same-lab": "The lab in the evidence is what this server’s template gives for that seed.",
  "re-graded": "Every outcome, recomputed from the evidence, is the one that is claimed.",
  "re-executed": "Done again under a fresh seed, every criterion came out as submitted.",
};

/** `unanswered`: nothing came that could be judged. */
export class Unanswered extends Error {}
export async function get(path, init) {
  let answer;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Unanswered("The server does not answer.");
  }
  if (answer.status === 404) throw new Unanswered("The server does not have it (any more).");
  if (!answer.ok) throw new Unanswered(`The server does not give it out now (${answer.status}).`);
  return answer;
}
export const json = async (path) => (await get(path, { headers: { accept: "application/json" } })).json();

export function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
export const within = (outer, ...parts) => {
  outer.append(...parts);
  return outer;
};
/** A person's or class's own words, whichever way they are written. */
export const name = (text) => element("bdi", text);
export const at = (id) => document.getElementById(id);
