/** Commands about what was submitted. */
import { HostError } from "../../host";
import { chart, makeResults, openssl } from "../data";
import { isolated } from "../isolation";
import { missing, type World } from "../world";
import type { Handlers } from "./handlers";

export const results = (w: World) => ({
  submit_run: ({ run }) => {
    const r = w.run(run);
    const report = r.summary.last_check ?? r.check();
    const first = makeResults(Date.now())[0];
    if (!first) throw missing("result");
    const result = { ...first, id: `${run}${"0".repeat(54)}`, run, lab: r.summary.lab, lab_title: r.summary.lab_title, track: r.summary.track, at: Date.now(), score: report.score, max: report.max };
    w.results = [result, ...w.results];
    r.results.push(result.id);
    w.emit("submit.done", run, `Submitted: ${report.score / 1000} of ${report.max / 1000}`, { id: result.id });
    return { id: result.id, dir: result.dir, score: result.score, max: result.max, key_id: result.key_id, result };
  },
  reexecute: ({ verdict, report }) => {
    const result = w.results.find((r) => r.id === verdict || r.run === verdict || r.dir === verdict);
    if (!result) return Promise.reject(new HostError("not_found", `There is no verdict “${verdict}” here.`));
    return { verdict: result.id, lab: result.lab, seed: "5eed".repeat(8), score: result.score, max: result.max, criteria: [], agrees: true, tier: "re-executed", reported: report, statement: "{}", ms: 48_000 };
  },
  list_results: () => w.results,
  get_result: ({ id, dark }) => {
    const summary = w.result(id);
    const lab = w.labs.find((l) => l.summary.id === summary.lab);
    let left = summary.score;
    const criteria = (lab?.criteria ?? []).map((c, i) => {
      const max = c.weight * 1000;
      const pass = left >= max;
      if (pass) left -= max;
      const e = lab?.expected[i];
      return { id: c.id, title: c.title, outcome: pass ? "pass" as const : "fail" as const, expected: e?.expected ?? "", seen: pass ? e?.expected ?? "" : e?.seen ?? "", advice: pass ? "" : e?.advice ?? "", points: pass ? max : 0, max, ms: 30 + i * 17 };
    });
    return {
      summary, criteria, openssl, score_chart_svg: chart(w.results.filter((r) => r.lab === summary.lab).map((r) => r.score / 1000).reverse(), "Score, this lab", dark),
      verified: verify(summary.id), isolation: { ...isolated(true), at: summary.at },
    };
  },
  verify_result: () => verify("0"),
  export_report: ({ id }) => ({ path: `${w.result(id).dir}/report.html`, bytes: 48_211 }),
  history: ({ dark }) => ({
    results: w.results,
    scores_svg: chart(w.results.map((r) => r.score / 1000).reverse(), "Score in points", dark),
    times_svg: chart(w.results.map((r) => r.duration_ms / 60_000).reverse(), "Time in minutes", dark),
  }),
}) satisfies Partial<Handlers>;

function verify(id: string) {
  const check = (name: string, detail: string) => ({ name, ok: true, detail });
  return {
    ok: true, key_id: "SHA256:9f2c41d07be8", verdict_id: id, tier: "self-attested" as const,
    checks: [check("Envelope", "one signature, Ed25519, strict"), check("score.json", "canonical, digest as signed"), check("evidence.tar.zst", "41 files, digests as signed"), check("Audit checkpoint", "entry 318, consistent")],
  };
}
