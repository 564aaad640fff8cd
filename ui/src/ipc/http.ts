/** The host for `forge serve`: commands by POST, streams by WebSocket, back again after a break. */
import type { Event, StreamRequest, Telemetry } from "../gen/api";
import { decodeFrame, TerminalCursor } from "./frame";
import { correlation, HostError } from "./host";
import type { CommandName, Host, Request, Response, Sink, Stream, StreamState, TerminalSink, TerminalStream } from "./host";

const RETRY_MS = [250, 500, 1_000, 2_000, 5_000];

export class HttpHost implements Host {
  readonly kind = "browser";
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  async call<C extends CommandName>(name: C, request: Request<C>): Promise<Response<C>> {
    let answer: globalThis.Response;
    try {
      answer = await fetch(`${this.#origin}/api/call/${name}`, {
        method: "POST",
        credentials: "same-origin",
        headers: { "content-type": "application/json", "x-correlation-id": correlation() },
        body: JSON.stringify(request),
      });
    } catch {
      throw new HostError("unreachable", "The engine does not answer.", ["Check that `forge serve` is still running, then try again."]);
    }
    if (answer.status === 401) {
      throw new HostError("unauthorized", "This browser has not been let in.", ["Open the one-time address that `forge serve` printed."]);
    }
    const text = await answer.text();
    let body: unknown;
    try {
      body = text === "" ? {} : JSON.parse(text);
    } catch {
      throw new HostError("internal", `The engine answered “${name}” with something that is not JSON (status ${answer.status}).`);
    }
    if (!answer.ok) throw HostError.from(body);
    return body as Response<C>;
  }

  events(run: string | null, since: number, sink: Sink<Event>): Stream {
    let last = since;
    return this.#follow(
      () => ({ stream: "events", run, since: last }),
      {
        text: (line) => {
          const event = JSON.parse(line) as Event;
          if (event.seq <= last) return;
          last = event.seq;
          sink.item(event);
        },
        state: (state, why) => sink.state?.(state, why),
      },
    );
  }

  telemetry(run: string, sink: Sink<Telemetry>): Stream {
    return this.#follow(
      () => ({ stream: "telemetry", run }),
      { text: (line) => sink.item(JSON.parse(line) as Telemetry), state: (state, why) => sink.state?.(state, why) },
    );
  }

  terminal(id: string, from: number, sink: TerminalSink): TerminalStream {
    const cursor = new TerminalCursor(from);
    const link: Link = this.#follow(
      () => ({ stream: "terminal", id, from: cursor.next }),
      {
        binary: (data) => {
          const frame = decodeFrame(data);
          if (frame.kind === "output") {
            const fresh = cursor.accept(frame.offset, frame.bytes);
            if (fresh) void sink.output(fresh.bytes, fresh.offset);
          } else if (frame.kind === "gap") {
            cursor.next = Math.max(cursor.next, frame.resumesAt);
            sink.gap(frame.resumesAt);
          } else {
            link.close();
            sink.closed(frame.reason);
          }
        },
        state: (state, why) => sink.state?.(state, why),
      },
    );
    return link;
  }

  #follow(request: () => StreamRequest, on: Handlers): Link {
    const base = this.#origin.replace(/^http/, "ws");
    return new Link(() => `${base}/api/stream?request=${encodeURIComponent(JSON.stringify(request()))}`, on);
  }
}

interface Handlers {
  text?(line: string): void;
  binary?(data: Uint8Array): void;
  state(state: StreamState, why?: string): void;
}

/** One WebSocket that is opened again, with growing waits, until `close` is called. */
class Link implements TerminalStream {
  readonly #url: () => string;
  readonly #on: Handlers;
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #closed = false;

  constructor(url: () => string, on: Handlers) {
    this.#url = url;
    this.#on = on;
    this.#open();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(bytes.slice());
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#on.state("closed");
  }

  #open(): void {
    this.#on.state(this.#attempt === 0 ? "connecting" : "reconnecting");
    const socket = new WebSocket(this.#url());
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
      this.#on.state("live");
    };
    socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => {
      if (this.#closed) return;
      if (typeof message.data === "string") this.#on.text?.(message.data);
      else this.#on.binary?.(new Uint8Array(message.data));
    };
    socket.onclose = (end) => {
      if (this.#closed) return;
      // 4000-4999 are the engine's own: it will not give another answer to the same request.
      if (end.code >= 4000) {
        this.#closed = true;
        this.#on.state("closed", end.reason || "The engine ended the stream.");
        return;
      }
      const wait = RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)] ?? 5_000;
      this.#attempt += 1;
      this.#on.state("reconnecting", end.reason || "The connection to the engine was lost.");
      this.#timer = setTimeout(() => this.#open(), wait);
    };
  }
}
