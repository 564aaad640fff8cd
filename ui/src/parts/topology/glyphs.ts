/** One line glyph per role, drawn by us in a 24 × 24 box. */
import type { Role } from "../../gen/api";

export const GLYPH: Record<Role, string> = {
  // Four arrows: two in, two out.
  router: "M12 3v6M9.5 5.5 12 3l2.5 2.5M12 21v-6M9.5 18.5 12 21l2.5-2.5M3 12h6M6.5 9.5 9 12l-2.5 2.5M21 12h-6M17.5 9.5 15 12l2.5 2.5",
  // Two ways across.
  switch: "M4 8.5h15M15.5 5 19 8.5 15.5 12M20 15.5H5M8.5 12 5 15.5 8.5 19",
  // A rack of three.
  server: "M5 3.5h14v5H5zM5 9.5h14v5H5zM5 15.5h14v5H5zM8 6h.01M8 12h.01M8 18h.01M12 6h4M12 12h4M12 18h4",
  // A screen on a stand.
  client: "M3.5 4.5h17v11h-17zM12 15.5v4M8 19.5h8",
  // A screen with a prompt.
  learner: "M3.5 4.5h17v11h-17zM12 15.5v4M8 19.5h8M7 8l2.5 2L7 12M12 12h4",
  // A sight.
  attacker: "M12 5.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M12 2.5v5M12 16.5v5M2.5 12h5M16.5 12h5",
  // A shield.
  defender: "M12 3l7.5 2.8v5.4c0 4.6-3 7.9-7.5 9.8c-4.5-1.9-7.5-5.2-7.5-9.8V5.8zM8.7 12l2.3 2.3 4.3-4.5",
  // A door, and the way out of it.
  gateway: "M4.5 3.5h9v17h-9zM10.5 12h10M17 8.5 20.5 12 17 15.5",
  // A box.
  aux: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
};
