/** Class sessions: the list, one live board that is open, and what can be done about them. */
import type { CreateSession, LabAttempts, LiveBoard, SessionExport, SessionInfo, SessionList, SessionMessage } from "../gen/api";
import { HostError } from "../ipc/host";
import { AGAIN, BOARD, SESSIONS } from "../words/sessions";
import { events } from "./events.svelte";
import { poll } from "./poll";
import { Resource } from "./resource.svelte";
import { router } from "./router.svelte";
import { runs } from "./runs.svelte";
import { session } from "./session.svelte";
import { attempt, toasts } from "./toasts.svelte";

/** A session, and when it ends by this machine's clock. */
export type Timed = SessionInfo & { ends: number };
export const timed = (s: SessionInfo): Timed => ({ ...s, ends: Date.now() + s.remaining_ms });

export interface Sessions {
  told: SessionList;
  list: Timed[];
}

/** What there is to know about the one session that is looked at. */
class OfOne<T> {
  #id = "";
  readonly list: Resource<T[]>;

  constructor(ask: (id: string) => Promise<T[]>) {
    this.list = new Resource(() => ask(this.#id));
  }

  open(id: string): void {
    if (id !== this.#id) this.list.set([]);
    this.#id = id;
    void this.list.load();
  }

  reload(): void {
    if (this.#id !== "") void this.list.load();
  }
}

class State {
  /** What the instructor said. */
  readonly said = new OfOne<SessionMessage>((id) => session.call("session_messages", { session: id }));
  /** How far this learner is with each lab. */
  readonly attempts = new OfOne<LabAttempts>((id) => session.call("session_attempts", { session: id }));
  readonly list = new Resource<Sessions>(async () => {
    const told = await session.call("list_sessions", {});
    return { told, list: told.sessions.map(timed) };
  });
  busy = $state<"create" | "join" | "start" | "say" | "freeze" | "csv" | "report" | null>(null);
  /** The verdict that is being asked to be executed again. */
  asking = $state<string | null>(null);
  /** Where the last export went. */
  written = $state.raw<{ title: string; path: string } | null>(null);

  of(id: string): Timed | null {
    return this.list.value?.list.find((s) => s.id === id) ?? null;
  }

  async create(request: CreateSession): Promise<void> {
    const made = await this.#during("create", () => session.call("create_session", request));
    if (!made) return;
    await this.list.load();
    router.go("sessions", made.id);
  }

  async join(code: string): Promise<boolean> {
    const joined = await this.#during("join", () => session.call("join_session", { code }));
    if (!joined) return false;
    toasts.show("ok", SESSIONS.joined(joined.title));
    await this.list.load();
    router.go("sessions", joined.id);
    return true;
  }

  /** The same challenge is the same run, so that a second click opens the first one's lab. */
  async start(id: string, lab: string): Promise<void> {
    const run = await this.#during("start", async () => session.call("start_lab", await session.call("take_challenge", { session: id, lab })));
    if (!run) return;
    void runs.list.load();
    router.go("lab", run.run);
  }

  /** Resolves to why it could not be sent: that is told where it was written, in a dialog that stays open. */
  async say(id: string, text: string, learner: string | null): Promise<HostError | null> {
    if (this.busy) return null;
    this.busy = "say";
    try {
      await session.call("say_session", { session: id, text, learner });
      toasts.show("ok", BOARD.done);
      return null;
    } catch (error) {
      return HostError.from(error);
    } finally {
      this.busy = null;
    }
  }

  async freeze(id: string, frozen: boolean): Promise<void> {
    const done = await this.#during("freeze", () => session.call("freeze_session", { session: id, frozen }));
    if (done) toasts.show("ok", frozen ? BOARD.frozenDone : BOARD.openDone);
    await this.list.load();
  }

  async export(id: string, kind: SessionExport): Promise<void> {
    const written = await this.#during(kind, () => session.call("export_session", { session: id, kind, path: null }));
    if (written) this.written = { title: kind === "csv" ? BOARD.written : BOARD.reportWritten, path: written.path };
  }

  /** One verdict is one job, so that a second click asks for nothing more. */
  async again(verdict: string): Promise<void> {
    if (this.asking !== null) return;
    this.asking = verdict;
    const job = await attempt(() => session.call("ask_reexecution", { verdict }));
    this.asking = null;
    if (job?.state === "queued") toasts.show("ok", AGAIN.asked, AGAIN.askedText);
  }

  async #during<T>(what: NonNullable<State["busy"]>, action: () => Promise<T>): Promise<T | null> {
    if (this.busy) return null;
    this.busy = what;
    const done = await attempt(action);
    this.busy = null;
    return done;
  }

  /** What an instructor says is shown wherever the window is; in its lab it stays (SessionBar). */
  follow(): void {
    events.on("session.message", (event) => {
      this.said.reload();
      if (router.route.view === "lab" && router.route.id === event.run) return;
      const text = typeof event.data === "object" && event.data !== null && "text" in event.data ? String(event.data.text) : event.text;
      toasts.show("warn", SESSIONS.messages, text);
    });
    for (const kind of ["run.state", "submit.done"]) events.on(kind, () => this.attempts.reload());
    events.on("session.changed", () => void this.list.load());
    events.on("sync.", () => void this.list.load());
  }
}

export const sessions = new State();

/** One live board: while it is shown each question is answered when something happens; keeps what it has while the scoreboard is away. */
export class BoardModel {
  readonly id: string;
  board = $state.raw<LiveBoard | null>(null);
  ends = $state(0);
  /** When `board` was answered, by this machine's clock. */
  at = $state(0);
  error = $state.raw<HostError | null>(null);
  /** The scoreboard knows no such session: trying again would not help. */
  readonly missing = $derived(unknownThere(this.error?.details));
  #turn = 0;

  constructor(id: string) {
    this.id = id;
  }

  /** Made for `$effect(() => model.follow())`. */
  follow(): () => void {
    let seen: number | null = null;
    return poll(
      async () => {
        const answered = await this.load(seen);
        seen = this.board?.turn ?? null;
        return answered;
      },
      { every: 500, longest: 30_000 },
    );
  }

  /** With the turn that was `seen`, the answer is waited for until there is another. */
  async load(seen: number | null = null): Promise<boolean> {
    const turn = ++this.#turn;
    try {
      const board = await session.call("session_board", { session: this.id, seen });
      if (turn !== this.#turn) return true;
      this.board = board;
      this.at = Date.now();
      this.ends = this.at + board.session.remaining_ms;
      this.error = null;
      return true;
    } catch (error) {
      if (turn === this.#turn) this.error = HostError.from(error);
      return false;
    }
  }
}

function unknownThere(details: unknown): boolean {
  return typeof details === "object" && details !== null && "code" in details && details.code === "not_found";
}
