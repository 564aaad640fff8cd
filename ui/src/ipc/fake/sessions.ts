/**
 * Class sessions in memory. `teach`: an instructor's class that works; `teach-new`: nobody has joined; `teach-crowd`: a class of sixty in
 * four labs; `teach-again`: verdicts in every state of being executed again; `teach-away`: the scoreboard stops answering; `class`: a learner within one; `class-frozen`: and it is frozen;
 * `class-clock`: a learner whose clock is wrong.
 */
import type { BoardLab, CreateSession, LabAttempts, LiveBoard, LiveCell, LiveRow, OutcomeKind, ReexecutionJob, RunSession, SessionInfo, SessionList, SessionMessage, TrustTier } from "../../gen/api";
import { HostError } from "../host";
import type { FakeLab } from "./data";

export const SESSION = "0198c2a4-aaaa-7000-8000-0123456789ab";
const NAMES = ["Mara Lindqvist", "Jonas Weber", "Amara Okafor", "Tomás Herrera", "Yuki Tanaka", "Priya Raman", "Elif Demir", "Noah Becker", "Sofia Rossi", "Liam O’Connor", "Chen Wei", "Fatima Zahra", "Ivan Petrov", "Ngozi Eze", "Hana Novák", "Oskar Nilsson", "Leila Haddad", "Mateo Silva"];
const BOUND = new Set(["dns-zone-reverse", "ssh-hardening"]);
/** Of the second learner and those after, where every state is shown, in the lab that can be executed again. */
const STATES: readonly Partial<ReexecutionJob>[] = [
  { state: "queued" },
  { state: "running", tries: 1 },
  { state: "queued", tries: 1, why: "The worker was not heard of any more." },
  { state: "failed", tries: 3, why: "Run k3v9q2x7a0 was not ready after 120 s." },
  { state: "refused", tries: 1, why: "OSPF in a single area cannot be executed again: its template does not say what of an answer belongs to the seed." },
  { state: "done", tries: 1, agrees: false },
  { state: "done", tries: 1, agrees: true },
];
/** As the engine says it. */
const CLOCK = "This machine’s clock is 47 min ahead of the scoreboard’s: a run begun with it does not count for the session. Set it right, and start the lab again.";
const away = () => new HostError("scoreboard_failed", "The scoreboard cannot be reached: Connection refused.", ["Check the network, and whether the scoreboard runs; then try again."], { code: "unreachable" });

export class FakeSessions {
  readonly #scene: string;
  /** Of a class whose every word is given: names, messages, questions. */
  readonly #texts: readonly string[];
  readonly #labs: readonly FakeLab[];
  readonly #made: SessionInfo[] = [];
  #messages: SessionMessage[] = [];
  #asked = 0;
  readonly #jobs = new Map<string, ReexecutionJob>();
  readonly instructor: boolean;

  constructor(scene: string, labs: readonly FakeLab[], texts: readonly string[] = []) {
    this.#texts = texts;
    this.#scene = scene;
    this.#labs = labs;
    this.instructor = scene.startsWith("teach") || scene === "texts";
    const ids = labs.slice(0, scene === "teach-crowd" ? 4 : 2).map((l) => l.summary.id);
    if (scene === "teach-empty") return;
    if (scene === "texts") {
      this.#made.push(this.#info(SESSION, texts[0] ?? "", labs.slice(0, 6).map((l) => l.summary.id)));
      this.#messages = texts.map((text, i) => ({ seq: i + 1, at: Date.now(), text, learner: i % 2 ? `learner-${i}` : null }));
      return;
    }
    if (this.instructor || scene.startsWith("class")) {
      this.#made.push(this.#info(SESSION, "Monday, first hour", ids, { minutes: 41, hints: !scene.startsWith("class"), frozen: scene === "class-frozen" }));
      this.#made.push(this.#info("0198c2a4-bbbb-7000-8000-0123456789ab", "Friday: routing", ids.slice(0, 1), { minutes: -4300, shared_seed: true, hints: true }));
      if (scene !== "teach-new") this.#messages = [{ seq: 1, at: Date.now() - 480_000, text: "Start with the addresses, then the routes. The guide’s second page has the plan.", learner: null }];
      if (scene !== "teach-new") this.#messages.push({ seq: 2, at: Date.now() - 95_000, text: "Look at both ends of the link before you change anything: show ip ospf interface.", learner: null });
    }
  }

  #info(id: string, title: string, labs: string[], more: Partial<CreateSession> & { frozen?: boolean } = {}): SessionInfo {
    const { minutes = 90, hints = false, attempts = 3, shared_seed = false, frozen = false } = more;
    return { id, class: "Networks 1", title, labs, shared_seed, hints, attempts, deadline: Date.now() + minutes * 60_000, remaining_ms: minutes * 60_000, grace_minutes: 15, frozen, join_code: this.instructor ? "K7QM-3XWP" : null };
  }

  #now(s: SessionInfo): SessionInfo {
    return { ...s, remaining_ms: s.deadline - Date.now() };
  }

  get(id: string): SessionInfo {
    const found = this.#made.find((s) => s.id === id);
    if (!found) throw new HostError("scoreboard_failed", "There is no such session here.", [], { code: "not_found" });
    return this.#now(found);
  }

  list(enrolled: boolean): SessionList {
    const trouble = this.#scene === "teach-away" ? { code: "unreachable", message: away().message } : null;
    return { enrolled, instructor: this.instructor, sessions: this.#made.map((s) => this.#now(s)), trouble };
  }

  create(request: CreateSession): SessionInfo {
    const made = this.#info(`0198c2a4-cccc-7000-8000-00000000000${this.#made.length}`, request.title, request.labs, request);
    this.#made.unshift(made);
    return made;
  }

  join(code: string): SessionInfo {
    if (code.replace("-", "").length !== 8) throw new HostError("scoreboard_failed", "There is no session with this code.", [], { code: "code_unknown" });
    const joined = this.#info(SESSION, "Monday, first hour", this.#labs.slice(0, 2).map((l) => l.summary.id), { minutes: 41 });
    this.#made.unshift(joined);
    return joined;
  }

  freeze(id: string, frozen: boolean): SessionInfo {
    const found = this.#made.find((s) => s.id === id);
    if (found) found.frozen = frozen;
    return this.get(id);
  }

  say(text: string, learner: string | null): SessionMessage {
    const message = { seq: this.#messages.length + 1, at: Date.now(), text, learner };
    this.#messages.push(message);
    return message;
  }

  jobs(): ReexecutionJob[] {
    return [...this.#jobs.values()];
  }

  /** One verdict, one job; one that failed is queued again. */
  again(verdict: string, more: Partial<ReexecutionJob> = {}): ReexecutionJob {
    const known = this.#jobs.get(verdict);
    if (known && known.state !== "failed") return known;
    const job: ReexecutionJob = { verdict, lab: this.#labs[0]?.summary.id ?? "", state: "queued", asked_at: Date.now(), ended_at: null, tries: 0, agrees: null, why: "", ...more };
    this.#jobs.set(verdict, job);
    return job;
  }

  /** The worker: with each look at the board a job that was asked for here comes a step further. */
  #work(): void {
    for (const job of this.#jobs.values()) {
      if (job.asked_at === 0) continue;
      if (job.state === "running") Object.assign(job, { state: "done", agrees: true, ended_at: Date.now() });
      else if (job.state === "queued" && job.tries > 0) job.state = "running";
      else if (job.state === "queued") job.tries = 1;
    }
  }

  ofRun(lab: string): RunSession {
    const own = this.#made[0];
    const words = this.#labs.find((l) => l.summary.id === lab)?.summary.title ?? lab;
    if (this.#scene === "texts" && own) return { session: { ...this.#now(own), title: words }, attempt: 1, messages: [{ seq: 1, at: Date.now(), text: words.slice(0, 500), learner: null }], trouble: words, clock: words };
    const session = this.#scene.startsWith("class") ? this.#made.find((s) => s.labs.includes(lab)) : undefined;
    return session ? { session: this.#now(session), attempt: 1, messages: this.#messages, trouble: "", clock: this.#scene === "class-clock" ? CLOCK : "" } : { session: null, attempt: 0, messages: [], trouble: "", clock: "" };
  }

  said(id: string): SessionMessage[] {
    return id === this.#made[0]?.id ? this.#messages : [];
  }

  /** The first lab was submitted once and runs still; the second one was not begun. */
  attempts(id: string): LabAttempts[] {
    const own = this.#made.find((s) => s.id === id);
    return (own?.labs ?? []).map((lab, at) => {
      const max = (this.#labs.find((l) => l.summary.id === lab)?.criteria.length ?? 0) * 10_000;
      const once = at === 0 && this.#scene.startsWith("class");
      return { lab, run: once ? "k3v9q2x7a0" : null, submitted: once, answered: once ? 1 : 0, best: once ? "a".repeat(64) : null, score: once ? max - 10_000 : 0, max: once ? max : 0, late: false };
    });
  }

  /** Nothing happens here by itself, so a board that was seen is answered as one whose scoreboard does not tell: after a while. */
  async board(id: string, seen: number | null): Promise<LiveBoard> {
    if (seen !== null) await new Promise((done) => setTimeout(done, 2000));
    return this.#board(id);
  }

  #board(id: string): LiveBoard {
    if (this.#scene === "teach-away" && this.#asked++ > 0) throw away();
    const session = this.get(id);
    this.#work();
    const labs: BoardLab[] = session.labs.map((lab) => {
      const found = this.#labs.find((l) => l.summary.id === lab);
      return { id: lab, title: found?.summary.title ?? lab, criteria: Object.fromEntries((found?.criteria ?? []).map((c) => [c.id, c.title])), seed_bound: BOUND.has(lab) ? "Its zones are named by the seed, and so are the answers." : null };
    });
    const crowd = this.#scene === "teach-crowd";
    const none = this.#scene === "teach-new" || id !== SESSION;
    const names = this.#scene === "texts" ? this.#texts : none ? [] : crowd ? Array.from({ length: 60 }, (_, i) => `${NAMES[i % NAMES.length] ?? ""} ${1 + Math.floor(i / NAMES.length)}`) : NAMES;
    const rows = names.map((name, i) => this.#row(name, i, labs));
    rows.sort((a, b) => b.verified - a.verified || b.points - a.points || a.name.localeCompare(b.name));
    const red = labs.flatMap((l, at) => Object.entries(l.criteria).slice(0, 3).map(([criterion, title], i) => ({ lab: l.id, criterion, title, learners: Math.max(1, 9 - 3 * i - 3 * at), of: 12 - 3 * at })));
    const questions = none ? [] : ["Jonas Weber and Chen Wei gave the same answers in OSPF in a single area, under different seeds. How?", "Yuki Tanaka solved A DNS zone and its reverse in 1 min 14 s; it is meant to take 25 min. Had they done it before?"];
    if (this.#scene === "texts") return { session, labs, rows, red, questions: [...this.#texts], messages: this.#messages, at: Date.now(), turn: 1 };
    return { session, labs, rows, red: none ? [] : red.sort((a, b) => b.learners - a.learners), questions, messages: this.#messages, at: Date.now(), turn: 1 };
  }

  #row(name: string, i: number, labs: readonly BoardLab[]): LiveRow {
    const cells = labs.map((lab, at) => this.#cell(lab, at, i));
    return {
      learner: `learner-${i}`, name, labs: cells, points: cells.reduce((sum, c) => sum + c.score, 0), verified: cells.filter((c) => c.in_time).reduce((sum, c) => sum + c.score, 0),
      max: cells.reduce((sum, c) => sum + c.max, 0), hints: i % 5 === 3 ? 2 : 0, at: Date.now() - 4000 * i, quiet: i === 7,
    };
  }

  /** The first lab is done by some, the second has been begun by few. */
  #cell(lab: BoardLab, at: number, i: number): LiveCell {
    const ids = Object.keys(lab.criteria);
    const max = ids.length * 10_000;
    const none: LiveCell = { lab: lab.id, state: "not_started", score: 0, max: 0, outcomes: {}, tier: null, in_time: false, verdict: null, job: null };
    const verdict = `${i}${at}`.padStart(64, "a");
    if (this.#scene === "teach-again" && i <= STATES.length && (at === 1 || i === 0)) {
      const state = at === 1 ? STATES[i - 1] : undefined;
      if (state && !this.#jobs.has(verdict)) this.again(verdict, { asked_at: 0, ...state });
      return { ...none, state: "submitted", max, score: max, in_time: true, verdict, ...this.#stands(verdict, "re-graded") };
    }
    if (at > 0 && i % 4 !== 0) return none;
    if (at === 0 && i === 16) return none;
    if (at === 0 && i % 4 === 0) return { ...none, state: "submitted", max, score: i === 8 ? max / 2 : max - 5000 * (i % 3), in_time: i !== 12, verdict, ...this.#stands(verdict, i === 4 ? "instructor-seeded" : "re-graded") };
    const passed = (i * 7 + at) % (ids.length + 1);
    const outcomes = Object.fromEntries(ids.map((id, n): [string, OutcomeKind] => [id, n < passed ? "pass" : "fail"]));
    const state = i === 5 ? "paused" : i === 11 ? "starting" : i === 13 ? "stopped" : "working";
    return { ...none, state, max, score: passed * 10_000, outcomes };
  }

  #stands(verdict: string, tier: TrustTier): Pick<LiveCell, "tier" | "job"> {
    const job = this.#jobs.get(verdict) ?? null;
    return { tier: job?.state === "done" && job.agrees ? "re-executed" : tier, job: job && { ...job } };
  }
}
