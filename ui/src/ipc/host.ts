/**
 * The one seam between the UI and an engine: commands of the contract, and the three streams.
 * A host refuses to hold state of the UI; it knows how to call, how to follow, and how to come back
 * after the connection broke without losing or repeating an item.
 */
import type { Code, Error as ApiError, Event, Telemetry } from "../gen/api";
import type { Commands } from "../gen/commands";

export type CommandName = keyof Commands;
export type Request<C extends CommandName> = Commands[C]["request"];
export type Response<C extends CommandName> = Commands[C]["response"];

export type StreamState = "connecting" | "live" | "reconnecting" | "closed";

export interface Sink<T> {
  item(value: T): void;
  /** `why` is for people; present when the stream is not live. */
  state?(state: StreamState, why?: string): void;
}

export interface TerminalSink {
  /** Output bytes; `offset` is the offset of the first one. A promise, where given, says when they are drawn (back-pressure). */
  output(bytes: Uint8Array, offset: number): void | Promise<void>;
  /** Output before `resumesAt` was dropped and cannot be replayed. */
  gap(resumesAt: number): void;
  closed(reason: string): void;
  state?(state: StreamState, why?: string): void;
}

export interface Stream {
  close(): void;
}

export interface TerminalStream extends Stream {
  /** Keyboard input. Returns false when it could not be taken (the stream is down); nothing is queued silently. */
  write(bytes: Uint8Array): boolean;
}

export interface Host {
  readonly kind: "desktop" | "browser" | "fake";
  call<C extends CommandName>(name: C, request: Request<C>): Promise<Response<C>>;
  /** Persisted events after `since`, then live ones; every event exactly once, in order. */
  events(run: string | null, since: number, sink: Sink<Event>): Stream;
  telemetry(run: string, sink: Sink<Telemetry>): Stream;
  terminal(id: string, from: number, sink: TerminalSink): TerminalStream;
}

/** What a call or stream fails with: the engine's own error, or `unreachable` when nothing answered. */
export class HostError extends Error {
  readonly code: Code | "unreachable" | "unauthorized";
  readonly hints: string[];
  readonly details: unknown;

  constructor(code: HostError["code"], message: string, hints: string[] = [], details: unknown = null) {
    super(message);
    this.name = "HostError";
    this.code = code;
    this.hints = hints;
    this.details = details;
  }

  static from(value: unknown): HostError {
    if (value instanceof HostError) return value;
    if (isApiError(value)) return new HostError(value.code, value.message, value.hints, value.details);
    const message = value instanceof Error ? value.message : String(value);
    return new HostError("internal", message);
  }
}

function isApiError(value: unknown): value is ApiError {
  return (
    typeof value === "object" && value !== null && "code" in value && "message" in value &&
    typeof value.code === "string" && typeof value.message === "string" && "hints" in value && Array.isArray(value.hints)
  );
}

/** 16 hex digits; follows a click down to each Docker call. */
export function correlation(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** `?host=fake` picks the fake in development and tests; the bundler drops it from production builds. */
export async function connect(): Promise<Host> {
  if (import.meta.env.DEV && new URLSearchParams(location.search).get("host") === "fake") {
    const { FakeHost } = await import("./fake/host");
    return new FakeHost(new URLSearchParams(location.search).get("scene") ?? "full");
  }
  if ("__TAURI_INTERNALS__" in globalThis) {
    const { TauriHost } = await import("./tauri");
    return new TauriHost();
  }
  const { HttpHost } = await import("./http");
  return new HttpHost(location.origin);
}
