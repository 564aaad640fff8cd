/** A scoreboard that one may enrol at; the first results are accepted, one waits, one was refused. */
import type { BoardBefore, EnrolBoard, ResultSummary, ResultSync, SyncPreview, SyncReport, SyncStatus } from "../../gen/api";
import { HostError } from "../host";

const URL = "https://board.example";
const hex = (letter: string) => letter.repeat(64);

export class FakeSync {
  #on: boolean;
  #url = URL;
  #name = "Mara";
  #sent = new Set<string>();
  #left: BoardBefore | null = null;

  readonly #instructor: boolean;

  constructor(on: boolean, instructor = false) {
    this.#on = on;
    this.#instructor = instructor;
  }

  get on(): boolean {
    return this.#on;
  }

  status(results: readonly ResultSummary[]): SyncStatus {
    const rows = results.map((r, i) => this.#row(r, i));
    const count = (state: ResultSync["state"]) => rows.filter((r) => r.state === state).length;
    const waits = rows.find((r) => r.state === "pending");
    return {
      board: this.#on ? { url: this.#url, name: this.#name, class: "Networks 1", instructor: this.#instructor, board_key: "5c2f1e07aa9b4d10", key_id: "9f2c41d07be8", enrolled_at: Date.now() - 8 * 86_400_000, ahead_ms: 240, own_ca: false, token: true } : null,
      before: this.#on || this.#left === null ? [] : [this.#left],
      accepted: count("accepted"), pending: count("pending"), refused: count("refused"), next_at: waits?.at ?? null,
      last_at: this.#on ? Date.now() - 240_000 : null, last_error: waits ? "The scoreboard cannot be reached: Connection refused." : "", results: rows,
    };
  }

  #row(r: ResultSummary, i: number): ResultSync {
    const row: ResultSync = { result: r.id, state: "off", tier: null, url: null, at: null, attempts: 0, code: null, why: "", receipt: null };
    if (!this.#on) return row;
    if (i === 0 && !this.#sent.has(r.id)) return { ...row, state: "pending", at: Date.now() + 420_000, attempts: 3, why: "unreachable: The scoreboard cannot be reached: Connection refused." };
    if (i === 2) return { ...row, state: "refused", at: r.at + 9000, code: "run_exists", why: "This run has another verdict here." };
    return { ...row, state: "accepted", tier: "re-graded", url: `${this.#url}/v1/verdicts/${r.id}`, at: r.at + 4000, receipt: `{"body":{"verdict":"${r.id}"},"key_id":"5c2f1e07aa9b4d10","signature":"${hex("a")}"}` };
  }

  enrol(request: EnrolBoard): void {
    if (!request.code && request.url !== this.#left?.url) throw new HostError("invalid_input", "This laptop is not enrolled at this scoreboard with the key that it has now, so a code is needed.", [`Ask your instructor for one, then: forge enrol ${request.url} CODE`]);
    this.#on = true;
    this.#url = request.url;
    this.#name = request.code ? request.name || "Learner 9f2c41" : (this.#left?.name ?? "");
  }

  leave(): void {
    if (this.#on) this.#left = { url: this.#url, name: this.#name, class: "Networks 1" };
    this.#on = false;
  }

  send(results: readonly ResultSummary[]): SyncReport {
    const accepted = results.slice(0, 1).filter((r) => !this.#sent.has(r.id));
    for (const r of accepted) this.#sent.add(r.id);
    return { accepted: accepted.length, pending: 0, refused: 0, raised: [], error: null };
  }

  preview(results: readonly ResultSummary[]): SyncPreview {
    const verdicts = results.slice(0, 1).filter((r) => !this.#sent.has(r.id)).map((r) => ({
      result: r.id, lab_title: r.lab_title, statement: `{"_type":"https://in-toto.io/Statement/v1","predicate":{"forge":{"lab":"${r.lab}","run":"${r.run}"}}}`, problem: "",
      requests: [{ method: "POST", path: "/v1/verdicts", token: false, parts: [{ name: "envelope", bytes: 3120, sha256: hex("1") }, { name: "score", bytes: 880, sha256: hex("2") }, { name: "evidence", bytes: 41_822, sha256: hex("3") }] }],
      entries: [{ path: "audit.json", kind: "audit", bytes: 20_411 }, { path: "observations.json", kind: "observations", bytes: 9214 }, { path: "scenario.json", kind: "scenario", bytes: 12_004 }],
    }));
    return { url: this.#on ? this.#url : null, verdicts, more: 0 };
  }
}
