import type { ViewName } from "../state/router.svelte";

export const VIEW_TITLE: Record<ViewName, string> = {
  library: "Library",
  lab: "Lab",
  sessions: "Sessions",
  results: "Results",
  history: "History",
  images: "Images",
  governance: "Governance",
  doctor: "Doctor",
  settings: "Settings",
  welcome: "First start",
};
