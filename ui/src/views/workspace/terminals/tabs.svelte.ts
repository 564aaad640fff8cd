/** The terminals of one workspace: which tabs there are, in which of two groups, and which one is looked at. */
import type { NodeInfo, TerminalInfo } from "../../../gen/api";
import { session } from "../../../state/session.svelte";
import { attempt } from "../../../state/toasts.svelte";

export type Status = "opening" | "live" | "reconnecting" | "closed" | "failed";
export type Group = 0 | 1;

export interface Screen {
  focus(): void;
  blur(): void;
  type(text: string): void;
  search(): void;
}

export class Tab {
  readonly key: string;
  readonly node: string;
  readonly ordinal: number;
  group = $state<Group>(0);
  /** The engine's terminal; null until it is opened, which needs the size on screen. */
  info = $state.raw<TerminalInfo | null>(null);
  status = $state<Status>("opening");
  /** Why it is not live, in words. */
  why = $state("");
  unseen = $state(false);
  screen: Screen | null = null;

  constructor(node: string, ordinal: number, group: Group, info: TerminalInfo | null) {
    this.key = crypto.randomUUID();
    this.node = node;
    this.ordinal = ordinal;
    this.group = group;
    this.info = info;
  }

  get title(): string {
    return this.ordinal === 1 ? this.node : `${this.node} ${this.ordinal}`;
  }
}

export class Terminals {
  readonly run: string;
  tabs = $state.raw<readonly Tab[]>([]);
  /** The tab on show in each group, by key. */
  shown = $state<[string | null, string | null]>([null, null]);
  /** The group that keys go to. */
  group = $state<Group>(0);
  restored = $state(false);

  constructor(run: string) {
    this.run = run;
  }

  readonly split = $derived(this.tabs.some((t) => t.group === 1));
  readonly active = $derived(this.tabs.find((t) => t.key === this.shown[this.group]) ?? null);

  of(group: Group): readonly Tab[] {
    return this.tabs.filter((t) => t.group === group);
  }

  /** Takes up the terminals the engine still has: after a reload of the page nothing is lost. */
  async restore(nodes: readonly NodeInfo[], first: string | null): Promise<void> {
    if (this.restored) return;
    this.restored = true;
    const infos = await attempt(() => session.call("list_terminals", { run: this.run }));
    for (const info of infos ?? []) if (info.open) this.#add(info.node, 0, info);
    const start = first ?? nodes.find((n) => n.enter)?.name;
    if (this.tabs.length === 0 && start !== undefined) this.#add(start, 0, null);
    const [tab] = this.tabs;
    if (tab) this.show(tab);
  }

  open(node: string, group: Group = this.group): Tab {
    const tab = this.#add(node, group, null);
    this.show(tab);
    return tab;
  }

  /** The node's first terminal, opened if there is none. */
  enter(node: string): Tab {
    const there = this.tabs.find((t) => t.node === node && t.status !== "closed");
    if (!there) return this.open(node);
    this.show(there);
    return there;
  }

  show(tab: Tab): void {
    this.group = tab.group;
    this.shown[tab.group] = tab.key;
    tab.unseen = false;
    tab.screen?.focus();
  }

  /** Opens a second screen beside this one, on the same node. */
  splitActive(): void {
    const tab = this.active;
    if (tab) this.open(tab.node, tab.group === 0 ? 1 : 0);
  }

  /** Ends the shell and takes the tab away. */
  async close(tab: Tab): Promise<void> {
    this.#drop(tab);
    const id = tab.info?.id;
    if (id !== undefined && tab.status !== "closed" && tab.status !== "failed") await attempt(() => session.call("close_terminal", { id }));
  }

  /** A new shell in the place of one that ended. */
  reopen(tab: Tab): void {
    const at = this.tabs.indexOf(tab);
    const fresh = new Tab(tab.node, tab.ordinal, tab.group, null);
    this.tabs = this.tabs.with(at, fresh);
    this.show(fresh);
  }

  step(by: 1 | -1): void {
    const at = this.tabs.findIndex((t) => t === this.active);
    const next = this.tabs[(at + by + this.tabs.length) % this.tabs.length];
    if (next) this.show(next);
  }

  #add(node: string, group: Group, info: TerminalInfo | null): Tab {
    const used = this.tabs.filter((t) => t.node === node).map((t) => t.ordinal);
    let ordinal = 1;
    while (used.includes(ordinal)) ordinal += 1;
    const tab = new Tab(node, ordinal, group, info);
    this.tabs = [...this.tabs, tab];
    return tab;
  }

  #drop(tab: Tab): void {
    const mates = this.of(tab.group);
    const at = mates.indexOf(tab);
    this.tabs = this.tabs.filter((t) => t !== tab);
    const next = mates[at + 1] ?? mates[at - 1] ?? null;
    if (this.shown[tab.group] === tab.key) this.shown[tab.group] = next?.key ?? null;
    // An empty left group takes over what the right one has, so that there is always a first group.
    if (this.of(0).length === 0 && this.tabs.length > 0) {
      for (const t of this.tabs) t.group = 0;
      this.tabs = [...this.tabs];
      this.shown = [this.shown[1], null];
    }
    if (this.of(this.group).length === 0) this.group = 0;
    this.active?.screen?.focus();
  }
}
