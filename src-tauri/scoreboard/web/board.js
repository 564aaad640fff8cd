import { at, element, json, many, name, points, tierMeans, tierWord, trackWord, when, within } from "./common.js";

const TIERS = ["self-attested", "instructor-seeded", "re-graded", "re-executed"];
const STEP = 50;
/** The server gives out so many places at once. */
const MOST = 200;
// What is shown is in the address, so that it can be handed on.
const asked = new URLSearchParams(location.search);
let shown = STEP;
let turn = 0;

function remember() {
  const kept = new URLSearchParams();
  for (const [key, value] of [["track", at("track").value], ["tier", at("tier").value], ["class", asked.get("class")]]) if (value) kept.set(key, value);
  asked.set("track", at("track").value);
  history.replaceState(null, "", `?${kept}`);
}

async function places(track, count) {
  const cut = new URLSearchParams({ tier: at("tier").value });
  if (asked.get("class")) cut.set("class", asked.get("class"));
  const rows = [];
  // One more than is shown tells whether there are more.
  while (rows.length <= count) {
    const limit = Math.min(MOST, count + 1 - rows.length);
    const { rows: next } = await json(`/v1/leaderboard/${encodeURIComponent(track)}?${cut}&offset=${rows.length}&limit=${limit}`);
    rows.push(...next);
    if (next.length < limit) break;
  }
  return rows;
}

function only(cls) {
  const link = new URL(location.href);
  link.searchParams.set("class", cls);
  return within(element("a", undefined, { href: `${link.pathname}${link.search}` }), name(cls));
}

async function leaderboard() {
  const mine = ++turn;
  const track = at("track").value;
  const rows = track ? await places(track, shown) : [];
  if (mine !== turn) return;
  at("rows").replaceChildren(
    ...rows.slice(0, shown).map((row) =>
      within(element("tr"), element("td", row.rank, { class: "number place" }), within(element("th", undefined, { scope: "row" }), name(row.name)), within(element("td"), only(row.class)),
        within(element("td", undefined, { class: "number" }), element("strong", points(row.points)), ` of ${points(row.max)}`), element("td", row.labs, { class: "number room" })),
    ),
  );
  at("more").hidden = rows.length <= shown;
  at("places").hidden = rows.length === 0;
  at("empty").hidden = rows.length > 0;
  at("empty").textContent = asked.get("class") || at("tier").value !== TIERS[0] ? "Nobody is on this board with that choice." : "Nobody is on this board yet. Submit a lab; its verdict comes here by itself, or with forge sync.";
  at("means").textContent = `${tierWord(at("tier").value)}: ${tierMeans(at("tier").value)}.`;
  at("only").hidden = !asked.get("class");
  const all = new URL(location.href);
  all.searchParams.delete("class");
  at("only").replaceChildren("Only ", name(asked.get("class") ?? ""), ". ", element("a", "Show all classes", { href: `${all.pathname}${all.search}` }));
}

async function load() {
  const [tracks, stats] = await Promise.all([json("/v1/tracks"), json("/v1/stats")]);
  const chosen = at("track").value || asked.get("track");
  const ranked = tracks.filter((track) => track !== "other");
  at("track").replaceChildren(...ranked.map((track) => element("option", trackWord(track), { value: track })));
  for (const id of ["choice", "means", "stats"]) at(id).hidden = ranked.length === 0;
  if (ranked.includes(chosen)) at("track").value = chosen;
  const cut = new URLSearchParams({ newest: "true", limit: "10" });
  if (asked.get("class")) cut.set("class", asked.get("class"));
  const newest = (await json(`/v1/verdicts?${cut}`)).verdicts;
  at("newest").replaceChildren(
    ...newest.map((verdict) =>
      within(element("tr"), within(element("th", undefined, { scope: "row" }), name(verdict.name)), within(element("td"), element("a", verdict.lab, { href: `/v1/verdicts/${verdict.id}` })),
        within(element("td", undefined, { class: "number" }), element("strong", points(verdict.score)), ` of ${points(verdict.max)}`), element("td", tierWord(verdict.tier), { class: "word" }), element("td", when(verdict.received_at), { class: "room muted" })),
    ),
  );
  at("latest").hidden = newest.length === 0;
  at("none").hidden = newest.length > 0;
  at("none").textContent = asked.get("class") && stats.verdicts > 0 ? "No verdict of this class is among the newest 20,000." : "No verdict has arrived yet.";
  at("stats").textContent = `${many(stats.verdicts, "verdict", "verdicts")}, ${many(stats.learners, "person", "people")} in ${many(stats.classes, "class", "classes")}.`;
  await leaderboard();
  at("trouble").hidden = true;
  at("board").hidden = false;
}

function live(word, on = false) {
  at("live").textContent = word;
  at("live").classList.toggle("on", on);
}
// Many verdicts at once are one reload.
let due;
function soon(wait = 250) {
  due ??= setTimeout(() => {
    due = undefined;
    // What failed a moment ago is current again.
    load().then(() => stream.readyState === EventSource.OPEN && live("Live", true), failed);
  }, wait);
}
function failed(error) {
  live(`Not current. ${error.message}`);
  // Tables without a row would say that there is nothing.
  at("trouble").hidden = !at("board").hidden;
  at("trouble").replaceChildren(element("strong", "The board cannot be shown now."), ` ${error.message} This page tries again by itself.`);
  soon(5000);
}
function choose() {
  shown = STEP;
  remember();
  leaderboard().catch(failed);
}

live("Connecting");
at("tier").replaceChildren(...TIERS.map((tier) => element("option", tierWord(tier), { value: tier })));
if (TIERS.includes(asked.get("tier"))) at("tier").value = asked.get("tier");
at("track").addEventListener("change", choose);
at("tier").addEventListener("change", choose);
at("more").addEventListener("click", () => {
  shown += STEP;
  leaderboard().catch(failed);
});
load().catch(failed);
let stream;
let away = false;
function listen() {
  stream = new EventSource("/v1/live");
  stream.onopen = () => {
    live("Live", true);
    // What happened while it was away was told to nobody.
    if (away) soon();
    away = false;
  };
  stream.onerror = () => {
    away = true;
    live("Not live; trying again");
    // After an answer that is no stream the browser does not ask again.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  stream.addEventListener("verdict", () => soon());
  stream.addEventListener("reset", () => soon());
}
listen();
