// Every view in every state that it has: for pictures (shots.mjs) and for the tests (tests/browser/states.test.mjs).
const RUN = "#/lab/k3v9q2x7a0";
const tab = (name) => async (p) => { await p.getByRole("tab", { name }).click(); await p.waitForTimeout(name === "Telemetry" ? 3500 : 400); };
const press = (name) => async (p) => { await p.getByRole("button", { name }).first().click(); await p.waitForTimeout(500); };
const isolation = (p) => p.getByRole("button", { name: "Isolated: what was tried" }).click();

/** name, scene, hash, what to do once it is shown */
export const PAGES = [
  ["welcome", "fresh", "#/welcome"],
  ["welcome-ready", "well", "#/welcome"],
  ["welcome-loading", "loading", "#/welcome"],
  ["welcome-no-docker", "error", "#/welcome"],
  ["library", "full", "#/library/ospf-single-area"],
  ["library-dns", "well", "#/library/dns-zone-reverse"],
  ["library-blocked", "full", "#/library/ssh-hardening"],
  ["library-crowd", "crowd", "#/library/crowd-000"],
  ["library-empty", "empty", "#/library"],
  ["library-loading", "loading", "#/library"],
  ["library-error", "error", "#/library"],
  ["library-nothing-found", "full", "#/library", (p) => p.getByLabel("Search labs").fill("bgp")],
  ["lab", "full", RUN, (p) => p.waitForTimeout(1500)],
  ["lab-timeline", "full", RUN, tab("Timeline")],
  ["lab-telemetry", "full", RUN, tab("Telemetry")],
  ["lab-ports", "full", RUN, tab("Ports")],
  ["lab-log", "full", RUN, tab("Log")],
  ["lab-split", "full", RUN, press("Split")],
  ["lab-search", "full", RUN, press("Search the output")],
  ["lab-map-list", "full", RUN, press("list")],
  ["lab-submit", "full", RUN, press("Submit")],
  ["lab-stop", "full", RUN, press("Stop the lab")],
  ["lab-starting", "starting", RUN],
  ["lab-paused", "paused", RUN],
  ["lab-last-minute", "last-minute", RUN],
  ["lab-lost", "lost", RUN],
  ["lab-stopped", "stopped", RUN],
  ["lab-failed", "failed", RUN],
  ["lab-crowd", "crowd", RUN, tab("Log")],
  ["lab-unknown", "full", "#/lab/nothere000"],
  ["lab-loading", "loading", RUN],
  ["lab-error", "error", RUN],
  ["lab-none", "empty", "#/lab"],
  ["results", "well", "#/results"],
  ["results-partial", "well", "#/results", async (p) => { await p.getByRole("link", { name: "45 %" }).click(); await p.waitForTimeout(400); }],
  ["results-end", "well", "#/results", (p) => p.evaluate(() => document.querySelector("article").scrollTo(0, 1e6))],
  ["results-exported", "well", "#/results", press("Export report")],
  ["results-empty", "empty", "#/results"],
  ["results-loading", "loading", "#/results"],
  ["results-error", "error", "#/results"],
  ["results-unknown", "full", "#/results/none"],
  ["history", "full", "#/history"],
  ["history-empty", "empty", "#/history"],
  ["history-loading", "loading", "#/history"],
  ["history-error", "error", "#/history"],
  ["images", "full", "#/images"],
  ["images-ready", "well", "#/images"],
  ["images-failed", "images-failed", "#/images"],
  ["images-loading", "loading", "#/images"],
  ["images-error", "error", "#/images"],
  ["doctor", "full", "#/doctor"],
  ["doctor-well", "well", "#/doctor"],
  ["doctor-loading", "loading", "#/doctor"],
  ["doctor-error", "error", "#/doctor"],
  ["governance", "full", "#/governance"],
  ["governance-denied", "full", "#/governance/10"],
  ["governance-none-such", "full", "#/governance/999"],
  ["governance-empty", "empty", "#/governance"],
  ["governance-loading", "loading", "#/governance"],
  ["governance-error", "error", "#/governance"],
  ["governance-gates", "full", "#/governance/gate-quota", async (p) => { await p.getByRole("button", { name: /Evaluate/ }).click(); }],
  ["governance-denial", "full", "#/governance/gate-spawn", async (p) => { await p.getByLabel("Input, as JSON").fill('{\n  "track": "ccnp"\n}'); await p.keyboard.press("Control+Enter"); }],
  ["governance-bad-json", "full", "#/governance/gate-spawn", (p) => p.getByLabel("Input, as JSON").fill('{\n  "track" "ccna"\n}')],
  ["governance-audit", "full", "#/governance/audit", async (p) => { await p.getByRole("button", { name: "Verify" }).click(); await p.getByRole("button", { name: "Details of entry 8" }).click(); }],
  ["governance-tampered", "tampered", "#/governance/audit", (p) => p.getByRole("button", { name: "Verify" }).click()],
  ["governance-audit-empty", "empty", "#/governance/audit"],
  ["isolation", "full", RUN, isolation],
  ["isolation-running", "full", RUN, async (p) => { await isolation(p); await p.getByRole("button", { name: "Prove it in full" }).click(); await p.waitForTimeout(900); }],
  ["isolation-proven", "full", RUN, async (p) => { await isolation(p); await p.getByRole("button", { name: "Prove it in full" }).click(); await p.getByRole("button", { name: "Prove it again" }).waitFor({ timeout: 15_000 }); }],
  ["isolation-result", "full", "#/results", (p) => p.getByRole("button", { name: "What was tried" }).click()],
  ["settings", "well", "#/settings"],
  ["settings-search", "well", "#/settings", (p) => p.getByLabel("Search settings").fill("terminal")],
  ["settings-nothing", "well", "#/settings", (p) => p.getByLabel("Search settings").fill("zzz")],
  ["palette", "full", "#/library", async (p) => { await p.keyboard.press("Control+k"); await p.keyboard.type("o"); }],
  ["palette-lab", "full", RUN, async (p) => { await p.waitForTimeout(600); await p.keyboard.press("Control+Shift+Escape"); await p.keyboard.press("Control+k"); }],
  ["keys", "full", "#/library", (p) => p.keyboard.press("?")],
  ["keys-lab", "full", RUN, async (p) => { await p.waitForTimeout(600); await p.keyboard.press("Control+Shift+Escape"); await p.keyboard.press("?"); }],
];
/** Runs in the page: texts that end in an ellipsis and can be read nowhere in full. */
export function cutOff() {
  const cut = [];
  for (const element of document.querySelectorAll("body *")) {
    if (getComputedStyle(element).textOverflow !== "ellipsis" || element.scrollWidth <= element.clientWidth + 1 || element.clientWidth === 0) continue;
    if (element.closest("[title], [data-tip], .sr-only, .xterm")) continue;
    cut.push(`${element.tagName.toLowerCase()}.${element.className} “${element.textContent.trim().slice(0, 50)}”`);
  }
  return cut;
}
