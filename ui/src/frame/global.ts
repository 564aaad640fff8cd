/** Actions that exist in every view. */
import { actions, type Action } from "../state/actions.svelte";
import { doctor } from "../state/doctor.svelte";
import { jobs } from "../state/jobs.svelte";
import { router, type ViewName } from "../state/router.svelte";
import { runs } from "../state/runs.svelte";
import { settings } from "../state/settings.svelte";

const go = (view: ViewName, title: string, keys?: string, also = ""): Action => ({
  id: `go.${view}`, title, group: "Go to", also, ...(keys ? { keys } : {}), run: () => router.go(view),
});

export function globalActions(): Action[] {
  return [
    { id: "palette", title: "Find an action", group: "General", keys: "Mod+K", run: () => (actions.paletteOpen = !actions.paletteOpen) },
    { id: "keys", title: "Show all keys", group: "General", keys: "?", run: () => (actions.keysOpen = true) },
    { id: "theme", title: "Switch between dark and light", group: "General", keys: "Mod+Shift+L", also: "theme colour", run: () => void settings.toggleTheme() },
    go("library", "Library", "G then L", "labs tracks"),
    {
      id: "go.lab", title: "Running lab", group: "Go to", keys: "G then R", also: "resume workspace terminal", enabled: () => runs.alive.length > 0,
      run: () => router.go("lab", runs.alive[0]?.run ?? null),
    },
    go("sessions", "Class sessions", "G then C", "join code class instructor board"),
    go("history", "History", "G then H", "results scores trend"),
    go("images", "Images", "G then I", "prepare build"),
    go("governance", "Governance", "G then P", "policy gates decisions audit why denied"),
    go("doctor", "Doctor", "G then D", "docker machine requirements fix"),
    go("settings", "Settings", "G then S", "preferences options"),
    go("welcome", "First start guide", undefined, "welcome begin"),
    { id: "images.prepare", title: "Prepare all images", group: "Machine", also: "build", enabled: () => jobs.running.length === 0, run: () => { router.go("images"); void jobs.prepare(); } },
    { id: "doctor.again", title: "Examine this machine again", group: "Machine", run: () => { router.go("doctor"); void doctor.report.load(); } },
  ];
}
