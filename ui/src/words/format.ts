/** Numbers and times as people read them; every number keeps its unit. */
import type { TrustTier } from "../gen/api";

/** Milli-points as points: 3500 → "3.5". */
export function points(milli: number): string {
  return (milli / 1000).toLocaleString("en", { maximumFractionDigits: 1 });
}

export function percent(score: number, max: number): number {
  return max > 0 ? Math.round((score / max) * 100) : 0;
}

/** A span for reading: "840 ms", "3.2 s", "4 min 05 s", "1 h 20 min". */
export function span(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${String(Math.floor((ms % 60_000) / 1000)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A countdown: "23:41", "1:05:09". Never below zero. */
export function clock(ms: number): string {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const tail = `${String(Math.floor(s / 60) % 60).padStart(2, "0")}:${String(s % 60).padStart(2, "0")}`;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${tail}` : tail;
}

/** "just now", "12 min ago", "yesterday", "3 Nov 2026". */
export function ago(at: number, now: number): string {
  const minutes = Math.floor((now - at) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  const days = Math.floor(hours / 24);
  if (days === 1) return "yesterday";
  if (days < 14) return `${days} days ago`;
  return date(at);
}

export function date(at: number): string {
  return new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

export function dateTime(at: number): string {
  return `${date(at)}, ${new Date(at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}

const scale = (value: number, base: number, units: readonly string[]): string => {
  let n = value;
  let i = 0;
  while (n >= base && i < units.length - 1) {
    n /= base;
    i += 1;
  }
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
};

export const bytes = (n: number): string => scale(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
export const bitRate = (n: number): string => scale(n, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);
export const packetRate = (n: number): string => `${n < 10 && n > 0 ? n.toFixed(1) : Math.round(n)} pkt/s`;

export const TRACKS: Record<string, string> = { netplus: "Network+", ccna: "CCNA", cissp: "CISSP" };
export const track = (id: string): string => (Object.hasOwn(TRACKS, id) ? TRACKS[id] : undefined) ?? id;

export const TIER: Record<TrustTier, { title: string; means: string }> = {
  "self-attested": { title: "Self-attested", means: "Signed with this machine’s key. It proves where the result comes from and that nothing was changed since; it does not prove who worked, or that nobody helped." },
  "instructor-seeded": { title: "Instructor-seeded", means: "An instructor issued and signed the seed and the challenge, so the lab’s values could not be known before." },
  "re-graded": { title: "Re-graded", means: "A server recomputed every outcome from the evidence and came to the same score." },
  "re-executed": { title: "Re-executed", means: "An instructor, or a worker that one asked, tried what was submitted under a fresh seed, and it came out the same." },
};
