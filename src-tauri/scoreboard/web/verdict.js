import { at, element, json, points } from "./common.js";
import { verify } from "./verify.js";

const id = location.pathname.split("/").pop();
const words = { true: ["ok", "✓ The signature holds."], false: ["fail", "✗ Do not trust this."], undefined: ["warn", "Not verified here."] };

function say(kind, why) {
  const [style, head] = words[kind];
  at("state").className = `state ${style}`;
  at("state").replaceChildren(element("strong", head), " ", element("span", why));
}

try {
  const [{ holds, why, statement }, view] = await Promise.all([verify(id), json(`/v1/verdicts/${id}`)]);
  say(String(holds), why);
  const claims = statement.predicate.forge;
  const rows = [
    ["Lab", `${claims.lab} ${claims.version}`], ["Points", `${points(claims.score)} of ${points(claims.max)}`], ["Passed", statement.predicate.passedTests.join(", ") || "none"],
    ["Not passed", statement.predicate.failedTests.join(", ") || "none"], ["Run", claims.run], ["Ended", new Date(claims.finished).toLocaleString()], ["Key", claims.key_id], ["Verdict", id],
  ];
  at("signed").replaceChildren(...rows.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  at("tier").textContent = `${view.name} (${view.class}): ${view.tier}${view.key_revoked ? ". The key has been revoked since." : ""}`;
  at("facts").replaceChildren(...view.established.map((fact) => element("li", fact)));
  at("files").replaceChildren(...["verdict.pae", "verdict.sig", "verdict.pub.pem"].flatMap((name, i) => [i ? ", " : "", element("a", name, { href: `/v1/verdicts/${id}/${name}` })]));
} catch (error) {
  say("false", error.message);
}
