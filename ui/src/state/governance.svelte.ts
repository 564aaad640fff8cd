/** Decisions page by page, one of them in detail, the gates, a question of one's own, and the audit log. */
import type { AuditEntry, AuditReport, Decision, DecisionDetail, DecisionPage, GateAnswer, Gates, AuditPage } from "../gen/api";
import { HostError } from "../ipc/host";
import { Resource } from "./resource.svelte";
import { session } from "./session.svelte";

const PAGE = 50;

/** Newest first; `older` adds a page to what is shown. */
class Pages<T, P extends { next: number | null }> {
  readonly first: Resource<P>;
  rest = $state.raw<readonly T[]>([]);
  next = $state<number | null>(null);
  loading = $state(false);
  error = $state.raw<HostError | null>(null);
  readonly #read: (before: number | null) => Promise<P>;
  readonly #items: (page: P) => readonly T[];
  #turn = 0;

  constructor(read: (before: number | null) => Promise<P>, items: (page: P) => readonly T[]) {
    this.#read = read;
    this.#items = items;
    this.first = new Resource<P>(() => read(null));
  }

  get list(): readonly T[] {
    return this.first.value ? [...this.#items(this.first.value), ...this.rest] : [];
  }

  async load(): Promise<void> {
    this.#turn += 1;
    await this.first.load();
    this.rest = [];
    this.error = null;
    this.next = this.first.value?.next ?? null;
  }

  async older(): Promise<void> {
    const turn = this.#turn;
    if (this.next === null || this.loading) return;
    this.loading = true;
    try {
      const page = await this.#read(this.next);
      if (turn !== this.#turn) return;
      this.rest = [...this.rest, ...this.#items(page)];
      this.next = page.next;
      this.error = null;
    } catch (error) {
      this.error = HostError.from(error);
    } finally {
      this.loading = false;
    }
  }
}

class Governance {
  readonly gates = new Resource<Gates>(() => session.call("list_gates", {}));

  filter = $state.raw<{ gate: string | null; allow: boolean | null; run: string | null }>({ gate: null, allow: null, run: null });
  readonly decisions = new Pages<Decision, DecisionPage>(
    (before) => session.call("list_decisions", { ...this.filter, before, limit: PAGE }),
    (page) => page.decisions,
  );
  #id = 0;
  readonly detail = new Resource<DecisionDetail>(() => session.call("get_decision", { id: this.#id }));

  /** What stands in the try-it pane, by gate; kept while one looks around. */
  questions = $state.raw<Readonly<Record<string, string>>>({});
  answers = $state.raw<Readonly<Record<string, { asked: string; answer: GateAnswer | null; error: HostError | null }>>>({});
  asking = $state(false);

  kind = $state("");
  readonly log = new Pages<AuditEntry, AuditPage>(
    (before) => session.call("list_audit", { kind: this.kind === "" ? null : this.kind, run: null, before, limit: PAGE }),
    (page) => page.entries,
  );
  readonly report = new Resource<AuditReport>(() => session.call("verify_audit", {}));

  show(filter: Partial<Governance["filter"]>): void {
    this.filter = { ...this.filter, ...filter };
    void this.decisions.load();
  }

  open(id: number): void {
    if (id === this.#id && this.detail.value) return;
    this.#id = id;
    this.detail.value = null;
    this.detail.error = null;
    void this.detail.load();
  }

  question(gate: string): string {
    const example = this.gates.value?.gates.find((g) => g.name === gate)?.example;
    return this.questions[gate] ?? (example === undefined ? "" : JSON.stringify(example, null, 2));
  }

  /** Null goes back to the example. */
  write(gate: string, text: string | null): void {
    const others = Object.entries(this.questions).filter(([name]) => name !== gate);
    this.questions = Object.fromEntries(text === null ? others : [...others, [gate, text]]);
  }

  /** `text` is JSON; the caller has looked. */
  async ask(gate: string, text: string): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    let answer: GateAnswer | null = null;
    let error: HostError | null = null;
    try {
      answer = await session.call("try_gate", { gate, input: JSON.parse(text) as unknown });
    } catch (cause) {
      error = HostError.from(cause);
    }
    this.asking = false;
    this.answers = { ...this.answers, [gate]: { asked: text, answer, error } };
  }

  pick(kind: string): void {
    this.kind = kind;
    void this.log.load();
  }
}

export const governance = new Governance();
