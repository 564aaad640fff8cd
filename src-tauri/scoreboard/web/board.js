import { at, element, json, many, points } from "./common.js";

async function leaderboard() {
  const track = at("track").value;
  const rows = track ? (await json(`/v1/leaderboard/${encodeURIComponent(track)}?tier=${at("tier").value}`)).rows : [];
  at("rows").replaceChildren(
    ...rows.map((row) => {
      const line = element("tr");
      line.append(element("td", row.rank, { class: "number" }), element("td", row.name), element("td", row.class),
        element("td", `${points(row.points)} / ${points(row.max)}`, { class: "number" }), element("td", row.labs, { class: "number" }));
      return line;
    }),
  );
  at("empty").hidden = rows.length > 0;
}

async function load() {
  const [tracks, stats] = await Promise.all([json("/v1/tracks"), json("/v1/stats")]);
  const chosen = at("track").value;
  const ranked = tracks.filter((track) => track !== "other");
  at("track").replaceChildren(...ranked.map((track) => element("option", track, { value: track })));
  if (ranked.includes(chosen)) at("track").value = chosen;
  const newest = (await json(`/v1/verdicts?after=${Math.max(0, stats.verdicts - 10)}&limit=10`)).verdicts.reverse();
  at("newest").replaceChildren(
    ...newest.map((verdict) => {
      const item = element("li");
      item.append(element("a", `${verdict.name}: ${verdict.lab}`, { href: `/v1/verdicts/${verdict.id}` }), ` ${points(verdict.score)} of ${points(verdict.max)}, ${verdict.tier}`);
      return item;
    }),
  );
  at("stats").textContent = `${many(stats.verdicts, "verdict", "verdicts")}, ${many(stats.learners, "person", "people")} in ${many(stats.classes, "class", "classes")}.`;
  await leaderboard();
}

// Many verdicts at once are one reload.
let due;
function soon() {
  due ??= setTimeout(() => {
    due = undefined;
    load().catch(failed);
  }, 250);
}
function failed(error) {
  at("live").textContent = `not current: ${error.message}`;
}

at("track").addEventListener("change", () => leaderboard().catch(failed));
at("tier").addEventListener("change", () => leaderboard().catch(failed));
load().catch(failed);
const live = new EventSource("/v1/live");
live.onopen = () => (at("live").textContent = "live");
live.onerror = () => (at("live").textContent = "not live; trying again");
live.addEventListener("verdict", soon);
live.addEventListener("reset", soon);
