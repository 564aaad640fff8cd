/** Keys that are moved and replaced, and in the scenes `locked`, `locked-os` and `locked-new` have to be unlocked first. */
import type { KeyRotated, KeysKept, KeysStatus, KeyUse, ProtectKeys, UnlockKeys } from "../../gen/api";
import { HostError } from "../host";

const FOLDER = "/home/ada/.local/share/forge/keys";
/** What opens them in the scene `locked`. */
export const PASSPHRASE = "four words of mine";
const KEPT: Record<KeysKept["place"], KeysKept> = {
  os: { place: "os", told: "In this system's secret store.", warning: null, command: null },
  passphrase: { place: "passphrase", told: `In ${FOLDER}, encrypted under your passphrase. Nobody can recover it.`, warning: null, command: null },
  plain: { place: "plain", told: `Unencrypted in ${FOLDER}.`, warning: `The private keys lie unencrypted in ${FOLDER}, readable only by you. Whoever can read your files can sign in your name. When they were made: This system's secret store did not answer within 2 s; it may be locked.`, command: "forge keys protect --passphrase" },
};

export class FakeKeys {
  #locked: boolean;
  #kept: KeysKept;
  #passphrase: string | null;
  #wrong = 0;
  #next = 0;
  readonly #new: boolean;
  readonly #keys: KeysStatus["keys"] = [
    { name: "learner", id: "9f2c41d07be85a3316d04f2a9c7be851", before: 0 },
    { name: "spawn", id: "41d07be85a3316d04f2a9c7be8519f2c", before: 0 },
    { name: "catalogue", id: "0f2a9c7be8519f2c41d07be85a3316d0", before: 1 },
  ];

  constructor(scene: string) {
    this.#locked = scene.startsWith("locked");
    this.#new = scene === "locked-new";
    this.#passphrase = scene === "locked" || scene === "under-passphrase" ? PASSPHRASE : null;
    this.#kept = KEPT[scene === "error" ? "plain" : this.#passphrase ? "passphrase" : "os"];
  }

  get kept(): KeysKept {
    return this.#kept;
  }

  /** While they are locked, only this and unlocking is answered. */
  admit(name: string): void {
    if (this.#locked && name !== "keys_status" && name !== "unlock_keys") {
      throw new HostError("keys_locked", "Your keys are locked, and nothing here goes on without them.", ["Unlock them in the app, or call `unlock_keys`."]);
    }
  }

  status(): KeysStatus {
    const locked = this.#locked;
    return { locked, kept: locked && this.#new ? null : this.#kept, os: true, wait_ms: Math.max(0, this.#next - Date.now()), keys: locked ? [] : this.#keys };
  }

  unlock({ passphrase }: UnlockKeys): KeysStatus {
    if (this.#locked && this.#kept.place === "os" && !this.#new) {
      throw new HostError("key_unavailable", "This system's secret store did not answer within 120 s; it may be locked.", ["Unlock it in your system’s password manager, then try again."], { kind: "store_silent" });
    }
    if (this.#locked && this.#new) this.#kept = KEPT.passphrase;
    else if (this.#locked) this.#is(passphrase);
    this.#locked = false;
    return this.status();
  }

  protect({ to, passphrase, current }: ProtectKeys): KeysStatus {
    if (this.#kept.place === "passphrase") this.#is(current);
    this.#passphrase = to === "passphrase" ? passphrase : null;
    this.#kept = KEPT[to];
    return this.status();
  }

  rotate(name: KeyUse, board: boolean): KeyRotated {
    const key = this.#keys.find((k) => k.name === name);
    if (!key) throw new HostError("not_found", "There is no such key.");
    const old = key.id;
    key.id = [...old].reverse().join("");
    key.before += 1;
    return { name, old, new: key.id, at: Date.now(), board: name === "learner" && board ? "told" : "not_needed", trouble: "" };
  }

  #is(passphrase: string | null): void {
    const left = this.#next - Date.now();
    if (left > 0) throw new HostError("key_unavailable", "The next passphrase can be tried in a moment.", ["After a wrong one there is a pause, which grows."], { kind: "too_soon", wait_ms: left });
    if (passphrase === this.#passphrase) return;
    const wait_ms = 1000 * 2 ** Math.min(5, this.#wrong++);
    this.#next = Date.now() + wait_ms;
    throw new HostError("key_unavailable", "The passphrase of your keys is wrong.", ["Try again: capitals and the keyboard's layout count."], { kind: "passphrase_wrong", wait_ms });
  }
}
