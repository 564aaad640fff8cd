/** The engine this window speaks to, and whether it answers. */
import type { About } from "../gen/api";
import type { CommandName, Host, Request, Response } from "../ipc/host";
import { HostError } from "../ipc/host";
import { Resource } from "./resource.svelte";

class Session {
  #host: Host | null = null;
  /** Wall clock for relative times and countdowns; moves once a second. */
  now = $state(Date.now());
  readonly about = new Resource<About>(() => this.call("about", {}));

  attach(host: Host): void {
    this.#host = host;
    setInterval(() => {
      this.now = Date.now();
    }, 1000);
  }

  get host(): Host {
    if (!this.#host) throw new HostError("unreachable", "The window is not connected to an engine yet.");
    return this.#host;
  }

  call<C extends CommandName>(name: C, request: Request<C>): Promise<Response<C>> {
    return this.host.call(name, request);
  }
}

export const session = new Session();
