/** What the scoreboard's section, each result and the status strip say about it. */
import type { SyncState, SyncStatus } from "../gen/api";

/** Milliseconds from which on a scoreboard does not believe a clock. */
const CLOCK_SKEW = 5 * 60_000;

/** How far two clocks are apart, in the engine’s words. */
function apart(ms: number): string {
  const minutes = Math.floor(Math.abs(ms) / 60_000);
  return minutes < 120 ? `${minutes} min` : minutes < 2880 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} days`;
}

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
  as: (name: string, cls: string) => `as ${name} in ${cls}`,
  elsewhere: "with a key that was enrolled before; sessions and large evidence cannot be used from here",
  pinned: "The scoreboard’s key",
  since: "Enrolled",
  clock: (ahead: number) => `This machine’s clock is ${apart(ahead)} ${ahead > 0 ? "ahead of" : "behind"} the scoreboard’s.${Math.abs(ahead) <= CLOCK_SKEW ? "" : ahead > 0 ? " Set it right before your next lab: results from the future are not taken." : " Set it right before your next lab: a session’s labs begun with it do not count."}`,
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
  turnOffText: "Nothing is sent any more. Receipts stay here, and what was accepted stays on the scoreboard. You can come back without a code.",
  before: "Scoreboards you were enrolled at",
  wasAt: "You were enrolled at",
  back: "Come back",
  keep: "Keep it",
  sent: "Sent",
  raised: "More was established",
  stopped: "Not everything could be sent",
  counts: (s: SyncStatus) => `${s.accepted} accepted · ${s.pending} waiting · ${s.refused} refused`,
  spoken: "Last spoken to",
  never: "not yet",
  next: "Next attempt",
  loading: "Reading the scoreboard’s state",
  receipt: "Receipt, signed by the scoreboard",
  copyReceipt: "Copy the receipt",
  page: "Its page on the scoreboard",
  copyPage: "Copy the address",
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
