/** A terminal that echoes and knows a handful of commands. */
import type { TerminalInfo } from "../../gen/api";
import type { TerminalSink } from "../host";

const ANSWERS: Record<string, string> = {
  help: "This is a fake shell: ip a, ping, show ip route, clear",
  "ip a": "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536\r\n    inet 127.0.0.1/8 scope host lo\r\n2: \x1b[36meth0\x1b[0m: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\r\n    inet \x1b[35m10.0.12.1/30\x1b[0m scope global eth0",
  "show ip route": "O>* 10.0.23.0/30 [110/20] via \x1b[32m10.0.12.2\x1b[0m, eth0, 00:01:12\r\nC>* 10.0.12.0/30 is directly connected, eth0",
  ping: "64 bytes from 10.0.12.2: icmp_seq=1 ttl=64 time=\x1b[33m0.061 ms\x1b[0m",
};

export class FakeTerminal {
  readonly info: TerminalInfo;
  readonly #sinks = new Set<TerminalSink>();
  #kept: number[] = [];
  #line = "";

  constructor(info: TerminalInfo, output?: string) {
    this.info = info;
    if (output !== undefined) {
      this.#keep(Uint8Array.from(output, (c) => c.charCodeAt(0)));
      return;
    }
    this.#print(`\x1b[1m${info.node}\x1b[0m: type help\r\n`);
    this.#prompt();
  }

  attach(from: number, sink: TerminalSink): () => void {
    sink.state?.("live");
    const seen = Math.max(0, Math.min(from, this.#kept.length));
    if (seen < this.#kept.length) void sink.output(new Uint8Array(this.#kept.slice(seen)), seen);
    this.#sinks.add(sink);
    return () => {
      this.#sinks.delete(sink);
      sink.state?.("closed");
    };
  }

  input(bytes: Uint8Array): void {
    for (const letter of new TextDecoder().decode(bytes)) {
      if (letter === "\r") {
        this.#print("\r\n");
        const line = this.#line.trim();
        this.#line = "";
        const answer = ANSWERS[line] ?? ANSWERS[line.split(" ")[0] ?? ""];
        if (line === "clear") this.#print("\x1b[2J\x1b[H");
        else if (line !== "") this.#print(`${answer ?? `sh: ${line}: not found`}\r\n`);
        this.#prompt();
      } else if (letter === "\x7f") {
        if (this.#line === "") continue;
        this.#line = this.#line.slice(0, -1);
        this.#print("\b \b");
      } else if (letter >= " ") {
        this.#line += letter;
        this.#print(letter);
      }
    }
  }

  close(): void {
    this.info.open = false;
    for (const sink of this.#sinks) sink.closed("The terminal was closed.");
    this.#sinks.clear();
  }

  #prompt(): void {
    this.#print(`\x1b[32mroot@${this.info.node}\x1b[0m:\x1b[34m~\x1b[0m# `);
  }

  #print(text: string): void {
    this.#keep(new TextEncoder().encode(text));
  }

  #keep(bytes: Uint8Array): void {
    const offset = this.#kept.length;
    for (const byte of bytes) this.#kept.push(byte);
    this.info.next = this.#kept.length;
    for (const sink of this.#sinks) void sink.output(bytes, offset);
  }
}
