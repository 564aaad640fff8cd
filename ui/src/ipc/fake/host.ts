/**
 * An engine in memory, for development, screenshots and tests. Scenes: `full` (a run under way, images building), `fresh` (first
 * start), `empty` (no lab, nothing done), `loading` (no answer ever), `error` (Docker is gone), `well` (nothing runs, all is
 * prepared), `images-failed`, the states of a run (`starting`, `paused`, `last-minute`, `stopped`, `failed`, `lost`), `crowd` (a
 * hundred labs, 25 nodes, 10,000 events), `texts` (every text is one that the page was given), `tampered` (somebody changed the
 * audit log), `locked`, `locked-os`, `locked-new`, `under-passphrase` (keys.ts). Of a class: `teach`, `teach-new`, `teach-empty`, `teach-crowd`, `teach-away`, `class`, `class-frozen`, `class-clock` (sessions.ts).
 */
import type { Event, Telemetry } from "../../gen/api";
import { HostError } from "../host";
import type { CommandName, Host, Request, Response, Sink, Stream, TerminalSink, TerminalStream } from "../host";
import { commands } from "./commands";
import type { Handlers } from "./commands/handlers";
import { planted } from "./planted";
import { stage } from "./stage";
import { World } from "./world";

/** What answers when the engine does not, or when Docker is gone. */
const WITHOUT_ENGINE: readonly CommandName[] = ["get_settings", "keys_status"];
const WITHOUT_DOCKER: readonly CommandName[] = ["get_settings", "set_settings", "about", "doctor", "keys_status", "protect_keys", "rotate_key"];

export class FakeHost implements Host {
  readonly kind = "fake";
  readonly scene: string;
  readonly #world: World;
  readonly #commands: Handlers;
  readonly #latency: number;

  constructor(scene: string, latency = 40) {
    this.scene = scene;
    this.#latency = latency;
    this.#world = new World(scene);
    this.#commands = commands(this.#world);
    stage(this.#world);
  }

  async call<C extends CommandName>(name: C, request: Request<C>): Promise<Response<C>> {
    planted()?.calls.push({ name, request });
    await new Promise((done) => setTimeout(done, this.#latency));
    if (this.scene === "loading" && !WITHOUT_ENGINE.includes(name)) return new Promise(() => undefined);
    if (this.scene === "error" && !WITHOUT_DOCKER.includes(name)) {
      throw new HostError("docker_unavailable", "Docker does not answer on /var/run/docker.sock: connection refused.", ["Start Docker, then try again.", "On Linux: sudo systemctl start docker"]);
    }
    this.#world.keys.admit(name);
    return structuredClone(await this.#commands[name](request)) as Response<C>;
  }

  events(run: string | null, since: number, sink: Sink<Event>): Stream {
    const { events, followers } = this.#world;
    const filtered: Sink<Event> = { ...sink, item: (e) => { if (run === null || e.run === run) sink.item(e); } };
    sink.state?.(["error", "lost"].includes(this.scene) ? "reconnecting" : "live");
    for (const e of events) if (e.seq > since) filtered.item(e);
    followers.add(filtered);
    return { close: () => void followers.delete(filtered) };
  }

  telemetry(run: string, sink: Sink<Telemetry>): Stream {
    sink.state?.("live");
    const timer = setInterval(() => {
      const found = this.#world.runs.get(run);
      if (found?.summary.state === "ready" && this.scene !== "texts") sink.item(found.telemetry());
    }, 1000);
    return { close: () => clearInterval(timer) };
  }

  terminal(id: string, from: number, sink: TerminalSink): TerminalStream {
    const terminal = this.#world.terminals.get(id);
    if (!terminal) {
      sink.closed("There is no such terminal.");
      return { write: () => false, close: () => undefined };
    }
    const detach = terminal.attach(from, sink);
    const write = (bytes: Uint8Array) => {
      planted()?.typed.push(new TextDecoder("latin1").decode(bytes));
      if (this.scene !== "texts") terminal.input(bytes);
      return true;
    };
    return { write, close: detach };
  }
}
