/** Moving about the map with arrow keys: the nearest thing in that direction. */
import type { Point } from "../../../parts/topology/shape";

export interface Stop extends Point {
  id: string;
}

const WAY: Record<string, Point> = { ArrowRight: { x: 1, y: 0 }, ArrowLeft: { x: -1, y: 0 }, ArrowUp: { x: 0, y: -1 }, ArrowDown: { x: 0, y: 1 } };

/** The next stop, `from` itself when nothing lies that way, or null when the key is not an arrow. */
export function travel(stops: readonly Stop[], from: string, key: string): string | null {
  const way = WAY[key];
  if (!way) return null;
  const here = stops.find((s) => s.id === from);
  if (!here) return stops[0]?.id ?? from;
  let best: { id: string; cost: number } = { id: from, cost: Infinity };
  for (const s of stops) {
    if (s.id === from) continue;
    const ahead = (s.x - here.x) * way.x + (s.y - here.y) * way.y;
    const aside = Math.abs((s.x - here.x) * way.y) + Math.abs((s.y - here.y) * way.x);
    // Within a cone of about 63° either side; what is straight ahead wins over what is near but aside.
    if (ahead <= 0.5 || aside > ahead * 2) continue;
    const cost = ahead + aside * 2;
    if (cost < best.cost) best = { id: s.id, cost };
  }
  return best.id;
}
