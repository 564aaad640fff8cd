/** The host inside the desktop window. The only file that imports `@tauri-apps/*`. */
import { Channel, invoke } from "@tauri-apps/api/core";
import type { Event, StreamRequest, Telemetry } from "../gen/api";
import { decodeFrame, TerminalCursor } from "./frame";
import { correlation, HostError } from "./host";
import type { CommandName, Host, Request, Response, Sink, Stream, StreamState, TerminalSink, TerminalStream } from "./host";
import { InOrder } from "./keys";

/** Terminal bytes that may be under way before the page has drawn them. */
const WINDOW_BYTES = 512 * 1024;

export class TauriHost implements Host {
  readonly kind = "desktop";

  async call<C extends CommandName>(name: C, request: Request<C>): Promise<Response<C>> {
    try {
      return await invoke<Response<C>>("call", { name, args: request, correlation: correlation() });
    } catch (error) {
      throw HostError.from(error);
    }
  }

  events(run: string | null, since: number, sink: Sink<Event>): Stream {
    return open<Event>({ stream: "events", run, since }, (event) => sink.item(event), (s, why) => sink.state?.(s, why));
  }

  telemetry(run: string, sink: Sink<Telemetry>): Stream {
    return open<Telemetry>({ stream: "telemetry", run }, (item) => sink.item(item), (s, why) => sink.state?.(s, why));
  }

  terminal(id: string, from: number, sink: TerminalSink): TerminalStream {
    const cursor = new TerminalCursor(from);
    let up = true;
    // The body travels as raw bytes, the terminal's id in a header: no base64, no JSON numbers.
    const keys = new InOrder(
      (bytes) => invoke("terminal_write", bytes, { headers: { "x-terminal": id } }),
      (error) => up && down(HostError.from(error).message),
    );
    const down = (reason: string) => {
      up = false;
      keys.stop();
      stream.close();
      sink.closed(reason);
    };
    const stream = open<ArrayBuffer>(
      { stream: "terminal", id, from },
      (data) => {
        const frame = decodeFrame(new Uint8Array(data));
        if (frame.kind === "output") {
          const fresh = cursor.accept(frame.offset, frame.bytes);
          return fresh ? sink.output(fresh.bytes, fresh.offset) : undefined;
        } else if (frame.kind === "gap") {
          cursor.next = Math.max(cursor.next, frame.resumesAt);
          sink.gap(frame.resumesAt);
        } else {
          down(frame.reason);
        }
        return undefined;
      },
      (state, why) => sink.state?.(state, why),
      WINDOW_BYTES,
    );
    return {
      // What was typed before still arrives.
      close: () => {
        up = false;
        stream.close();
      },
      write: (bytes) => {
        if (up) keys.push(bytes);
        return up;
      },
    };
  }
}

/**
 * Opens a channel; closing before the engine answered closes it as soon as its id is known. With a `window`, each
 * frame is acknowledged once `item` (or the promise it returns) is done, and the engine waits for that.
 */
function open<T>(
  request: StreamRequest,
  item: (value: T) => void | Promise<void>,
  state: (state: StreamState, why?: string) => void,
  window: number | null = null,
): Stream {
  let closed = false;
  let id: number | null = null;
  let owed = 0;
  // Both calls are about a stream the engine may have ended by itself meanwhile; then there is nothing to tell it.
  const end = () => void invoke("close_stream", { id }).catch(() => undefined);
  const acknowledge = (bytes: number) => {
    owed += bytes;
    if (closed || id === null || owed === 0) return;
    void invoke("ack_stream", { id, bytes: owed }).catch(() => undefined);
    owed = 0;
  };
  const channel = new Channel<T>();
  channel.onmessage = (value) => {
    if (closed) return;
    const done = item(value);
    if (window === null || !(value instanceof ArrayBuffer)) return;
    const bytes = value.byteLength;
    if (done) void done.then(() => acknowledge(bytes));
    else acknowledge(bytes);
  };
  state("connecting");
  invoke<number>("open_stream", { request, channel, window }).then(
    (opened) => {
      id = opened;
      if (closed) {
        end();
      } else {
        state("live");
        acknowledge(0);
      }
    },
    (error: unknown) => {
      if (closed) return;
      closed = true;
      state("closed", HostError.from(error).message);
    },
  );
  return {
    close: () => {
      if (closed) return;
      closed = true;
      if (id !== null) end();
      state("closed");
    },
  };
}
