/** Commands about this machine, the library and the images. */
import { HostError } from "../../host";
import { doctor } from "../doctor";
import { missing, type World } from "../world";
import type { Handlers } from "./handlers";

export const library = (w: World) => ({
  about: () => ({ version: "0.1.0", home: "/home/ada/.local/share/forge", key_id: "SHA256:9f2c41d07be8", keys: w.keys.kept, docker: w.scene === "error" ? null : "20.10.24", platform: "linux x86_64", shell: "serve" }),
  doctor: () => ({ ready: w.scene !== "error", rows: doctor(w) }),
  list_labs: () => w.labs.map((l) => l.summary),
  get_lab: ({ lab }) => {
    const found = w.labs.find((l) => l.summary.id === lab);
    if (!found) throw new HostError("unknown_lab", `There is no lab named “${lab}”.`, ["It may have been renamed; look in the library."]);
    return {
      lab: found.summary, topology: found.topology, criteria: found.criteria, expected_seconds: 2.4, history: w.results.filter((r) => r.lab === lab),
      requirements: [
        { title: "Docker", met: true, detail: "20.10.24" }, { title: "Memory", met: true, detail: "needs 480 MiB, 22 GiB free" },
        { title: "Images", met: found.summary.ready, detail: found.summary.ready ? "all prepared" : "forge/tools is not prepared yet" },
      ],
    };
  },
  list_images: () => w.images,
  prepare_images: ({ images }) => {
    void w.build(images.length ? images : w.images.filter((i) => !i.ready).map((i) => i.name));
    return { job: `job-${w.made}` };
  },
  get_job: ({ job }) => w.jobs.get(job) ?? Promise.reject(missing("such job")),
  list_jobs: () => [...w.jobs.values()],
  cancel_job: ({ job }) => {
    const found = w.jobs.get(job);
    if (!found) throw missing("such job");
    for (const s of found.steps) if (s.state === "running") s.state = "failed";
    Object.assign(found, { done: true, error: { code: "cancelled", message: "Cancelled as asked; nothing was left behind.", hints: [], details: null } });
    const proof = found.kind === "isolation";
    w.emit("job.done", proof ? w.proved : null, "Cancelled as asked", { job, error: found.error });
    return {};
  },
  pin_lab: ({ lab }) => ({ lab, version: "1.0.0", digest: "00", new: true, key_id: "00" }),
  list_egress: () => w.profiles,
  approve_egress: ({ text }) => {
    const name = /^name: (\S+)$/m.exec(text)?.[1] ?? "custom";
    const profile = { name, title: name, built_in: false, digest: "c0ffee".repeat(10), allow: [], problem: "" };
    w.profiles.push(profile);
    return profile;
  },
}) satisfies Partial<Handlers>;
