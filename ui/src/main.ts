import { mount } from "svelte";
import "./tokens.css";
import "./base.css";
import "./parts/prose.css";
import App from "./App.svelte";
import { connect } from "./ipc/host";
import { doctor } from "./state/doctor.svelte";
import { events } from "./state/events.svelte";
import { jobs } from "./state/jobs.svelte";
import { keys } from "./state/keys.svelte";
import { labs } from "./state/labs.svelte";
import { runs } from "./state/runs.svelte";
import { router } from "./state/router.svelte";
import { session } from "./state/session.svelte";
import { settings } from "./state/settings.svelte";
import { sessions } from "./state/sessions.svelte";
import { sync } from "./state/sync.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");

session.attach(await connect());
mount(App, { target });
await keys.opened();

for (const part of [labs, runs, jobs, doctor, sync, sessions, keys]) part.follow();
void events.follow();
void session.about.load();
void labs.list.load();
void labs.results.load();
void runs.list.load();
void jobs.images.load();
void jobs.list.load();
void doctor.report.load();
void sync.status.load();
await settings.data.load();
if (settings.data.value?.first_run_done === false && location.hash === "") router.replace("welcome");

// Fetched while nobody waits, so that the first lab opens without a pause.
setTimeout(() => void import("./views/workspace/Workspace.svelte").catch(() => undefined), 1500);
