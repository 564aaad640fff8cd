import { FACTS, Unanswered, at, element, json, name, points, tierMeans, tierWord, when, within } from "./common.js";
import { verify } from "./verify.js";

const id = location.pathname.split("/").pop();
const words = { true: ["ok", "✓ The signature holds."], false: ["fail", "✗ Do not trust this."], undefined: ["warn", "Not verified here."] };

function say(kind, why) {
  const [style, head] = words[kind];
  at("state").className = `state ${style}`;
  at("state").replaceChildren(element("strong", head), " ", element("span", why));
}

const code = (text) => element("code", text);

function signed({ predicate }) {
  const claims = predicate.forge;
  const list = (ids) => ids.join(", ") || "none";
  const rows = [
    ["Lab", `${claims.lab} ${claims.version}`], ["Points", `${points(claims.score)} of ${points(claims.max)}`], ["Passed", list(predicate.passedTests)],
    ["Not passed", list(predicate.failedTests)], ["Run", code(claims.run)], ["Ended", when(claims.finished)], ["Key", code(claims.key_id)], ["Verdict", code(id)],
  ];
  at("signed").replaceChildren(...rows.flatMap(([label, value]) => [element("dt", label), within(element("dd"), value)]));
  at("statement").hidden = false;
  document.title = `${claims.lab}, ${points(claims.score)} of ${points(claims.max)} – Verdict – FrostGate Forge`;
}

/** The server's own word, which no signature of the learner's covers. */
async function server() {
  const [view, again] = await Promise.all([json(`/v1/verdicts/${id}`), json(`/v1/verdicts/${id}/reexecutions`)]);
  at("tier").replaceChildren(element("strong", tierWord(view.tier)), `: ${tierMeans(view.tier)}. The key is enrolled for `, name(view.name), " in ", name(view.class), view.key_revoked ? "; it has been revoked since." : ".");
  at("facts").replaceChildren(
    ...Object.entries(FACTS).map(([fact, means]) => {
      const yes = view.established.includes(fact);
      const text = within(element("span", undefined), yes ? means : `Not established: ${means.charAt(0).toLowerCase()}${means.slice(1)}`);
      return within(element("li", undefined, { class: yes ? "yes" : "no" }), element("span", yes ? "✓" : "–", { "aria-hidden": "true" }), text);
    }),
  );
  if (again.length > 0) at("again").replaceChildren(element("h2", "Executed again"), within(element("ul"), ...again.map(reexecuted)));
  at("server").hidden = false;
}

function reexecuted({ body, key_id }) {
  const other = body.criteria.filter((c) => c.submitted !== c.reexecuted);
  const head = other.length === 0 ? element("strong", "All came out as submitted", { class: "agrees" }) : element("strong", `${other.length} of ${body.criteria.length} came out otherwise`, { class: "differs" });
  const which = other.map((c) => element("li", `${c.id}: submitted ${c.submitted}, now ${c.reexecuted}`));
  return within(element("li"), head, `, ${points(body.score)} of ${points(body.max)} points under another seed, ${when(body.at)}, signed with key ${key_id}.`, ...(which.length > 0 ? [within(element("ul"), ...which)] : []));
}

at("state").hidden = false;
try {
  const { holds, why, statement } = await verify(id);
  say(String(holds), why);
  if (holds !== false) {
    signed(statement);
    await server().catch((error) => {
      at("tier").textContent = `It cannot be shown now. ${error.message}`;
      at("server").hidden = false;
    });
  }
} catch (error) {
  say(error instanceof Unanswered ? "undefined" : "false", error.message);
}
