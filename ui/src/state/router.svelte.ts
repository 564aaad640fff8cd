/** Where the window is: `#/view/id?key=value`. The address is the only state, so back, reload and links work. */
export const VIEWS = ["library", "lab", "sessions", "results", "history", "images", "governance", "doctor", "settings", "welcome"] as const;
export type ViewName = (typeof VIEWS)[number];
export interface Route {
  view: ViewName;
  id: string | null;
}

export function parse(hash: string): Route {
  const [view = "", id = ""] = hash.replace(/^#?\/?/, "").split("/");
  const known = VIEWS.find((v) => v === view);
  return known ? { view: known, id: id === "" ? null : decoded(id) } : { view: "library", id: null };
}

/** An address typed by hand may be no valid encoding; then it names nothing, and the view says so. */
function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

export function href(view: ViewName, id: string | null = null): string {
  return id === null ? `#/${view}` : `#/${view}/${encodeURIComponent(id)}`;
}

class Router {
  route = $state.raw<Route>(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => {
      this.route = parse(location.hash);
    });
  }

  go(view: ViewName, id: string | null = null): void {
    location.hash = href(view, id);
  }

  /** The same, without a step to go back to: for a selection inside a view. */
  replace(view: ViewName, id: string | null = null): void {
    history.replaceState(null, "", href(view, id));
    this.route = { view, id };
  }
}

export const router = new Router();
