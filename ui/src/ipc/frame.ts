/** Decodes `TerminalFrame::encode` of api/streams.rs: one type byte, then the payload. */
export type TerminalFrame =
  | { kind: "output"; offset: number; bytes: Uint8Array }
  | { kind: "gap"; resumesAt: number }
  | { kind: "closed"; reason: string };

export function decodeFrame(frame: Uint8Array): TerminalFrame {
  const kind = frame[0];
  if (kind === 2) return { kind: "closed", reason: new TextDecoder().decode(frame.subarray(1)) };
  if (frame.length < 9) throw new RangeError(`terminal frame of ${frame.length} bytes`);
  // Offsets stay far below 2^53, where a number is exact.
  const offset = Number(new DataView(frame.buffer, frame.byteOffset).getBigUint64(1));
  if (kind === 0) return { kind: "output", offset, bytes: frame.subarray(9) };
  if (kind === 1) return { kind: "gap", resumesAt: offset };
  throw new RangeError(`terminal frame of unknown type ${kind}`);
}

/** Tracks what has been shown, so that a resumed stream neither repeats nor loses a byte. */
export class TerminalCursor {
  next: number;

  constructor(from: number) {
    this.next = from;
  }

  /** The part of an output frame that has not been seen yet. */
  accept(offset: number, bytes: Uint8Array): { offset: number; bytes: Uint8Array } | null {
    const end = offset + bytes.length;
    if (end <= this.next) return null;
    const skip = Math.max(0, this.next - offset);
    this.next = end;
    return { offset: offset + skip, bytes: bytes.subarray(skip) };
  }
}
