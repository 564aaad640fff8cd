/** What the scoreboard's section, each result and the status strip say about it. */
import type { ResultSync, SyncState, SyncStatus } from "../gen/api";

export const SYNC = {
  title: "Scoreboard",
  off: "Nothing leaves this machine. With an address and a code from your instructor, signed results can be sent to a class’s scoreboard.",
  url: "Address",
  urlHint: "https://board.example",
  code: "Code",
  name: "Name on the board",
  nameHint: "A few letters of your key",
  clearText: "The address is http:// on my classroom’s own network. Nothing can be forged on the way, but the token can be read.",
  ca: "Certificate (PEM), if your instructor gave you one",
  enrol: "Enrol",
  enrolled: "Enrolled",
  as: (name: string, cls: string) => `as ${name} in ${cls}`,
  elsewhere: "with a key that was enrolled before; sessions and large evidence cannot be used from here",
  pinned: "The scoreboard’s key",
  since: "Enrolled",
  clock: (minutes: number) => `This machine’s clock was ${Math.abs(minutes)} min ${minutes > 0 ? "ahead of" : "behind"} the scoreboard’s.`,
  preview: "Show what would be sent",
  previewTitle: "What would be sent",
  previewNone: "Nothing waits, so nothing would be sent.",
  previewMore: (n: number) => `${n} more wait after these.`,
  withToken: "with your token",
  bytes: (n: number) => `${n.toLocaleString("en")} bytes`,
  statement: "Signed statement",
  evidence: (n: number) => `Evidence: ${n} files`,
  now: "Send now",
  again: "Ask again for what was refused",
  turnOff: "Turn off",
  turnOffTitle: "Turn the scoreboard off?",
  turnOffText: "Its address and token are forgotten and nothing is sent any more. Receipts stay here, and what was accepted stays on the scoreboard.",
  keep: "Keep it",
  sent: "Sent",
  raised: "More was established",
  stopped: "Not everything could be sent",
  counts: (s: SyncStatus) => `${s.accepted} accepted · ${s.pending} waiting · ${s.refused} refused`,
  spoken: "Last spoken to",
  never: "not yet",
  next: "Next attempt",
  loading: "Reading the scoreboard’s state",
  receipt: "Copy the receipt",
  page: "Its page on the scoreboard",
  attempts: (n: number) => (n === 1 ? "tried once" : `tried ${n} times`),
  strip: (s: SyncStatus) => [s.pending > 0 && `${s.pending} to send`, s.refused > 0 && `${s.refused} refused`].filter(Boolean).join(", ") || "all sent",
  stripTip: "Your class’s scoreboard; settings say more",
} as const;

export const SYNC_STATE: Record<SyncState, { word: string; tone: "ok" | "warn" | "fail" | "neutral" }> = {
  off: { word: "Kept on this machine", tone: "neutral" },
  pending: { word: "Waiting to be sent", tone: "warn" },
  accepted: { word: "Accepted by the scoreboard", tone: "ok" },
  refused: { word: "Refused by the scoreboard", tone: "fail" },
};

/** A refusal leads with its code, which is what an instructor asks for. */
export const why = (r: ResultSync): string => (r.code ? `${r.code}: ${r.why}` : r.why);
