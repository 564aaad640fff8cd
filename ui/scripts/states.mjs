// Every view in every state that it has: for pictures (shots.mjs) and for the tests (tests/browser/states.test.mjs).
const RUN = "#/lab/k3v9q2x7a0";
const BOARD = "#/sessions/0198c2a4-aaaa-7000-8000-0123456789ab";
const PROJECTOR = "#/sessions/projector-0198c2a4-aaaa-7000-8000-0123456789ab";
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
  ["lab-narrow", "crowd", RUN, async (p) => {
    await p.evaluate(() => localStorage.setItem("workspace.layout", JSON.stringify({ sizes: { guide: 440, right: 420 } })));
    await p.reload();
    await p.locator(".pane-map svg[role=group]").waitFor();
    await p.waitForTimeout(400);
    await p.evaluate(() => localStorage.removeItem("workspace.layout"));
  }],
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
  ["doctor-keys", "error", "#/doctor", (page) => page.getByRole("button", { name: "Open the settings" }).click()],
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
  ["settings-keys", "full", "#/settings", (p) => p.getByLabel("Search settings").fill("signing")],
  ["settings-keys-plain", "error", "#/settings", (p) => p.getByLabel("Search settings").fill("signing")],
  ["settings-keys-passphrase", "under-passphrase", "#/settings", (p) => p.getByLabel("Search settings").fill("signing")],
  ["settings-keys-move", "full", "#/settings", async (p) => { await p.getByLabel("Search settings").fill("signing"); await p.getByRole("button", { name: "Move here: Under a passphrase" }).click(); }],
  ["settings-keys-plainly", "full", "#/settings", async (p) => { await p.getByLabel("Search settings").fill("signing"); await p.getByRole("button", { name: "Move here: Not encrypted" }).click(); }],
  ["settings-keys-change", "under-passphrase", "#/settings", async (p) => {
    await p.getByLabel("Search settings").fill("signing");
    await p.getByRole("button", { name: "Change the passphrase" }).click();
    await p.getByLabel("The passphrase now").fill("not this one");
    for (const name of ["New passphrase", "Once more"]) await p.getByLabel(name).fill("other words of mine");
    await p.getByRole("button", { name: "Change it" }).click();
    await p.getByText("is wrong").waitFor();
  }],
  ["settings-keys-replace", "well", "#/settings", async (p) => { await p.getByLabel("Search settings").fill("signing"); await p.getByRole("button", { name: "Replace the key: Your results" }).click(); }],
  ["settings-keys-replaced", "well", "#/settings", async (p) => {
    await p.getByLabel("Search settings").fill("signing");
    await p.getByRole("button", { name: "Replace the key: Your results" }).click();
    await p.getByRole("dialog").getByRole("button", { name: "Replace the key" }).click();
    await p.getByText("One older key still verifies").first().waitFor();
  }],
  ["unlock", "locked", "#/library"],
  ["unlock-wrong", "locked", "#/library", async (p) => { await p.getByLabel("Passphrase", { exact: true }).fill("four words of yours"); await p.keyboard.press("Enter"); await p.getByText("is wrong").waitFor(); await p.getByText("I have forgotten it").click(); }],
  ["unlock-store", "locked-os", "#/library", async (p) => { await p.getByRole("button", { name: "Ask the secret store" }).click(); await p.getByText("did not answer").waitFor(); await p.getByText("The store does not open").click(); }],
  ["unlock-new", "locked-new", "#/library"],
  ["settings-off", "full", "#/settings", (p) => p.getByLabel("Address").fill("http://board.example:8440")],
  ["settings-preview", "well", "#/settings", press("Show what would be sent")],
  ["settings-turn-off", "well", "#/settings", press("Turn off")],
  ["settings-come-back", "well", "#/settings", async (p) => { await p.getByLabel("Search settings").fill("scoreboard"); await press("Turn off")(p); await p.getByRole("dialog").getByRole("button", { name: "Turn off" }).click(); await p.getByRole("button", { name: "Come back" }).waitFor(); }],
  ["results-refused", "well", "#/results", async (p) => { await p.getByRole("navigation", { name: "Results" }).getByRole("link").nth(2).click(); await p.waitForTimeout(400); }],
  ["results-accepted", "well", "#/results", async (p) => { await p.getByRole("navigation", { name: "Results" }).getByRole("link").nth(1).click(); await p.waitForTimeout(400); }],
  ["sessions-off", "full", "#/sessions"],
  ["sessions-join", "well", "#/sessions"],
  ["sessions-loading", "loading", "#/sessions"],
  ["sessions-error", "error", "#/sessions"],
  ["sessions-unknown", "well", "#/sessions/none"],
  ["sessions-teach", "teach", "#/sessions"],
  ["sessions-teach-empty", "teach-empty", "#/sessions"],
  ["sessions-away", "teach-away", "#/sessions"],
  ["sessions-create", "teach", "#/sessions/new", async (p) => { await p.getByLabel("Title").fill("Monday, first hour"); await p.getByRole("checkbox").nth(1).check(); await p.getByRole("checkbox").nth(2).check(); }],
  ["sessions-create-missing", "teach", "#/sessions/new", async (p) => { await p.getByLabel("Title").fill("Monday"); await p.getByRole("button", { name: "Make the session" }).click(); }],
  ["sessions-create-nothing", "teach", "#/sessions/new", (p) => p.getByLabel("Search labs").fill("zzz")],
  ["board", "teach", BOARD],
  ["board-new", "teach-new", BOARD],
  ["board-crowd", "teach-crowd", BOARD],
  ["board-again", "teach-again", BOARD],
  ["board-again-asked", "teach-again", BOARD, async (p) => { await p.getByRole("button", { name: "Re-execute: Mara" }).click(); await p.getByText("Asked for", { exact: true }).waitFor(); await p.getByRole("button", { name: "Re-execute: Mara" }).waitFor({ state: "detached" }); await p.mouse.move(0, 0); }],
  ["board-away", "teach-away", BOARD, (p) => p.getByText("trying again").waitFor()],
  ["board-unknown", "teach", "#/sessions/none"],
  ["board-hint", "teach", BOARD, async (p) => { await p.getByRole("button", { name: "Send a hint to Jonas" }).click(); await p.getByLabel("Hint", { exact: true }).fill("Look at both ends of the link."); }],
  ["board-freeze", "teach", BOARD, press("Freeze")],
  ["board-frozen", "teach", BOARD, async (p) => { await press("Freeze")(p); await p.getByRole("dialog").getByRole("button", { name: "Freeze" }).click(); await p.getByText("Unfreeze").waitFor(); }],
  ["board-exported", "teach", BOARD, press("Signed report")],
  ["projector", "teach", PROJECTOR],
  ["projector-names", "teach-crowd", PROJECTOR, press("Show names")],
  ["projector-new", "teach-new", PROJECTOR],
  ["class", "class", BOARD],
  ["class-frozen", "class-frozen", BOARD],
  ["lab-class", "class", RUN],
  ["lab-class-messages", "class", RUN, press("From your instructor")],
  ["lab-class-clock", "class-clock", RUN, (p) => p.getByText("does not count for the session").waitFor()],
  ["lab-class-frozen", "class-frozen", RUN, press("Submit")],
  ["palette", "full", "#/library", async (p) => { await p.keyboard.press("Control+k"); await p.keyboard.type("o"); }],
  ["palette-lab", "full", RUN, async (p) => { await p.waitForTimeout(600); await p.keyboard.press("Control+Shift+Escape"); await p.keyboard.press("Control+k"); }],
  ["keys", "full", "#/library", (p) => p.keyboard.press("?")],
  ["keys-lab", "full", RUN, async (p) => { await p.waitForTimeout(600); await p.keyboard.press("Control+Shift+Escape"); await p.keyboard.press("?"); }],
];
/** Runs in the page: nodes of the map that do not lie within its pane, or have something on top of them. */
export function covered() {
  const pane = document.querySelector(".pane-map svg[role=group]");
  if (!pane || document.querySelector("dialog[open]")) return [];
  const box = pane.getBoundingClientRect();
  const bad = [];
  for (const node of pane.querySelectorAll('[data-stop^="node "]')) {
    const { left, right, top, bottom } = node.querySelector(".body").getBoundingClientRect();
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    if (left < box.left || right > box.right || top < box.top || bottom > box.bottom) bad.push(`${node.dataset.stop} is not within the map`);
    const on = [[x, y], [left + 2, y], [right - 2, y], [x, top + 2], [x, bottom - 2]].map(([px, py]) => document.elementFromPoint(px, py)).find((e) => e && !pane.contains(e));
    if (on) bad.push(`${node.dataset.stop} is under ${on.localName}.${on.className}`);
  }
  return bad;
}
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
