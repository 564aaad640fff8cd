// Verifies a verdict in the browser: the id is the digest of what was signed, and the signature holds under the key.
import { get } from "./common.js";

const bytes = async (path) => new Uint8Array(await (await get(path)).arrayBuffer());
const hex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");
/** What a browser says of broken input is for programmers. */
function attempt(what, action) {
  try {
    return action();
  } catch {
    throw new Error(`${what} cannot be read: something was changed.`);
  }
}

/** The payload of a DSSE PAE: `DSSEv1 SP LEN SP type SP LEN SP payload`. */
export function payload(pae) {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(pae);
  const head = /^DSSEv1 (\d+) (\S+) (\d+) /.exec(text);
  if (!head || head[2].length !== Number(head[1])) throw new Error("What was signed is not a DSSE encoding.");
  const body = text.slice(head[0].length);
  if (new TextEncoder().encode(body).length !== Number(head[3])) throw new Error("The length in what was signed is wrong.");
  return JSON.parse(body);
}

/** { holds: true | false | undefined (this browser cannot), why, statement } */
export async function verify(id, folder = `/v1/verdicts/${id}`) {
  const [pae, signature, pem] = await Promise.all(["verdict.pae", "verdict.sig", "verdict.pub.pem"].map((name) => bytes(`${folder}/${name}`)));
  const read = () => attempt("What was signed", () => payload(pae));
  // Outside https and localhost there is no WebCrypto at all.
  if (!globalThis.crypto?.subtle) return { holds: undefined, why: "Browsers verify on https:// or localhost only. Use the openssl line below.", statement: read() };
  // Before anything in it is read: what was changed need not be JSON any more.
  if (hex(await crypto.subtle.digest("SHA-256", pae)) !== id) throw new Error("The id is not the digest of what was signed: something was changed.");
  const statement = read();
  const spki = attempt("The key", () => Uint8Array.from(atob(new TextDecoder().decode(pem).replace(/-----[^-]+-----|\s/g, "")), (c) => c.charCodeAt(0)));
  const fingerprint = hex(await crypto.subtle.digest("SHA-256", spki)).slice(0, 32);
  if (fingerprint !== statement.predicate.forge.key_id) return { holds: false, why: "The key is not the one that the statement names: something was changed.", statement };
  let key;
  try {
    key = await crypto.subtle.importKey("spki", spki, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (error.name !== "NotSupportedError") throw new Error("The key is no Ed25519 key.");
    return { holds: undefined, why: "This browser does not know Ed25519. Use a newer one, or the openssl line below.", statement };
  }
  const holds = await crypto.subtle.verify({ name: "Ed25519" }, key, signature, pae);
  return { holds, why: holds ? `It was made with key ${fingerprint}, and nothing in it was changed.` : "The signature does not hold: something was changed.", statement };
}
