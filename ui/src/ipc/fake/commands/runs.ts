/** Commands about a run: its life, its nodes, its checks, its terminals and ports. */
import type { JobInfo, RunState } from "../../../gen/api";
import { HostError } from "../../host";
import { quick } from "../isolation";
import { planted } from "../planted";
import { FakeTerminal } from "../terminal";
import { missing, type World } from "../world";
import type { Handlers } from "./handlers";

const over = (state: RunState) => state === "stopped" || state === "failed";

export const runs = (w: World) => ({
  start_lab: ({ lab, request_id, seed }) => {
    const same = [...w.runs.values()].find((r) => request_id !== null && r.summary.request_id === request_id);
    if (same) return same.current();
    if (seed === "denied") {
      const reasons = ["The lab needs 7168 MiB of memory; with those that are alive that would be 7808 of the 6144 MiB allowed here."];
      throw new HostError("denied", `This lab may not be started: ${reasons.join(" ")}`, [], { reasons, gates: ["quota"], decisions: [10] });
    }
    const run = w.add(lab, request_id ?? "made", seed ?? "5d03be");
    void run.launch();
    return run.current();
  },
  list_runs: ({ all }) => [...w.runs.values()].map((r) => r.current()).filter((r) => all || !over(r.state)),
  get_run: ({ run }) => w.run(run).detail(),
  stop_run: ({ run }) => {
    const found = w.run(run);
    if (over(found.summary.state)) return { stopped: [], cleared: [], already: [run], ms: 2 };
    found.lab.summary.active_run = null;
    found.state("stopped", "The lab was stopped");
    return { stopped: [run], cleared: [], already: [], ms: 310 };
  },
  stop_all: () => ({ cleared: [], already: [], stopped: [...w.runs.values()].filter((r) => !over(r.summary.state)).map((r) => { r.lab.summary.active_run = null; r.state("stopped", "Stopped"); return r.summary.run; }), ms: 400 }),
  pause_run: ({ run }) => { const r = w.run(run); r.state("paused", "Paused"); return r.current(); },
  resume_run: ({ run }) => { const r = w.run(run); r.state("ready", "Resumed"); return r.current(); },
  extend_run: ({ run, minutes }) => { const r = w.run(run); if (r.summary.deadline !== null) r.summary.deadline += minutes * 60_000; r.state(r.summary.state, `${minutes} minutes more`); return r.current(); },
  restart_node: ({ run, node }) => {
    const found = w.run(run).lab.topology.nodes.find((n) => n.name === node);
    if (!found) throw new HostError("unknown_node", `There is no node “${node}”.`);
    found.state = "rewiring";
    w.emit("node.state", run, `${node} restarts`, { node, state: "rewiring" });
    setTimeout(() => { found.state = "running"; w.emit("node.state", run, `${node} is wired again`, { node, state: "running" }); }, 900);
    return {};
  },
  probe_isolation: async ({ run, full }) => {
    const found = w.run(run);
    if (found.summary.state !== "ready") throw new HostError("wrong_state", `Run ${run} is ${found.summary.state}.`, ["Resume it first."]);
    if (!full) return quick();
    const job: JobInfo = { job: `job-${++w.made}`, kind: "isolation", steps: [], done: false, error: null };
    w.jobs.set(job.job, job);
    w.proved = run;
    await found.prove(job, () => !job.done);
    if (job.error) throw new HostError("cancelled", job.error.message);
    job.done = true;
    w.emit("job.done", run, "The isolation is proven", { job: job.job, error: null });
    return found.rows();
  },
  check_run: ({ run }) => w.run(run).check(),
  watch_run: () => ({}),
  reveal_hint: ({ run, hint }) => {
    const found = w.run(run).hints.find((h) => h.id === hint);
    if (!found) throw missing("such hint");
    found.text = "Look at what the neighbour says about itself, not only at your own side.";
    w.emit("hint.revealed", run, `Hint for ${found.criterion}`, { hint });
    return found;
  },
  solve_run: () => Promise.reject(new HostError("denied", "“solve_run” is for instructors.")),
  open_terminal: ({ run, node, cols, rows }) => {
    const info = { id: `t${++w.made}`, run, node, cols, rows, open: true, from: 0, next: 0 };
    w.run(run).terminals.push(info);
    w.terminals.set(info.id, new FakeTerminal(info, planted()?.output));
    w.emit("terminal.opened", run, `Terminal on ${node}`, { id: info.id });
    return info;
  },
  list_terminals: ({ run }) => w.run(run).terminals,
  resize_terminal: () => ({}),
  close_terminal: ({ id }) => {
    const found = w.terminals.get(id);
    if (!found) throw missing("such terminal");
    found.close();
    return {};
  },
  forward_port: ({ run, node, port }) => {
    const forward = { id: `f${++w.made}`, run, node, port, local: `127.0.0.1:${49000 + w.made}`, url: `http://127.0.0.1:${49000 + w.made}/`, connections: 0 };
    w.run(run).forwards.push(forward);
    w.emit("forward.opened", run, `${node}:${port} on ${forward.local}`, forward);
    return forward;
  },
  list_forwards: ({ run }) => w.run(run).forwards,
  close_forward: ({ id }) => {
    for (const r of w.runs.values()) {
      const at = r.forwards.findIndex((f) => f.id === id);
      if (at < 0) continue;
      r.forwards.splice(at, 1);
      w.emit("forward.closed", r.summary.run, "A port was closed", { id });
    }
    return {};
  },
  list_events: ({ run, since, limit }) => w.events.filter((e) => e.seq > since && (run === null || e.run === run)).slice(-(limit ?? 1000)),
}) satisfies Partial<Handlers>;
