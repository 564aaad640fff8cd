/** The host inside the desktop window. The only file that imports `@tauri-apps/*`. */
import { Channel, invoke } from "@tauri-apps/api/core";
import type { Event, StreamRequest, Telemetry } from "../gen/api";
import { decodeFrame, TerminalCursor } from "./frame";
import { correlation, HostError } from "./host";
import type { CommandName, Host, Request, Response, Sink, Stream, StreamState, TerminalSink, TerminalStream } from "./host";

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
    const down = (reason: string) => {
      up = false;
      stream.close();
      sink.closed(reason);
    };
    const stream = open<ArrayBuffer>(
      { stream: "terminal", id, from },
      (data) => {
        const frame = decodeFrame(new Uint8Array(data));
        if (frame.kind === "output") {
          const fresh = cursor.accept(frame.offset, frame.bytes);
          if (fresh) sink.output(fresh.bytes, fresh.offset);
        } else if (frame.kind === "gap") {
          cursor.next = Math.max(cursor.next, frame.resumesAt);
          sink.gap(frame.resumesAt);
        } else {
          down(frame.reason);
        }
      },
      (state, why) => sink.state?.(state, why),
    );
    return {
      close: stream.close,
      // The body travels as raw bytes, the terminal's id in a header: no base64, no JSON numbers.
      write: (bytes) => {
        if (!up) return false;
        invoke("terminal_write", bytes, { headers: { "x-terminal": id } }).catch((error: unknown) => {
          if (up) down(HostError.from(error).message);
        });
        return true;
      },
    };
  }
}

/** Opens a channel; closing before the engine answered closes it as soon as its id is known. */
function open<T>(request: StreamRequest, item: (value: T) => void, state: (state: StreamState, why?: string) => void): Stream {
  let closed = false;
  let id: unknown = null;
  const end = () => {
    // A stream that the engine has already forgotten needs no closing.
    invoke("close_stream", { id }).catch(() => undefined);
  };
  const channel = new Channel<T>();
  channel.onmessage = (value) => {
    if (!closed) item(value);
  };
  state("connecting");
  invoke("open_stream", { request, channel }).then(
    (opened) => {
      id = opened;
      if (closed) end();
      else state("live");
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
