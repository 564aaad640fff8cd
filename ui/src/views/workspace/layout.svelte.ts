/** Sizes of the panes; what the learner set is there again next time. */
export type Pane = "guide" | "map" | "terminals" | "right";

const KEY = "workspace.layout";
export const LIMITS = { guide: [220, 720], right: [240, 720], map: [90, 900] } as const;
export type Sized = keyof typeof LIMITS;
/** A quarter of the window for the guide and for the progress, the upper third of the middle for the map. */
const DEFAULTS: Record<Sized, number> = {
  guide: between(300, innerWidth * 0.255, 460),
  right: between(300, innerWidth * 0.258, 420),
  map: between(180, innerHeight * 0.29, 380),
};

function between(min: number, px: number, max: number): number {
  return Math.round(Math.min(max, Math.max(min, px)));
}

interface Stored {
  sizes: Record<Sized, number>;
  collapsed: Record<Sized, boolean>;
}

/** What was stored, as far as it makes sense. */
export function read(json: string | null): Stored {
  const out: Stored = { sizes: { ...DEFAULTS }, collapsed: { guide: false, right: false, map: false } };
  let value: unknown = null;
  try {
    value = JSON.parse(json ?? "null");
  } catch {
    // Somebody else's or an older version's text: the defaults hold.
    return out;
  }
  if (typeof value !== "object" || value === null) return out;
  const { sizes, collapsed } = value as { sizes?: Partial<Record<Sized, unknown>>; collapsed?: Partial<Record<Sized, unknown>> };
  for (const pane of Object.keys(DEFAULTS) as Sized[]) {
    const size = sizes?.[pane];
    if (typeof size === "number" && Number.isFinite(size)) out.sizes[pane] = clamp(pane, size);
    out.collapsed[pane] = collapsed?.[pane] === true;
  }
  return out;
}

export function clamp(pane: Sized, px: number): number {
  const [min, max] = LIMITS[pane];
  return between(min, px, max);
}

export class Layout {
  sizes = $state<Record<Sized, number>>({ ...DEFAULTS });
  collapsed = $state<Record<Sized, boolean>>({ guide: false, right: false, map: false });
  maximised = $state<Pane | null>(null);

  constructor() {
    const stored = read(localStorage.getItem(KEY));
    this.sizes = stored.sizes;
    this.collapsed = stored.collapsed;
  }

  resize(pane: Sized, px: number): void {
    this.sizes[pane] = clamp(pane, px);
    this.#save();
  }

  reset(pane: Sized): void {
    this.resize(pane, DEFAULTS[pane]);
  }

  toggle(pane: Sized): void {
    this.collapsed[pane] = !this.collapsed[pane];
    if (this.maximised === pane) this.maximised = null;
    this.#save();
  }

  reveal(pane: Sized): void {
    if (this.collapsed[pane]) this.toggle(pane);
    if (this.maximised !== null && this.maximised !== pane) this.maximised = null;
  }

  maximise(pane: Pane): void {
    this.maximised = this.maximised === pane ? null : pane;
  }

  #save(): void {
    localStorage.setItem(KEY, JSON.stringify({ sizes: this.sizes, collapsed: this.collapsed }));
  }
}
