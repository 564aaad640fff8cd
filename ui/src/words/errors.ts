/** One table from error code to severity, headline and what can be done with a click. The engine's message says the rest. */
import type { HostError } from "../ipc/host";

export type Severity = "quiet" | "warn" | "fail";
export type ErrorAction = "doctor" | "images" | "library" | "retry" | "settings" | null;
export interface ErrorWords {
  severity: Severity;
  title: string;
  action: ErrorAction;
}

const words = (severity: Severity, title: string, action: ErrorAction = null): ErrorWords => ({ severity, title, action });

export const ERRORS: Record<HostError["code"], ErrorWords> = {
  invalid_input: words("warn", "That value was not accepted"),
  template_invalid: words("fail", "This lab’s template has a mistake"),
  too_large: words("warn", "That is larger than allowed"),
  unknown_command: words("fail", "The engine does not know this action"),
  unknown_lab: words("warn", "This lab is not in the library", "library"),
  unknown_run: words("warn", "This run is not there any more", "library"),
  unknown_node: words("warn", "This run has no such node"),
  not_found: words("warn", "Not found"),
  request_reused: words("warn", "This request was used for another lab"),
  denied: words("warn", "A policy said no"),
  wrong_state: words("warn", "Not possible right now"),
  token_invalid: words("fail", "The launch token was refused", "retry"),
  token_spent: words("warn", "The launch token was used already", "retry"),
  payment_failed: words("warn", "The start could not be paid for", "retry"),
  scoreboard_failed: words("warn", "The scoreboard did not accept that"),
  docker_unavailable: words("fail", "Docker does not answer", "doctor"),
  docker_failed: words("fail", "Docker could not do this", "retry"),
  image_missing: words("warn", "An image is not prepared yet", "images"),
  image_build_failed: words("fail", "An image could not be built", "images"),
  machine_lacks: words("warn", "This machine lacks something the lab needs", "doctor"),
  no_memory: words("fail", "Not enough memory", "doctor"),
  disk_full: words("fail", "The disk is full", "retry"),
  timeout: words("warn", "That took too long", "retry"),
  cancelled: words("quiet", "Cancelled"),
  port_unavailable: words("warn", "The port is taken"),
  verdict_invalid: words("fail", "The verdict does not verify"),
  evidence_invalid: words("fail", "The evidence does not verify"),
  seed_bound: words("quiet", "This lab cannot be tried under another seed"),
  key_unavailable: words("fail", "The signing key cannot be used", "doctor"),
  keys_locked: words("warn", "Your keys are locked"),
  store_failed: words("fail", "The local data could not be read or written", "doctor"),
  io: words("fail", "A file could not be read or written", "retry"),
  internal: words("fail", "Something unexpected happened", "retry"),
  unreachable: words("fail", "The engine does not answer", "retry"),
  unauthorized: words("fail", "This browser has not been let in"),
};

/** Of a scoreboard that said nothing: it refused nothing either. */
const SILENT: ErrorWords = words("warn", "The scoreboard does not answer");

export function wordsOf(error: HostError): ErrorWords {
  const { code, details } = error;
  const silent = code === "scoreboard_failed" && typeof details === "object" && details !== null && "code" in details && (details.code === "unreachable" || details.code === "timeout");
  return silent ? SILENT : ERRORS[code];
}

export const ACTION_LABEL: Record<Exclude<ErrorAction, null>, string> = {
  doctor: "Open Doctor",
  images: "Open Images",
  library: "Back to the library",
  retry: "Try again",
  settings: "Open Settings",
};
