/** Few settings, each with the reason one would touch it. */
import type { Settings } from "../gen/api";

export const SETTINGS: readonly { id: keyof Settings; title: string; why: string; also: string }[] = [
  { id: "theme", title: "Appearance", why: "Charts and exported reports follow it.", also: "theme dark light colour" },
  { id: "terminal_font_size", title: "Terminal text size", why: "From 9 to 24. Larger text helps on a projector.", also: "font zoom" },
  { id: "continuous_checks", title: "Check while you work", why: "Criteria turn green by themselves. Those that disturb the lab wait for Check or Submit.", also: "continuous grading" },
  { id: "idle_pause_minutes", title: "Pause when idle", why: "Pauses labs and their clock after this long without a key or click. 0 means never.", also: "sleep timer battery" },
  { id: "results_dir", title: "Results folder", why: "Where score, evidence and verdict of each submission go. Empty means the data folder.", also: "path verdict export" },
  { id: "first_run_done", title: "First start guide", why: "Docker, images and a first lab, step by step.", also: "welcome begin tour" },
];

export const LIMITS = {
  title: "Plan and limits",
  also: "quota plan billing memory cpu disk block limits",
  loading: "Loading the limits",
  plan: (plan: string, from: string) => `${plan === "practice" ? "Practice" : `Plan ${plan}`}. ${from.charAt(0).toUpperCase()}${from.slice(1)}.`,
  billing: (gateway: boolean, detail: string) => (gateway ? `Each start is paid for: ${detail}.` : "Nobody is asked and nothing is charged."),
  blocked: (reason: string) => `You may not start labs here: ${reason}`,
  limit: "Limit",
  whose: "Whose",
  used: "In use",
  share: "Share in use",
  you: "yours",
  everybody: "everybody’s",
  disk: (free: string | null, floor: string) =>
    `${free === null ? "How much disk is free is not known here." : `${free} of disk is free.`} Below ${floor} nothing is started and running labs are paused.`,
};
