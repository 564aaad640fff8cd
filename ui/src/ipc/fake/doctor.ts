/** What the doctor finds on the machine of a scene. */
import type { DoctorRow, Health } from "../../gen/api";
import type { World } from "./world";

export function doctor(w: World): DoctorRow[] {
  const gone = w.scene === "error";
  const row = (id: string, title: string, state: Health, detail: string, why: string, fix: DoctorRow["fix"] = null): DoctorRow => ({ id, title, state, detail, why, fix });
  return [
    gone ? row("docker", "Docker", "fail", "Nothing answers on /var/run/docker.sock.", "Labs run in Docker containers.", { kind: "shell", label: "Start Docker", command: "sudo systemctl start docker" })
      : row("docker", "Docker", "ok", "Docker Engine 20.10.24, overlay2, 2 CPUs", "Labs run in Docker containers."),
    row("memory", "Memory", "ok", "22.1 GiB free of 23.5 GiB", "The largest lab needs 1.2 GiB."),
    row("disk", "Disk space", "ok", "61 GiB free", "Images take about 600 MiB."),
    row("veth", "Network links (veth, bridge)", "ok", "Kernel 6.1: present", "Each link of a lab is a veth pair."),
    w.scene === "well" ? row("netem", "Delay and loss (sch_netem)", "ok", "Kernel 6.1: present", "Labs with slow or lossy links need it.") : row("netem", "Delay and loss (sch_netem)", "warn", "The kernel has no sch_netem module.", "Labs with slow or lossy links use a user-space variant instead.", { kind: "shell", label: "Install the module", command: "sudo apt-get install linux-modules-extra-$(uname -r)" }),
    row("images", "Lab images", w.images.every((i) => i.ready) ? "ok" : "warn", `${w.images.filter((i) => i.ready).length} of ${w.images.length} prepared`, "A lab starts in seconds when its images are here.", { kind: "call", label: "Prepare images", command: "prepare_images", args: { images: [] } }),
    row("keys", "Signing key", w.keys.kept.warning ? "warn" : "ok", w.keys.kept.warning ?? w.keys.kept.told, "Your key signs your verdicts: it proves where they come from.", w.keys.kept.command ? { kind: "shell", label: "Keep the keys better", command: "forge keys protect --passphrase" } : null),
  ];
}
